"""Questions, and copies of them with planted changes, for tests and benchmarks of `near`."""

from __future__ import annotations

import random

PARAPHRASES = [
    ("怎样学好英语口语？", "请问怎样学好英语口语呢"),
    ("你好，请问怎么做红烧肉？", "怎么做红烧肉"),
    ("今天北京的天气怎么样适合出门吗", "今天北京的天气怎么祥适合出门吗"),
    ("为什么天空是蓝色的", "为什么天空是兰色的"),
    ("How do I cook rice at home?", "how do i cok rice at home"),
    ("Could you tell me how to cook rice at home?", "how to cook rice at home please"),
    ("What is the best way to learn English grammar quickly?",
     "What is the best way to quickly learn English grammar?"),
    ("祝姐姐生日快乐", "祝姐姐生曰快乐"),
]  # fmt: skip
DIFFERENT = [
    ("祝姐姐生日快乐", "祝哥哥生日快乐"),
    ("北京的天气怎么样", "上海的天气怎么样"),
    ("第3章讲了什么内容", "第4章讲了什么内容"),
    ("1+1等于几呢请回答", "1+2等于几呢请回答"),
    ("你是谁", "你是狗"),
    ("How do I cook rice?", "How do I grow rice?"),
    ("怎样学好英语口语", "怎样做好红烧排骨"),
    ("What is the capital of France?", "What is the capital of Greece?"),
]
_ZH_HEADS = [
    "怎么",
    "为什么",
    "如何",
    "请介绍",
    "帮我写",
    "什么是",
    "能不能讲讲",
    "有没有",
    "谁发明了",
    "哪里可以",
]
_ZH_WORDS = [
    "天气",
    "旅行",
    "数学",
    "英语",
    "音乐",
    "电影",
    "工作",
    "老板",
    "同事",
    "家人",
    "孩子",
    "学生",
    "医院",
    "身体",
    "跑步",
    "游泳",
    "篮球",
    "手机",
    "电脑",
    "软件",
    "编程",
    "数据",
    "模型",
    "训练",
    "推荐",
    "方法",
    "步骤",
    "原因",
    "区别",
    "优点",
    "价格",
    "便宜",
    "春天",
    "夏天",
    "红色",
    "绿色",
    "咖啡",
    "茶叶",
    "苹果",
    "香蕉",
    "牛奶",
    "面包",
    "火锅",
    "饺子",
    "历史",
    "地理",
    "物理",
    "化学",
    "生物",
    "法律",
    "经济",
    "股票",
    "基金",
    "保险",
    "贷款",
    "房子",
    "汽车",
    "火车",
    "飞机",
    "地铁",
    "公园",
    "森林",
    "海洋",
    "沙漠",
    "月亮",
    "太阳",
    "宇宙",
    "时间",
    "梦想",
    "现实",
    "快乐",
    "悲伤",
    "写作",
    "阅读",
    "小说",
    "诗歌",
    "绘画",
    "摄影",
    "舞蹈",
    "唱歌",
    "阳台",
    "种花",
    "钓鱼",
    "登山",
    "露营",
    "棋牌",
    "书法",
    "烘焙",
    "缝纫",
    "剪纸",
    "陶艺",
    "木工",
    "园艺",
    "养猫",
    "养狗",
    "鹦鹉",
    "乌龟",
    "金鱼",
    "盆景",
    "茶艺",
]
_EN_HEADS = [
    "how do i",
    "why does",
    "what is",
    "explain",
    "who invented",
    "where can i find",
    "is there",
]
_EN_WORDS = [
    "weather",
    "travel",
    "math",
    "music",
    "movie",
    "manager",
    "family",
    "teacher",
    "student",
    "hospital",
    "running",
    "swimming",
    "basketball",
    "phone",
    "computer",
    "software",
    "programming",
    "data",
    "model",
    "training",
    "method",
    "reason",
    "difference",
    "price",
    "spring",
    "summer",
    "autumn",
    "winter",
    "coffee",
    "apple",
    "banana",
    "bread",
    "history",
    "geography",
    "physics",
    "chemistry",
    "biology",
    "economy",
    "insurance",
    "house",
    "train",
    "plane",
    "subway",
    "bicycle",
    "forest",
    "ocean",
    "desert",
    "moon",
    "universe",
    "dream",
    "reality",
    "poem",
    "painting",
    "photography",
    "garden",
    "kitchen",
    "window",
    "mountain",
    "river",
    "bridge",
    "island",
    "letter",
    "market",
    "engine",
    "battery",
    "camera",
    "bottle",
    "button",
    "carpet",
    "castle",
    "pottery",
    "carpentry",
    "parrot",
    "turtle",
    "goldfish",
    "violin",
    "orchestra",
    "telescope",
    "microscope",
    "volcano",
    "glacier",
    "penguin",
    "elephant",
    "pyramid",
    "cathedral",
    "lighthouse",
    "harbour",
]
_TYPO_ZH = "的地得在再做作他她己已末未日曰士土千干"
_FILLERS = {"zh": (("请问", "呢？"), ("麻烦", "一下"), ("你好，", "啊")), "en": (("please ", ""), ("could you tell me ", "?"), ("", ", thanks"))}  # fmt: skip


def questions(language: str, count: int, chooser: random.Random) -> list[str]:
    """Different questions of that language."""
    found: dict[str, None] = {}
    while len(found) < count:
        if language == "zh":
            text = chooser.choice(_ZH_HEADS) + "".join(
                chooser.sample(_ZH_WORDS, chooser.randint(3, 8))
            )
        else:
            text = " ".join(
                [chooser.choice(_EN_HEADS), *chooser.sample(_EN_WORDS, chooser.randint(3, 8))]
            )
        found[text] = None
    return list(found)


def planted(
    originals: list[str], language: str, kind: str, count: int, chooser: random.Random
) -> list[tuple[int, str]]:
    """Copies with one change of `kind`, each with the place of its original."""
    made = []
    for source in chooser.sample(range(len(originals)), count):
        text = originals[source]
        at = chooser.randrange(1, len(text) - 1)
        if kind == "typo":
            letters = _TYPO_ZH if language == "zh" else "abcdefghijklmnopqrstuvwxyz"
            text = text[:at] + chooser.choice(letters) + text[at + 1 :]
        elif kind == "missing":
            text = text[:at] + text[at + 1 :]
        elif kind == "filler":
            before, after = chooser.choice(_FILLERS[language])
            text = before + text + after
        elif kind == "punctuation":
            text = text.upper()[:at] + "，" * (language == "zh") + text.upper()[at:] + "？！"
        elif kind == "order":
            if language == "zh":
                text = text[4:] + text[:4]
            else:
                first, *rest = text.split()
                chooser.shuffle(rest)
                text = " ".join([first, *rest])
        made.append((source, text))
    return made
