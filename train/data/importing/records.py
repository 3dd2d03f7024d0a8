"""What readers give: a record with its number in the file, or why there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from assistant.words import Text

NOTHING: Mapping[str, Any] = MappingProxyType({})
EXCERPT = 200  # characters of a dropped row that the side file keeps


class Record(NamedTuple):
    """A row as the file holds it: `number` as a person would look it up there, in the container
    `place` (a sheet, the path of a JSON array) where a file has several. `others` are the filled
    cells of a table that no field reads."""

    number: int
    value: dict[str, Any]
    place: str = ""
    others: Mapping[str, str] = NOTHING


class Dropped(NamedTuple):
    """A row that cannot be used. `reason` is a key of REASONS."""

    number: int
    reason: str
    detail: str = ""
    excerpt: str = ""
    fatal: bool = False  # nothing after it could be read
    rows: int = 1  # how many rows from `number` on
    place: str = ""


class UnusableError(Exception):
    """A record holds no conversation."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Columns:
    """Which column or key holds what, as the person named it; None: recognised by its name."""

    question: str | None = None
    answer: str | None = None
    input: str | None = None
    system: str | None = None
    history: str | None = None
    meta: tuple[str, ...] = ()

    def named(self) -> dict[str, str]:
        """Field -> column, of those that were named."""
        if self is NO_COLUMNS:  # asked of every row
            return {}
        pairs = {
            "question": self.question, "answer": self.answer, "input": self.input,
            "system": self.system, "history": self.history,
        }  # fmt: skip
        return {name: column for name, column in pairs.items() if column is not None}


NO_COLUMNS = Columns()


@dataclass(frozen=True)
class Options:
    """How to read. What is left None is found out from the file.

    `assistant` names the speakers who answer, in chats by name; `ignore` the keys and columns to
    read nothing from; `least` the smallest number a column may hold in a row that is learned.
    """

    columns: Columns = NO_COLUMNS
    shape: str = "auto"
    system: str = ""
    sheet: str | None = None
    header_row: int | None = None
    header: bool = True
    encoding: str | None = None
    delimiter: str | None = None
    assistant: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    least: tuple[tuple[str, float], ...] = ()


def nothing_read() -> float:
    """The share of a file that was read before it is known."""
    return 0.0


@dataclass
class Reading:
    """What was found out about one file while it was read, and how much of it was read.

    `outside` counts what stands in the file beside its rows: path -> items.
    """

    format: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    share_read: Callable[[], float] = nothing_read
    outside: Counter[str] = field(default_factory=Counter)


