"""Every word of the page, in both languages, in one table."""

from __future__ import annotations

from ..words import LANGUAGE_NAMES, Text

# The message box
MESSAGE = Text("Message", "消息")
MESSAGE_PLACEHOLDER = Text("Write a message…", "写点什么…")
SEND = Text("Send", "发送")
STOP = Text("Stop", "停止")
CONTINUE = Text("Continue", "继续")
GO_ON = Text("Please go on from where you stopped.", "请从刚才停下的地方接着写。")

# The empty page
GREETING = Text("Hello, I am {name}.", "你好，我是{name}。")
INVITATION = Text(
    "Ask me anything, or start with one of these.", "想聊什么都行，也可以从下面挑一个。"
)
SPEAKS_ONLY = {
    language: Text(
        f"This model only speaks {name.en}: write to it in {name.en}.",
        f"这个模型只会{name.zh}：请用{name.zh}和它聊。",
    )
    for language, name in LANGUAGE_NAMES.items()
}
EXAMPLES = (
    Text("Who are you?", "你是谁？"),
    Text("What can you do?", "你能做什么？"),
    Text("Why is the sky blue? Two sentences.", "天空为什么是蓝的？用两句话说。"),
    Text("Write a short birthday wish for a friend.", "给朋友写一句生日祝福。"),
)
CONVERSATION = Text("Conversation", "对话")

# Header and drawers
LANGUAGE = Text("Language", "语言")
SETTINGS = Text("Settings", "设置")
CONVERSATIONS = Text("Conversations", "对话列表")
CLOSE = Text("Close", "关闭")
CHAT_TAB = Text("Chat", "聊天")
PERSONA_FROM = {
    "config": Text("persona from assistant.toml", "身份来自 assistant.toml"),
    "weights": Text("persona from the weights", "身份来自模型权重"),
}

# Styles and settings
STYLE = Text("Style", "风格")
NO_STYLE = Text("Plain", "默认")
NO_STYLE_DOES = Text("No special style.", "不加特别的风格。")
STYLE_TRAINED = Text("The model was trained for this style", "模型专门练过这种风格")
STYLE_ASKS = Text("Asks the model", "对模型的要求")
STYLE_TEMPERATURE = Text("temperature {value}", "温度 {value}")
SYSTEM_PROMPT = Text("System prompt", "系统提示词")
SYSTEM_PROMPT_INFO = Text(
    "What the assistant is told before the conversation. Holds for this conversation.",
    "对话开始前先告诉助手的话，只对当前对话有效。",
)
RESET = Text("Reset", "恢复默认")
MORE = Text("More", "更多")
MAX_TOKENS = Text("Longest answer (tokens)", "回答最长（token）")
TEMPERATURE = Text("Temperature", "温度")
TEMPERATURE_INFO = Text("0 always picks the likeliest word", "0 表示总选最可能的词")
TOP_P = Text("Top-p", "Top-p")
TOP_K = Text("Top-k (0 is off)", "Top-k（0 为不用）")
REPETITION_PENALTY = Text("Repetition penalty", "重复惩罚")
SEED = Text("Seed", "随机种子")
RANDOM = Text("random", "随机")
BAD_SEED = Text("The seed {seed!r} is not a whole number.", "随机种子 {seed!r} 不是整数。")

# Loading
LOADING = Text("Getting the model ready", "正在准备模型")
LOADING_HINT = Text(
    "You can write already; the answer comes when it is ready.",
    "现在就可以写，准备好后马上回答。",
)
FAILED = Text("The model could not be loaded", "模型没能加载")
OWNER_MUST = Text(
    "Its owner has to look after it. Come back later.", "需要它的主人来处理，请稍后再来。"
)
TRY_AGAIN = Text("Try again", "再试一次")

