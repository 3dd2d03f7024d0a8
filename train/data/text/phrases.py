"""What generating models say around an answer: recognised here for `clean` and `lint` alike.

A phrase is the generator's only where it speaks of the text itself: what kind of text follows, its
length, tone or wording, that it was made as asked. What speaks of the matter ("Note: never under 2
years.", "Here are the steps:") is the answer. The question helps to tell: a wish, a card or a
caption that was asked for is a text that a model presents; a dose or a command is not.
"""

from __future__ import annotations

import re

_KIND = r"(?:祝福语?|祝词|贺词|贺卡|文案|寄语|小红书|朋友圈|短信|情书|诗|诗歌|短诗|对联|春联|标语|口号|顺口溜)"
_TEXT = rf"(?:{_KIND}|邮件|信|信件|演讲稿|句子|改写|翻译|译文|文字|话)"
_STYLED = rf"[^\n：:，,。！!]{{0,16}}{_KIND}"
_EN_KIND = (
    r"(?:wish(?:es)?|blessings?|greetings?|congratulations?|birthday message|message|caption|toast|"
    r"slogan|poem|haiku|love letter|translation|rewrite|rewritten version|draft|version)"
)

# Questions that ask for a text to be written for someone; code and plans are not such texts.
_ASKS_FOR_TEXT = re.compile(
    r"祝(?!日|英)|贺(?:词|卡|岁|新|喜)|恭喜|文案|寄语|情书|(?<![改缩扩仿])写[^\n]{0,12}(?:诗|信|句|话|短信|朋友圈|对联|标语|口号|顺口溜)"
    r"|\bwish(?:es|ing)?\b|\bcongratulat|\bgreet(?:ing)?s?\b|\bblessing|\bbirthday\b|\bcaption\b|\btoast\b|\bslogan\b"
    r"|\b(?:write|compose|draft)\b[^\n]{0,30}\b(?:poem|haiku|message|note|card|verse|love letter)\b",
    re.IGNORECASE,
)
# Questions about such texts, which ask for none; "could you write me …?" does.
_ASKS_ABOUT = re.compile(
    r"什么|哪|谁|怎么|如何|几|多少|为何|(?<!好)吗|是否|\b(?:what|which|who|whose|why|how|when|where)\b|^(?:is|are|was|do|does|did|has|have|may|can i)\b",
    re.IGNORECASE,
)
_TECHNICAL = re.compile(
    r"代码|函数|程序|脚本|正则|报错|配置文件|\b(?:code|function|script|program|regex|python|java(?:script)?|js|typescript|rust|golang|makefile|latex|excel|sql|html|css|bash|"
    r"shell|git|docker|json|yaml|api|class|method|commit|error|exception)\b",
    re.IGNORECASE,
)
_ASKS_FOR_A_COUNT = re.compile(
    r"多少个?(?:字|词)|几个(?:字|词)|字数(?:是|为|有|统计)|数一?数|how many (?:words|characters|letters|syllables)|count the",
    re.IGNORECASE,
)