REASONS: dict[str, Text] = {
    "blank": Text("blank row", "空行"),
    "comment": Text("a comment, not a row", "注释，不是数据行"),
    "above_header": Text("stands above the header row", "在表头之上"),
    "header_again": Text("the header row once more", "又一次出现的表头"),
    "table_rule": Text("the line below the header of a table", "表头下的分隔线"),
    "taken_for_header": Text("was taken for the header row", "被当作表头"),
    "broken": Text("cannot be read", "无法读取"),
    "too_many_cells": Text(
        "text in a column without a title (a comma in a cell without quotation marks?)",
        "没有标题的列里有文字（单元格里有逗号而没有加引号？）",
    ),
    "too_long": Text("longer than a row can be", "超过一行的长度上限"),
    "open_quote": Text("a quotation mark is opened and never closed", "引号没有闭合"),
    "characters": Text("damaged characters", "有损坏的字符"),
    "not_object": Text("not a row of named values", "不是由名称和值组成的一行"),
    "unknown_shape": Text("no question and answer were recognised", "认不出问题和回答"),
    "no_question": Text("the question is empty", "问题为空"),
    "no_answer": Text("the answer is empty", "回答为空"),
    "empty_turn": Text("a message is empty", "有一条消息为空"),
    "order": Text("the roles are out of order", "角色顺序不对"),
    "role": Text("a role that is not system, user or assistant", "角色不是系统、用户或助手"),
    "no_speakers": Text(
        "texts without their speakers: they may all be questions", "只有文字，没有说话人：可能全是问题"
    ),
    "not_text": Text("a value is not text", "有的值不是文字"),
    "error_value": Text("a cell shows an error", "单元格显示错误值"),
    "no_stored_value": Text(
        "a formula whose result is not stored; open and save the file in a spreadsheet program",
        "公式没有保存结果；请用表格软件打开并保存一次",
    ),
    # What says: do not learn this.
    "judged_bad": Text("judged bad", "被标为不好的回答"),
    "in_bad_part": Text("stands among the bad answers", "在不好的回答之列"),
    "not_to_learn": Text("marked as not to be learned", "被标为不参与训练"),
    "turn_not_to_learn": Text(
        "its first answer is marked as not to be learned", "第一个回答被标为不参与训练"
    ),
    "below_least": Text("rated below --least", "评分低于 --least"),
    "no_chosen": Text("a rejected answer and none that was chosen", "只有被拒绝的回答，没有选中的"),
    # What this kit cannot carry.
    "media": Text("pictures, sound or video: this kit trains text", "含图片、声音或视频：本工具只训练文字"),
    "tools": Text("tool calls: this kit trains plain answers", "含工具调用：本工具只训练普通回答"),
    # Shapes that are known and hold no conversation.
    "plain_text": Text("text without question and answer (pre-training)", "没有问答的纯文本（预训练语料）"),
    "single_message": Text("one message alone, not a conversation", "单独一条消息，不是一段对话"),
    "chat_log": Text("one line of a chat log, not a conversation", "聊天记录中的一行，不是一段对话"),
    "ranked": Text("several answers to choose from", "有多个候选回答"),
    "stepwise": Text("an answer judged step by step", "逐步评判的回答"),
    "critique": Text("an answer with its criticism", "回答附有批评"),
    "summary": Text("an article and its summary, without a question", "文章和摘要，没有问题"),
    "tree": Text("a tree of messages", "消息树"),
    "pair": Text("two texts and how they relate (NLI), no answer", "两段文字和它们的关系（NLI），没有回答"),
    "triplet": Text("texts to compare (embeddings), no answer", "用于比较的文字（向量训练），没有回答"),
    "translation": Text("a text in two languages, without a question", "同一段文字的两种语言，没有问题"),
    "intent": Text("an utterance with its intent (NLU), no answer", "一句话和它的意图（NLU），没有回答"),
    "patterns": Text("phrases and answers to draw from (intents)", "若干说法和若干备选回答（intents）"),
    "choices": Text("a choice told by its letter or number only", "只写了选项的字母或编号的选择题"),
    "yes_no": Text("an answer that is only true or false", "回答只是“真”或“假”"),
    "columnar": Text("columns, not rows", "按列存放，不是按行"),
    "tokens": Text("token ids, not text", "是 token 编号，不是文字"),
    "prompt_only": Text("a question without an answer", "只有问题，没有回答"),
}  # fmt: skip

# Reasons that no other way of reading the file does away with.
FINAL = {"media", "tools", "turn_not_to_learn", "no_chosen", "tokens"}

