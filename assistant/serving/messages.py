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

# In place of a failure that is not for visitors
UNEXPECTED = Text("Something went wrong here.", "这里出了点问题。")
UNEXPECTED_CURE = Text(
    "Try again; the server's log has the details.", "请再试一次；详情在服务器日志里。"
)
TOO_LONG_FOR_MODEL = Text("This is too long for the model.", "内容超出了模型能读的长度。")
TOO_LONG_FOR_MODEL_CURE = Text("Shorten the message.", "请缩短这条消息。")
NO_ANSWER = Text("The model cannot answer at the moment.", "模型暂时无法回答。")
NO_ANSWER_CURE = Text("Try again in a minute.", "请一分钟后再试。")
BROKE_OFF = Text("The answer broke off.", "回答中断了。")
BROKE_OFF_CURE = Text("Ask again.", "请再问一次。")
