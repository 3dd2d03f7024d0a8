"""What visitors are told of the queue and of their message, in both languages."""

from __future__ import annotations

from ..words import Text

WRITE_SOMETHING = Text("Write something first.", "先写点什么吧。")
TOO_LONG = Text(
    "The message has {count} characters; at most {limit} are allowed.",
    "这条消息有 {count} 个字，最多 {limit} 个。",
)
SHORTEN = Text("Shorten it, or send it in parts.", "请缩短，或分几条发送。")
CLOSING = Text(
    "The page is being restarted and takes no more questions. Ask again in a minute.",
    "页面正在重启，暂不接受新的提问。请一分钟后再试。",
)
