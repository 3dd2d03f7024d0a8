"""What `lint` can find: code, title, cure. E stops training, W is for a person to weigh."""

from __future__ import annotations

from typing import NamedTuple

from assistant.words import Text


class Code(NamedTuple):
    """One kind of finding."""

    title: Text
    cure: Text


CODES: dict[str, Code] = {
    "E101": Code(
        Text("Not a conversation", "不是一段对话"),
        Text("Bring the file into shape: python -m train data import FILE -o NEW; it tells row by row "
             "what cannot be read.",
             "请转换格式：python -m train data import FILE -o NEW；读不了的行会逐行说明原因。"),
    ),
    "E102": Code(
        Text("Roles out of order", "角色顺序不对"),
        Text("After an optional system message, user and assistant take turns, the user first.",
             "可选的系统消息之后，用户和助手轮流发言，用户在先。"),
    ),
    "E103": Code(
        Text("Empty turn, or no answer", "有空消息，或没有回答"),
        Text("See what the rows hold beside it before you take any out: where the answer stands under "
             "another name, import the file that they came from; else write it in. Only rows that are empty in "
             "the original too may go: python -m train data lint FILE --sound NEW",
             "删除之前先看看这些行还有什么：回答若写在别的字段里，请从原始文件重新导入；否则请补写。"
             "只有原始文件里也为空的行才可以去掉：python -m train data lint FILE --sound NEW"),
    ),
    "E104": Code(
        Text("Placeholder not filled in", "占位符没有填写"),
        Text("Put in what belongs there; a model says a placeholder just as it learned it.",
             "请填上实际内容；模型会原样说出占位符。"),
    ),
    "E105": Code(
        Text("One pair repeated", "同一问答反复出现"),
        Text("Keep it a few times and add other questions and ordinary conversation; from copies "
             "of one pair a model learns to say that answer to everything.",
             "只保留几份，并加入其他问题和普通对话；反复学同一问答的模型会对任何话都这样回答。"),
    ),
    "E106": Code(
        Text("The answer takes itself for another model", "回答自称是别的模型"),
        Text("Put your assistant's name there, or take the row out.",
             "请改成你的助手的名字，或去掉该行。"),
    ),
    "E107": Code(
        Text("A secret key", "密钥"),
        Text("Take it out of the data and revoke it: whoever has the model can get it said.",
             "请从数据中删除并吊销它：拿到模型的人都可能让它说出来。"),
    ),
    "E108": Code(
        Text("A Chinese ID number", "身份证号"),
        Text("Take it out, or put an invented one with a wrong check digit there.",
             "请删除，或换成校验位不正确的虚构号码。"),
    ),
    "E109": Code(
        Text("Contradictory answers to one question", "同一问题的回答互相矛盾"),
        Text("Keep the true answer.", "请只保留正确的回答。"),
    ),
    "E110": Code(
        Text("The mark of a picture, sound or video", "图片、声音或视频的标记"),
        Text("This kit trains text; without the picture such a row teaches to invent. Leave these rows "
             "out: python -m train data lint FILE --sound NEW",
             "本工具只训练文字；没有图片，这样的行只会教模型编造。去掉这些行："
             "python -m train data lint FILE --sound NEW"),
    ),
    "W201": Code(
        Text("Exact duplicates", "完全重复"),
        Text("Keep one of each unless the repetition is meant.", "除非有意重复，每条只留一份。"),
    ),
    "W202": Code(
        Text("Near duplicates", "近似重复"),
        Text("Keep one of each; split keeps them on one side: python -m train data split FILE -o FOLDER",
             "每组只留一条；split 会把它们放在同一边：python -m train data split FILE -o FOLDER"),
    ),
    "W203": Code(
        Text("Several different answers to one question", "同一问题有多个不同回答"),
        Text("Right for wishes and stories; for facts keep one.", "祝福、故事可以如此；事实问题请只留一个。"),
    ),
    "W204": Code(
        Text("Phrases of the generating model", "生成模型的套话"),
        Text("See what would be cut: python -m train data clean --only lead --only notes --dry-run FILE; then the "
             "same without --dry-run. What says “as a language model” is to be written anew.",
             "先看会删掉什么：python -m train data clean --only lead --only notes --dry-run FILE；"
             "再去掉 --dry-run 执行。“作为语言模型”之类的话请改写。"),
    ),
    "W205": Code(
        Text("A telephone number", "电话号码"),
        Text("Take it out unless it is meant to be known.", "除非本来就要公开，否则请删除。"),
    ),
    "W206": Code(
        Text("An e-mail address", "电子邮箱"),
        Text("Take it out unless it is meant to be known.", "除非本来就要公开，否则请删除。"),
    ),
    "W207": Code(
        Text("Longer than training reads; the end is cut", "超过训练长度，末尾会被截断"),
        Text("Raise [train] max_length, or shorten the rows.", "请调高 [train] max_length，或缩短这些行。"),
    ),
    "W208": Code(
        Text("Uneven coverage of roles, scenes and styles", "角色、场景、风格覆盖不均"),
        Text("Write rows for the cells that lack a style, or have a model write them from a plan of yours: "
             "python -m train data generate --plan PLAN.toml -o MORE; then put both together: "
             "python -m train data mix FILE MORE -o MIXED",
             "请为缺少风格的格子补写数据，或写一份计划让模型来写："
             "python -m train data generate --plan 计划.toml -o MORE；再合在一起："
             "python -m train data mix FILE MORE -o MIXED"),
    ),
    "W209": Code(
        Text("Identity and ordinary rows are out of balance", "身份数据与普通数据比例失衡"),
        Text("One identity row to two to eleven ordinary ones works. Add a file of those that are too few: "
             "python -m train data mix FILE OTHERS.jsonl -o MIXED",
             "一条身份数据配二到十一条普通数据为宜。请加入一份较少的那种数据："
             "python -m train data mix FILE 另一份.jsonl -o MIXED"),
    ),
    "W210": Code(
        Text("Answered in an unexpected language", "回答的语言出乎意料"),
        Text("See which rows: python -m train data clean --only language --dry-run FILE; without --dry-run "
             "they are left out of the new file.",
             "先看是哪些行：python -m train data clean --only language --dry-run FILE；"
             "去掉 --dry-run 则在新文件里不保留它们。"),
    ),
    "W211": Code(
        Text("One answer to many different questions", "许多不同问题用同一个回答"),
        Text("Vary the answer; a model takes it for the answer to everything.",
             "请让回答有变化；否则模型会用它回答一切。"),
    ),
    "W212": Code(
        Text("The question alone fills the length: left out of training",
             "问题本身就占满了长度，训练时会跳过"),
        Text("Raise [train] max_length, or shorten the question.",
             "请调高 [train] max_length，或缩短问题。"),
    ),
    "W213": Code(
        Text("Held out, but its question is trained on", "留出的数据，问题却在训练集里"),
        Text("Separate them again, and use the two files there in place of these: "
             "python -m train data split FILES -o APART",
             "请重新划分，并改用新文件夹里的两个文件：python -m train data split FILES -o APART"),
    ),
    "W214": Code(
        Text("Perhaps a placeholder: look at it", "可能是占位符，请看一下"),
        Text("If it is one, put in what belongs there; in code or as an example it may stay.",
             "若是占位符，请填上实际内容；若是代码或举例，可以保留。"),
    ),
}  # fmt: skip


def is_error(code: str) -> bool:
    """Whether training refuses data with this finding."""
    return code.startswith("E")
