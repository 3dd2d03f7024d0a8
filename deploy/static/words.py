"""Every word of the static page, in both languages."""

from __future__ import annotations

from assistant.ui import words as page
from assistant.words import Text

WORDS = {
    "greeting": page.GREETING,
    "invitation": page.INVITATION,
    "other_language": Text("中文", "English"),
    "again": Text("New conversation", "新对话"),
    "box_label": page.MESSAGE,
    "placeholder": page.MESSAGE_PLACEHOLDER,
    "send": page.SEND,
    "stop": page.STOP,
    "settings": page.SETTINGS,
    "system": page.SYSTEM_PROMPT,
    "temperature": page.TEMPERATURE,
    "length": page.MAX_TOKENS,
    "style": page.STYLE,
    "plain": page.NO_STYLE,
    "box": page.MESSAGE,
    "private": Text("Runs in this tab: nothing you write leaves your browser.",
                    "在这个标签页里运行：你写的内容不会离开浏览器。"),
    "costs": Text("The model ({size} MB) is downloaded once and kept in this browser; then it also works offline.",
                  "模型（{size} MB）只下载一次，保存在这个浏览器里，之后离线也能用。"),
    "load": Text("Load the model", "加载模型"),
    "try_again": page.TRY_AGAIN,
    "not_loaded": Text("Not loaded yet", "尚未加载"),
    "loading": page.LOADING,
    "loading_part": Text("Downloading the model: {part} %", "正在下载模型：{part} %"),
    "ready": Text("Ready, on one processor core", "已就绪，使用一个处理器核"),
    "ready_threads": Text("Ready, on {threads} processor cores", "已就绪，使用 {threads} 个处理器核"),
    "waiting": Text("The answer comes when the model is here.", "模型下载好后就回答。"),
    "no_memory": Text("There is not enough memory for the model ({reason}). Close other tabs and try again.",
                      "内存不够加载模型（{reason}）。请关闭其他标签页再试。"),
    "not_loaded_because": Text("The model could not be loaded ({reason}). Look at the connection and try again: what is here "
                               "already is kept.",
                               "模型没能加载（{reason}）。请检查网络后再试：已下载的部分会保留。"),
    "no_webassembly": Text("This browser has no WebAssembly or no workers, which the model needs. Another browser, or one "
                           "that is up to date, will do.",
                           "这个浏览器不支持 WebAssembly 或 Worker，模型无法运行。请换一个或更新浏览器。"),
    "dropped": Text("The oldest turns no longer fit and were left out.", "最早的几轮对话放不下，这次没有带上。"),
    "cut": page.CUT,
    "stopped": page.STOPPED,
    "failed": Text("The answer failed: {reason}", "回答失败：{reason}"),
}  # fmt: skip