# What to do about a reason; each is tried in tests/train/test_data_shapes.py or test_data_import.py.
CURES: dict[str, Text] = {
    "taken_for_header": Text("If it is a row, add --no-header.", "如果它是数据行，请加 --no-header。"),
    "too_many_cells": Text(
        "Put the cell in quotation marks, or give the column a title.",
        "请给该单元格加引号，或给这一列加标题。",
    ),
    "unknown_shape": Text(
        "Name the keys: --question KEY --answer KEY", "请指明名称：--question 名称 --answer 名称"
    ),
    "broken": Text(
        "Mend what is named there; JSON has its names and texts in double quotes and no comma before } or ].",
        "请修好所指之处；JSON 的名称和文字要用双引号，} 和 ] 前不能有逗号。",
    ),
    "empty_turn": Text("Fill in what is empty, or take it out.", "请补上空缺的内容，或删去它。"),
    "not_text": Text(
        "Write a text there, or name the key that holds one: --question KEY --answer KEY",
        "请在那里写文字，或指明存放文字的字段：--question 名称 --answer 名称",
    ),
    "role": Text(
        "If these are names, say who answers: --assistant NAME",
        "如果是人名，请指明谁是回答的一方：--assistant 名字",
    ),
    "no_speakers": Text(
        "If question and answer stand there in turn: --shape messages",
        "如果是一问一答依次排列：--shape messages",
    ),
    "in_bad_part": Text(
        "If they are good answers, give that part of the file another name.",
        "如果其实是好的回答，请给文件里的这一部分换个名字。",
    ),
    "judged_bad": Text(
        "If {key} says something else: --ignore {key}", "如果 {key} 另有含义：--ignore {key}"
    ),
    "not_to_learn": Text(
        "If {key} says something else: --ignore {key}", "如果 {key} 另有含义：--ignore {key}"
    ),
    "below_least": Text("Name a smaller number with --least.", "请用 --least 指定更小的数。"),
    "plain_text": Text(
        "Save the texts as a .txt file; questions from it: python -m train data generate --documents FILE",
        "请把文本存为 .txt 文件，再从中出题：python -m train data generate --documents 文件",
    ),
    "single_message": Text(
        'Put the messages of a conversation into one row: {"messages": […]}',
        '请把一段对话的消息放进一行：{"messages": […]}',
    ),
    "chat_log": Text(
        "Make conversations of it first (WeClone: weclone-cli make-dataset), then import sft-my.json.",
        "请先整理成对话（WeClone：weclone-cli make-dataset），再导入 sft-my.json。",
    ),
    "ranked": Text(
        "Name the answer to learn: --question KEY --answer KEY (of a list, the first is taken)",
        "请指明要学的回答：--question 名称 --answer 名称（列表取第一个）",
    ),
    "stepwise": Text(
        'Write the right steps as one answer: {"prompt": …, "completion": …}',
        '请把正确的步骤写成一个回答：{"prompt": …, "completion": …}',
    ),
    "tree": Text(
        'Write each path as a row: {"messages": […]}', '请把每条路径写成一行：{"messages": […]}'
    ),
    "pair": Text(
        'Write the question and its answer in words: {"question": …, "answer": …}',
        '请用文字写出问题和回答：{"question": …, "answer": …}',
    ),
    "triplet": Text(
        "If one text answers the other: --question KEY --answer KEY (of a list, the first is taken)",
        "如果其中一段是另一段的回答：--question 名称 --answer 名称（列表取第一个）",
    ),
    "translation": Text(
        "Name the languages and what to do: --question KEY --answer KEY --system 'Translate into …'",
        "请指明两种语言和任务：--question 名称 --answer 名称 --system '翻译成……'",
    ),
    "intent": Text(
        'Write an answer to each utterance: {"question": …, "answer": …}',
        '请给每句话写一个回答：{"question": …, "answer": …}',
    ),
    "patterns": Text(
        'Write each phrase with its answer as a row: {"question": …, "answer": …}',
        '请把每个说法和它的回答写成一行：{"question": …, "answer": …}',
    ),
    "choices": Text(
        'Write the right choice in words, the choices with the question: {"question": …, "answer": …}',
        '请把选项写进问题，并用文字写出正确选项：{"question": …, "answer": …}',
    ),
    "yes_no": Text(
        'Write the answer in words: {"question": "Is it open?", "answer": "Yes, until six."}',
        '请用文字写出回答：{"question": "今天开门吗？", "answer": "开，到六点。"}',
    ),
    "prompt_only": Text(
        "Write the answers first; if a key holds them, name it: --question KEY --answer KEY",
        "请先补上回答；若某个字段就是回答，请指明：--question 名称 --answer 名称",
    ),
    "critique": Text(
        "Name the answer to learn: --question instruction --answer revision",
        "请指明要学的回答：--question instruction --answer revision",
    ),
    "summary": Text(
        "Name the keys, for example --question article --answer summary",
        "请指明名称，例如 --question article --answer summary",
    ),
    "columnar": Text(
        "Save it by rows; pandas: to_json(FILE, orient='records')",
        "请按行保存；pandas：to_json(文件, orient='records')",
    ),
}  # fmt: skip

NOTES: dict[str, Text] = {
    "unanswered_end": Text(
        "a last question without an answer was left out", "末尾没有回答的问题被去掉"
    ),
    "cut_unlearned": Text(
        "cut before an answer marked as not to be learned", "在不参与训练的回答之前截断"
    ),
    "reasoning": Text(
        "the reasoning before the answer was left out (this kit does not carry it)",
        "回答前的推理被去掉（本工具不支持推理内容）",
    ),
    "picture_links": Text(
        "the text links pictures, which this kit does not learn", "文本里链接了图片，本工具学不到图片内容"
    ),
    "in_turn": Text(
        "no speakers are told: taken in turn, the user first", "没有写明说话人：按一问一答读取，用户在先"
    ),
    "merged": Text("messages of one speaker in a row were joined", "同一人的连续消息被合并"),
    "opening": Text("answers before the first question were left out", "第一个问题之前的回答被去掉"),
}  # fmt: skip
# Notes of what was seen and not changed -> what was done with it.
LEFT_AS_IT_IS = {"picture_links": "kept", "in_turn": "read"}
