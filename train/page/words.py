"""The words of the Corrections page, in both languages."""

from __future__ import annotations

from assistant.words import Text

TAB = Text("Corrections", "更正")
TITLE = Text("What it should have said", "它本该怎么说")
LEAD = Text(
    "Edit or like an answer in the chat: it comes here. What you accept is learned by the next training "
    "(make train ARGS=--force), and the check then asks it as it was asked and in other ways.",
    "在对话里编辑回答或点赞，就会来到这里。采用的会在下次训练时学会（make train ARGS=--force），"
    "检验时会按原样和换个问法各问一遍。",
)
SHOW = Text("Show", "查看")
NONE_THERE = Text("There are none.", "没有。")
PLACE = Text("{place} of {count}", "第 {place} 条，共 {count} 条")
ASKED = Text("Asked", "问")
BEFORE = Text("Before that", "在此之前")
SAID = Text("It said", "它说")
LIKED = Text("You liked this answer.", "你给这个回答点了赞。")
ANSWER = Text("It should say", "应当说")
WAYS = Text("Other ways of asking, one a line", "其他问法，每行一种")
WAYS_INFO = Text("Of several, the last is kept for the check.", "有多种时，最后一种只用于检验。")
ACCEPT = Text("Train on it", "用于训练")
EXAM = Text("Only check with it", "只用于检验")
DROP = Text("Drop", "弃用")
PREVIOUS = Text("Previous", "上一条")
NEXT = Text("Next", "下一条")
DONE = {
    "accepted": Text("To be trained on.", "将用于训练。"),
    "exam": Text("Only to check with.", "只用于检验。"),
    "dropped": Text("Dropped.", "已弃用。"),
}