# Whole opening phrases, up to and with their colon. Anchored where an answer begins.
_YES = r"(?:好的|好|好呀|没问题|当然(?:可以)?|可以|收到|明白了?|是的)"
_FOR_YOU = r"(?:为|给|帮)(?:您|你|大家)(?:精心|专门)?(?:生成|准备|写|撰写|创作|拟写|编写|定制)"
_YES_EN = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|great|no problem)\b[,!.]?\s*"
_LEADING = re.compile(
    r"(?:"
    rf"(?:{_YES}[，,！!。.~～]*\s*)?"
    r"(?:"
    # 当前祝福语如下：
    rf"(?:当前|生成的|本次|最终|您的|你的)?的?{_STYLED}(?:内容)?(?:如下|为|是)(?:所示)?\s*[：:]"
    # 以下是为您生成的…：
    rf"|(?:以下|下面|这里|这|这边)(?:就)?(?:是|为|有)?[^\n：:。！]{{0,6}}{_FOR_YOU}[^\n：:。！]{{0,30}}[：:]"
    # 下面是一段小红书风格的祝福：
    rf"|(?:以下|下面|这里|这|这边)(?:就)?(?:是|为|有)[^\n：:。！]{{0,24}}{_TEXT}[^\n：:。！]{{0,6}}[：:](?!\s*\n?\s*(?:[1１一]|[-*•]))"
    # 我来为您写一段祝福：
    rf"|已?经?{_FOR_YOU}了?[^\n：:。！]{{0,20}}{_TEXT}[^\n：:。！]{{0,4}}[：:]"
    rf"|我(?:来|会|将|这就)?{_FOR_YOU}[^\n：:。！]{{0,20}}{_TEXT}[^\n：:。！]{{0,4}}[：:。！]"
    r")"
    # 祝福语：
    r"|(?:祝福语?|祝词|贺词|贺卡|文案)\s*[：:](?!\s*\n?\s*(?:[1１一]|[-*•]))"
    # Sure, I'd be happy to help! Here's a birthday wish for your sister:
    rf"|(?:{_YES_EN})?(?:i(?:'d|’d| would) be (?:happy|glad) to (?:help|write)[^\n:.!]{{0,60}}[.!]\s*)?"
    rf"(?:here(?:'s|’s| is| are)|below (?:is|are))\s+(?:an?|the|your|some|my|one)\b[^\n:.]{{0,50}}\b{_EN_KIND}\b[^\n:.]{{0,60}}:"
    r"(?!\s*\n?\s*(?:1|[-*•]))"
    r"|(?:blessing|wish|greeting|birthday wish(?:es)?)\s*:"
    r"|assistant\s*:"
    r")\s*",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:祝福语?|祝词|贺词|贺卡|文案|blessing|wish|greeting|birthday wish(?:es)?|assistant)\s*[：:]\s*",
    re.IGNORECASE,
)
_ASKS_TO_REWRITE = re.compile(
    r"翻译|译成|改写|润色|扩写|缩写|translat|rewrit|rephras|paraphras", re.I
)
_SURELY_A_TEXT = re.compile(
    rf"{_FOR_YOU}|祝福语?|祝词|贺词|文案|寄语|\b(?:wish|blessing|greeting|birthday message)", re.I
)
_LABEL_LINE = re.compile(r"(?m)^[^\n：:]{1,12}[：:]")

