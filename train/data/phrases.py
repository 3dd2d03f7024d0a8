"""What generating models say around an answer: recognised here for `clean` and `lint` alike."""

from __future__ import annotations

import re

_THING = (
    r"(?:祝福语?|祝福|贺词|祝词|文案|回答|答案|回复|内容|结果|建议|版本|例子|示例|方案|翻译|诗|句子|文字|话|标题|"
    r"小红书[^\n：:]{0,6}|[^\n：:，。！]{0,12}(?:祝福语?|贺词|文案|回复))"
)
# Whole opening phrases, up to and with their colon. Anchored where an answer begins.
LEADING = re.compile(
    r"(?:"
    rf"(?:当前|生成的|本次|最终|您的|你的)?(?:的)?{_THING}(?:内容)?(?:如下|为|是)(?:所示)?\s*[：:]"
    rf"|(?:好的|好|当然(?:可以)?|没问题|可以|收到|明白了?|是的)?[，,！!。.]?\s*(?:以下|下面|这里|这|这边)(?:就)?(?:是|为|有)"
    rf"[^\n：:。！]{{0,30}}{_THING}[^\n：:。！]{{0,12}}[：:]"
    rf"|(?:好的|当然(?:可以)?|没问题|收到)[，,！!。.]\s*(?:我(?:来|会|将)|为[您你]|给[您你])[^\n：:。！]{{0,30}}[：:。！]"
    rf"|(?:祝福语?|贺词|文案|回答|答案|回复|输出|答)\s*[：:]"
    r"|(?:sure|certainly|of course|absolutely|okay|ok|great|no problem)\b[,!.]?\s*"
    r"(?:here(?:'s| is| are| you go)|below (?:is|are)|i(?:'d| would) be happy to|i can help)[^\n:.!]{0,80}[:.!]"
    r"|here(?:'s| is| are)\s+(?:an?|the|your|some|my)\b[^\n:.]{0,80}:"
    r"|(?:answer|output|response|blessing|wish|greeting|assistant)\s*:"
    r")\s*",
    re.IGNORECASE,
)
# Notes at the end, each a line or a bracket of its own.
TRAILING = re.compile(
    r"(?:\n+|(?<=[。！？!?.~～」”\"])\s*|^)"
    r"(?:"
    r"[（(【\[]\s*(?:注意?|备注|说明|提示|字数|共\s*\d+\s*字|note|word count)[^）)】\]\n]*[）)】\]]"
    r"|(?:注|备注|说明|温馨提示|字数|note|p\.?s\.?|word count)\s*[：:][^\n]*"
    r"|(?:希望(?:这|以上|我的|对)[^\n。！]{0,30}(?:帮助|喜欢|满意|有用|参考)[^\n。！]{0,12}|如果(?:您|你)?(?:还|需要|有)[^\n。！]{0,40}"
    r"(?:告诉我|联系我|提出|问我|随时[^\n。！]{0,10}|调整|修改)[^\n。！]{0,10}|以上(?:就)?是[^\n。！]{0,30}(?:祝福语?|内容|回答|建议|文案))[。！!~～]*"
    r"|(?:i )?hope (?:this|that|it) (?:helps|is helpful)[^\n]{0,30}"
    r"|(?:please )?(?:let me know|feel free to)\b[^\n]{0,120}"
    r")\s*$",
    re.IGNORECASE,
)
# What a generating model says of itself anywhere in an answer.
AS_A_MODEL = re.compile(
    r"作为(?:一个|一款|一名)?\s*(?:AI|人工智能|大型?语言|语言)(?:语言)?(?:模型|助手|助理)"
    r"|我(?:只)?是(?:一个|一款)?\s*(?:AI|人工智能|大型?语言)(?:语言)?模型"
    r"|\bas an? (?:AI|artificial intelligence|large language)\b(?: language)? ?(?:model|assistant)?"
    r"|\bI(?:'m| am) (?:just |only )?an? (?:AI|large) language model",
    re.IGNORECASE,
)


def leading_phrase(text: str) -> str:
    """The generator's opening at the head of `text`, "" where there is none."""
    match = LEADING.match(text)
    return match[0] if match and match.end() < len(text) else ""


def trailing_note(text: str) -> str:
    """The generator's closing note, "" where there is none."""
    match = TRAILING.search(text)
    return match[0] if match and match.start() > 0 else ""
