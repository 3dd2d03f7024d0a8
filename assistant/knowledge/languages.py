"""Which language a text is in, and a short parallel list from which each language's mean is taken."""

from __future__ import annotations

import re
from typing import Literal

_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]+")
PARALLEL = (
    ("今天天气很好，我们去公园散步。", "The weather is fine today, so we went for a walk in the park."),
    ("会议改到下周三下午三点。", "The meeting was moved to three o'clock next Wednesday."),
    ("请在使用前仔细阅读说明书。", "Please read the manual carefully before use."),
    ("这家公司成立于一九九八年。", "The company was founded in 1998."),
    ("水在一百摄氏度沸腾。", "Water boils at one hundred degrees Celsius."),
    ("如何申请退款？", "How do I apply for a refund?"),
    ("图书馆几点关门？", "When does the library close?"),
    ("谁负责维护这台设备？", "Who is responsible for maintaining this machine?"),
    ("学生每年需要交多少学费？", "How much tuition do students pay each year?"),
    ("医生建议他多喝水、早睡觉。", "The doctor advised him to drink more water and go to bed early."),
    ("安装软件之前请先备份数据。", "Back up your data before installing the software."),
    ("合同双方应在三十天内签字。", "Both parties shall sign the contract within thirty days."),
    ("火车因大雪晚点两个小时。", "The train was two hours late because of heavy snow."),
    ("哪种植物适合放在室内？", "Which plants are suitable for keeping indoors?"),
    ("把鸡蛋和面粉搅拌均匀。", "Mix the eggs and the flour until smooth."),
    ("为什么天空是蓝色的？", "Why is the sky blue?"),
    ("员工每年有十五天带薪假。", "Employees have fifteen days of paid leave a year."),
    ("密码必须至少包含八个字符。", "The password must contain at least eight characters."),
    ("这座桥连接城市的南北两岸。", "The bridge connects the north and south banks of the city."),
    ("比赛的第一名可以得到奖杯。", "The winner of the competition receives a cup."),
)  # fmt: skip


def language_of(text: str) -> Literal["zh", "en"]:
    """Chinese where its characters are at least as many as half the Latin words."""
    return "zh" if 2 * len(_HAN.findall(text)) > len(_LATIN.findall(text)) else "en"