# The words in which a text is spoken of.
_ASPECT_ZH = (
    r"(?:祝福语?|祝词|贺词|贺卡|文案|寄语|措辞|用词|语气|口吻|风格|字数|篇幅|称呼|署名|落款|版本|语言|表达|诗句?|句子|文字|内容|"
    r"细节|姓名|名字|昵称|场合|长度|表情(?:符号)?|emoji)"
)
_CHANGE_ZH = r"(?:修改|调整|替换|更改|改动|改写|增减|增删|润色|补充|微调|定制|选用|选择|使用|换成|改成|优化|改)"
_ASPECT_EN = (
    r"(?:tone|style|wording|phrasing|length|wish(?:es)?|greetings?|blessings?|messages?|text|caption|poem|toast|version|"
    r"draft|emojis?|names?|details?)"
)
_OWN_EN = r"(?:tone|wording|wish|greeting|blessing|caption|birthday message)"
_CHANGE_EN = r"(?:adjust|modify|edit|change|tweak|personali[sz]e|customi[sz]e|shorten|lengthen|replace|adapt|revise|rewrite)"
# Words of the matter: what holds one of them is never only about the text.
_MATTER = re.compile(
    r"医|药|剂量|服用|用量|过敏|孕|儿童|婴|症|病|疼|痛|安全|危险|风险|禁|退款|退货|订单|快递|物流|发票|保修|客服|电话|热线|"
    r"账号|密码|服务器|路径|参数|变量|依赖|命令|端口|代码|函数|脚本|程序|行程|时间表|天气|"
    r"\b(?:doctor|physician|pharmac|dos(?:e|age)|medic|allerg|pregnan|child|infant|risk|danger|warning|refund|order|invoice|"
    r"warranty|support team|password|server|path|variable|parameter|argument|command|install|version \d|function|code|"
    r"script|query|schedule|weather)",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"(?:(?:全文|本文|正文|以上|总)?(?:字数|共计?|合计)(?:统计)?\s*[：:为]?\s*(?:约|大约|正好|不多不少)?\s*[0-9０-９一二三四五六七八九十百两〇零]+\s*个?(?:字符|汉字|字|词)?"
    r"(?:左右|以内|以上|整)?(?:[，,]\s*(?:含|不含)标点(?:符号)?)?"
    r"|(?:约|大约)?\s*[0-9]+\s*个?字(?:左右)?"
    r"|(?:word|character) count\s*[:=]?\s*\d+(?: words| characters)?"
    r"|(?:total\s*:?\s*)?(?:about |approximately |exactly )?\d+ (?:words|characters)(?: (?:in )?total)?)",
    re.IGNORECASE,
)
_NEED_ZH = r"(?:需要?|需求|要求|实际|情况|喜好|关系|场合|对象|个人|具体|自己|姓名|身份)"
_TELL_ZH = r"[，,]?\s*(?:请|欢迎|可以?|也可以?)?(?:随时)?(?:告诉我|告知我?|跟我说|提出|联系我|说一声)[^\n。！，,]{0,8}"
_ONE_ZH = rf"(?:(?:以上|上面|上述|该|此)[^\n。！，,]{{0,6}}(?:{_KIND}|内容|文字|版本)|[这本](?:段|条|则|篇|份|些)(?:祝福语|祝词|贺词|文案|文字))"
_SAID_OF_ZH = (
    r"(?:仅供|供您|供你|可(?:以|根据|直接|自行|适当|按)|适合|适用|语气|口吻|风格|措辞|根据您|按照?您|采用|字数|共|长度|"
    r"不超过|符合|包含|融合|使用了|突出)"
)
_MANNER_EN = (
    r"(?:suitable|appropriate|written|meant|designed|kept|intended|short|brief|concise|formal|informal|casual|warm|light|"
    r"friendly|playful|adjusted|personali[sz]ed|customi[sz]ed|edited|changed|tailored)"
)
# How long the text is, as "this wish has 5 words and a warm tone", and no word besides.
_NUMBER_EN = r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty)"
_LENGTH_EN = (
    r"(?:this|the|the above|my) (?:[a-z]+ )?(?:wish(?:es)?|greetings?|blessings?|messages?|text|caption|poem|toast|version|"
    r"draft|haiku|slogan|note|card|verse)(?: above)? (?:has|have|contains?|is|are|uses?|counts|comes to|runs to) "
    rf"(?:in total |a total of )?(?:about |around |exactly |only |just |under |over |fewer than |less than )?{_NUMBER_EN}"
    r"[ -](?:words?|characters?|letters?|lines?|sentences?|emojis?|syllables?)(?: long| in total| in length)?"
    rf"(?:(?:,| and| with|, with|, and)(?: has| keeps| uses| an?| the| is){{0,2}} [^\n,.]{{0,24}}\b(?:{_ASPECT_EN}|{_MANNER_EN})\b)?"
)
_LENGTH_ZH = (
    rf"(?:以上|上面|上述|这|本|该|此)(?:一)?[段句条则份篇首个]?(?:生日|新年|节日|新婚|毕业|拜年)?(?:{_KIND}|句子|文字|话)"
    r"(?:正文|全文|总)?(?:一共|总共|共计|共|有|约|大约|正好|刚好|字数为|长|是|含|包含|用了|不到|不超过)+\s*[0-9０-９一二三四五六七八九十百两〇零]+\s*"
    r"(?:个?(?:字符|汉字|字|词|表情(?:符号)?)|行|句)(?:左右|以内)?(?:[，,](?:语气|口吻|风格|措辞|用词)[^\n。！，,]{1,12})?"
)
# Said of a text that was asked for, in a bracket or after "Note:".
_MARKED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:您|你)?(?:可以?|请|也可以?)(?:自行|随意|适当|酌情|按(?:需要?|情况)|视情况)*{_CHANGE_ZH}(?:{_ASPECT_ZH}|[和与、及的中对长辈]){{0,8}}",
        rf"(?:您|你)?(?:可以?|请)(?:将|把)[^\n。！]{{0,12}}{_ASPECT_ZH}?[^\n。！]{{0,8}}(?:替换|改|换)(?:成|为)[^\n。！]{{0,16}}",
        r"(?:语气|口吻|风格|措辞|用词)[^\n。！]{1,30}",
        rf"(?:you (?:can|may) |please |feel free to )(?:also )?{_CHANGE_EN}\b (?:it|this|them|the {_ASPECT_EN}|{_ASPECT_EN}|[\[{{<])[^\n]{{0,80}}",
        rf"(?:this|the above|the) {_ASPECT_EN} (?:is|was|are|can be|has been|keeps|uses) (?:\w+ ){{0,3}}{_MANNER_EN}\b[^\n]{{0,60}}",
        r"replace [^\n]{1,30} with [^\n]{0,24}\bname\b[^\n]{0,20}",
        rf"as (?:you )?(?:requested|asked|wished)(?:[,:;]? [^\n]{{0,20}}\b(?:{_ASPECT_EN}|{_MANNER_EN})\b[^\n]{{0,30}})?",
        rf"i (?:kept|wrote|used|made|tried)\b[^\n]{{0,40}}\b(?:{_ASPECT_EN}|{_MANNER_EN})\b[^\n]{{0,50}}",
        _LENGTH_EN,
        _LENGTH_ZH,
    )
)  # fmt: skip
# Said of a text that was asked for, in a sentence like those of the text.
_UNMARKED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:您|你)?(?:可以?|请|也可以?)?(?:自行)?(?:根据|按照?|依|视|结合)(?:您|你)?的?{_NEED_ZH}[^\n。！，,]{{0,10}}{_CHANGE_ZH}[^\n。！，,]{{0,16}}",
        rf"如(?:果|需)?(?:您|你)?(?:还)?(?:需要?|想要?|希望)?(?:我)?(?:再|做|进行)*(?:修改|调整|改写|润色|增删|替换|更改|补充)(?:一下)?{_ASPECT_ZH}{{0,3}}{_TELL_ZH}",
        rf"如(?:果|需)?(?:您|你)?(?:还)?(?:需要?|想要?|希望|有)[^\n。！，,]{{0,12}}(?:{_KIND}|语气|口吻|风格|版本|字数|篇幅){_TELL_ZH}",
        rf"如果?(?:您|你)?(?:还)?(?:有|需要)(?:其他|别的|更多|任何)(?:要求|需求|修改意见){_TELL_ZH}",
        rf"(?:已|已经)?(?:按照?|根据|遵照)(?:您|你)的(?:要求|需求)(?:[，,]?[^\n。！]{{0,6}}(?:{_ASPECT_ZH}|写|生成|完成)[^\n。！]{{0,16}})?",
        rf"{_ONE_ZH}[^\n。！]{{0,6}}{_SAID_OF_ZH}[^\n。！]{{0,30}}",
        rf"希望(?:这|以上|我的)[^\n。！，,]{{0,6}}(?:{_KIND}|文字|内容)[^\n。！，,]{{0,6}}(?:您满意|你满意|符合|帮到您|有用)[^\n。！，,]{{0,12}}",
        rf"(?:you (?:can|may) |please )?feel free to (?:also )?{_CHANGE_EN}\b (?:it|this|them|the {_ASPECT_EN}|{_ASPECT_EN})\b[^\n]{{0,60}}",
        rf"(?:please )?let me know if you(?:'d|’d| would)? (?:like|want|need)\b[^\n]{{0,30}}\b(?:anything else|changes|adjustments?|revisions?|edits?|{_MANNER_EN}|{_ASPECT_EN})\b[^\n]{{0,40}}",
        rf"i hope (?:this|the|these) {_ASPECT_EN} (?:meets?|suits?|fits?|works?|is what|are what)\b[^\n]{{0,40}}",
        rf"(?:this|the|the above) {_ASPECT_EN} [^\n]{{0,60}}\bas (?:you )?(?:requested|asked|wished)",
        rf"(?:if you(?:'d|’d| would) like|would you like) (?:me to )?[^\n]{{0,20}}\b(?:{_CHANGE_EN}|more {_MANNER_EN}|shorter|longer|funnier|another (?:one|version))\b[^\n]{{0,60}}",
    )
)  # fmt: skip
_SURELY_ABOUT_TEXT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # whatever was asked
        rf"(?:以上|上述|[这本](?:段|条|则|篇))(?:祝福语|祝词|贺词|文案)[^\n。！]{{0,6}}{_SAID_OF_ZH}[^\n。！]{{0,30}}",
        r"以上(?:就)?是(?:我)?(?:为您|为你|给您|给你)(?:生成|准备|写|撰写|创作)的[^\n。！]{1,20}",
        r"以上(?:就)?是(?:我的)?(?:回答|祝福语|贺词|文案)(?:[，,]\s*希望[^\n。！，,]{0,6}(?:您|你)[^\n。！，,]{0,6}(?:帮助|满意|有用))?",
        r"希望(?:我的|以上|这个)(?:回答|回复|解答|文案)[^\n。！，,]{0,6}(?:帮助|帮到|满意|有用)[^\n。！，,]{0,8}",
        rf"(?:please )?(?:let me know|feel free to (?:ask|let me know)) if you(?:'d|’d| would)? (?:like|want|need)[^\n]{{0,40}}\b{_OWN_EN}\b[^\n]{{0,40}}",
        rf"(?:you (?:can|may) |please )?(?:feel free to )?{_CHANGE_EN} (?:the|this) {_OWN_EN}\b[^\n]{{0,60}}",
        r"(?:i )?hope (?:this|that|it) (?:helps|is helpful)",
    )
)  # fmt: skip
_NOTE_LABEL = re.compile(
    r"(?:注意?|备注|说明|提示|温馨提示|小贴士|使用说明|note|please note)\s*[：:]\s*",
    re.IGNORECASE,
)
_BRACKETS = {"（": "）", "(": ")", "【": "】", "[": "]"}
_TAIL_BRACKET = re.compile(r"[（(【\[][^（()）【】\[\]\n]{1,160}[）)】\]]\Z")
_SENTENCE_END = re.compile(r"[。！？!?~～”\"」』]+\s*|(?<=[^\W\d])\.\s+|\s+(?=[（(【\[])")
_LONGEST_NOTE = 240  # characters
_LONG_SENTENCE = re.compile(r"[。！!?？.]\s*(?=\S)")
# What a generating model says of itself anywhere in an answer.
AS_A_MODEL = re.compile(
    r"作为(?:一个|一款|一名)?\s*(?:AI|人工智能|大型?语言|语言)(?:语言)?(?:模型|助手|助理)"
    r"|我(?:只)?是(?:一个|一款)?\s*(?:AI|人工智能|大型?语言)(?:语言)?模型"
    r"|\bas an? (?:AI|artificial intelligence|large language)\b(?: language)? ?(?:model|assistant)?"
    r"|\bI(?:'m| am) (?:just |only )?an? (?:AI|large) language model",
    re.IGNORECASE,
)