# Notices while answering
WAITING_FOR_MODEL = Text("The answer comes when the model is ready…", "模型准备好后就回答…")
IN_LINE = Text(
    "In line: {ahead} ahead of you, about {seconds} s…",
    "排队中：前面还有 {ahead} 人，约 {seconds} 秒…",
)
THINKING = Text("Thinking…", "正在想…")
DROPPED = Text(
    "The oldest {count} turns no longer fit and were left out.",
    "最早的 {count} 轮对话放不下，这次没有带上。",
)
CUT = Text("The answer reached its longest length.", "回答达到了最长长度。")
STOPPED = Text("Stopped.", "已停止。")
USED = Text("Tools used: {count}", "用了 {count} 次工具")
NOTHING_TO_ANSWER = Text("There is nothing to answer.", "没有可以回答的内容。")
BAD_HISTORY = Text(
    "The history is not a list of messages, user and assistant in turn.",
    "历史不是用户和助手轮流的消息列表。",
)
FIELD_NOT_TEXT = Text("{name} is not text.", "{name} 不是文本。")
KEPT_PART = Text("The answer broke off; this is what came.", "回答中断了，这是已经收到的部分。")

# Corrections
NOTED = Text(
    "Noted for the next training: {count} to look at (the Corrections tab).",
    "已记下，供下次训练：待查看 {count} 条（“更正”页）。",
)
NO_CORRECTION = Text("An empty answer corrects nothing.", "空的回答不算更正。")

# Export and import
YOU = Text("You", "你")
SYSTEM = Text("System", "系统")
FILE_TOO_LARGE = Text("The file is larger than {limit} MB.", "文件超过 {limit} MB。")
NOT_TEXT = Text("The file is not UTF-8 text.", "文件不是 UTF-8 文本。")
NO_CONVERSATIONS = Text("There is no conversation in the file.", "文件里没有对话。")
IMPORT_LINE = Text("line {number}", "第 {number} 行")
IMPORTED = Text("{count} conversations imported.", "导入了 {count} 段对话。")
NOTHING_TO_EXPORT = Text("There is nothing to export yet.", "还没有可以导出的内容。")
BROKEN_CONVERSATION = Text("This conversation cannot be read any more.", "这段对话已经无法读取。")

# What the browser's own script says (page.js)
KEPT_BY_OWNER = Text(
    "Kept in this browser; the owner of this page keeps a copy too.",
    "保存在这个浏览器里；本页的主人也会留存一份。",
)
SCRIPT = {
    "conversations": CONVERSATIONS,
    "new": Text("New conversation", "新对话"),
    "untitled": Text("New conversation", "新对话"),
    "rename": Text("Rename", "重命名"),
    "delete": Text("Delete", "删除"),
    "deleteSure": Text(
        "Delete “{title}”? It is kept nowhere else.", "删除“{title}”？别处没有备份。"
    ),
    "cancel": Text("Cancel", "取消"),
    "kept": Text("Kept in this browser only.", "只保存在这个浏览器里。"),
    "full": Text(
        "This browser has no room left for conversations: the latest messages are not kept. "
        "Export what you need and delete old ones.",
        "浏览器里存不下了：最新的消息没有保存。请导出需要的对话，再删除旧的。",
    ),
    "noStorage": Text(
        "This browser does not let the page keep conversations.",
        "浏览器不允许本页保存对话。",
    ),
    "exportMarkdown": Text("Export Markdown", "导出 Markdown"),
    "exportJsonl": Text("Export training JSONL", "导出训练 JSONL"),
    "exportAll": Text("Export all as JSONL", "全部导出为 JSONL"),
    "import": Text("Import JSONL", "导入 JSONL"),
    "close": CLOSE,
    "fileTooLarge": FILE_TOO_LARGE,
    "notText": NOT_TEXT,
    "yourMessage": Text("Your message", "你的消息"),
    "answer": Text("Answer", "回答"),
    "conversation": CONVERSATION,
    "newMessages": Text("Scroll down", "滚到底部"),
    "retry": Text("Answer again", "重新回答"),
    "undo": Text("Take back", "撤回"),
    "edit": Text("Edit", "编辑"),
    "submit": Text("Send edited", "发送修改"),
    "copy": Text("Copy", "复制"),
    "copied": Text("Copied", "已复制"),
    "like": Text("Good answer", "答得好"),
    "dislike": Text("Poor answer", "答得不好"),
}