def asks_for_text(question: str) -> bool:
    """Tell whether a question asks for a text to be written for someone, such as a wish."""
    return (
        bool(_ASKS_FOR_TEXT.search(question))
        and not _ASKS_ABOUT.search(question)
        and not _TECHNICAL.search(question)
    )


def leading_phrase(text: str, question: str = "") -> str:
    """The generator's opening at the head of `text`, "" where there is none; `question` is what
    `text` answers."""
    match = _LEADING.match(text)
    if not match or match.end() >= len(text) or _TECHNICAL.search(question):
        return ""
    presented = asks_for_text(question) or _ASKS_TO_REWRITE.search(question)
    if not presented and not _SURELY_A_TEXT.search(match[0]):
        return ""
    # "Greeting: …\nBody: …" is a form, each label of it belongs to the answer.
    if _LABEL.fullmatch(match[0]) and (not presented or _LABEL_LINE.search(text, match.end())):
        return ""
    return match[0]


def trailing_note(text: str, question: str = "") -> str:
    """The generator's closing note, "" where there is none; `question` is what `text` answers."""
    if "`" in text or _TECHNICAL.search(question):  # what stands under code is about the code
        return ""
    bare = text.rstrip()
    start = max(bare.rfind("\n") + 1, len(bare) - _LONGEST_NOTE)
    line = bare[start:]
    places = [0] if start and bare[start - 1] == "\n" else []
    places += [match.end() for match in _SENTENCE_END.finditer(line)]
    bracket = _TAIL_BRACKET.search(line)
    if bracket and bracket.start() and _ends_a_sentence(line[: bracket.start()]):
        places.append(bracket.start())
    for place in sorted(set(places)):
        note = line[place:]
        if note and start + place > 0 and speaks_of_the_text(note, question):
            return text[start + place :]
    return ""


def _ends_a_sentence(text: str) -> bool:
    """Tell whether `text` ends as a sentence does: by a mark, or by an emoji."""
    last = text.rstrip()[-1:]
    return bool(last) and (last in '。！？!?.~～”"」』…' or ord(last) >= 0x2600)


def speaks_of_the_text(note: str, question: str = "") -> bool:
    """Tell whether a note is only about the text that it follows, and not about its matter."""
    note = note.strip()
    bracketed = _BRACKETS.get(note[:1]) == note[-1:] and len(note) > 2
    if bracketed:
        note = note[1:-1].strip()
    label = _NOTE_LABEL.match(note)
    body = note[label.end() :] if label else note
    body = body.strip().rstrip("。！!.~～?？ ")
    if not body or _MATTER.search(body):
        return False
    if _COUNT.fullmatch(body) and (label or bracketed or not body[0].isdigit()):
        return not _ASKS_FOR_A_COUNT.search(question) and not _TECHNICAL.search(question)
    patterns = _SURELY_ABOUT_TEXT
    if asks_for_text(question) and not _ASKS_FOR_A_COUNT.search(question):
        patterns += _UNMARKED + (_MARKED if label or bracketed else ())
    # Every sentence of the note is about the text, else it says something besides.
    sentences = [part for part in _LONG_SENTENCE.split(body) if part.strip()]
    return all(
        any(pattern.fullmatch(part.strip()) for pattern in patterns)
        or _COUNT.fullmatch(part.strip())
        for part in sentences
    )
