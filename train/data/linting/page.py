"""The lint report as one HTML page: nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources

from assistant.words import Text, terminal_language

from .codes import is_error
from .report import Coverage, Finding, Histogram, LintReport

BAR_WIDTH, BARS_HEIGHT = 22, 140
MOST_CELLS = 60  # roles or scenes of the heat map
_LEVELS = 5  # of colour


def page(report: LintReport, language: str | None = None) -> str:
    """The whole page."""
    language = language or terminal_language()
    style = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    say = _Say(language)
    verdict = (
        say("Fit to train on", "可以用于训练")
        if report.passed
        else say("Not fit to train on yet", "还不能用于训练")
    )
    parts = [
        f'<h1>{say("Data check", "数据检查")}</h1>',
        f'<p class="verdict {"good" if report.passed else "bad"}">{verdict}</p>',
        f'<p class="files">{escape(", ".join(report.files))}</p>',
        _figures(report, say),
        f'<h2>{say("Findings", "发现的问题")}</h2>',
        "".join(_finding(finding, say) for finding in report.findings)
        or f'<p>{say("Nothing to mend.", "没有需要处理的问题。")}</p>',
        f'<h2>{say("Tokens of a row", "每行的 token 数")}</h2>',
        _counted_with(report, say),
        _bars(report.lengths.tokens, say("tokens", "token 数"), report.lengths.max_length),
        f'<h2>{say("Characters of an answer", "回答的字数")}</h2>',
        _bars(report.lengths.answer_chars, say("characters", "字数")),
        f'<h2>{say("Languages of the answers", "回答的语言")}</h2>',
        _shares(report.languages) if report.languages
        else f'<p>{say("No row is a whole conversation.", "没有一行是完整的对话。")}</p>',
        f'<h2>{say("Identity and ordinary rows", "身份数据与普通数据")}</h2>',
        _shares({say("identity", "身份"): report.identity_rows, say("ordinary", "普通"): report.ordinary_rows}),
        _heat_map(report.coverage, say),
    ]  # fmt: skip
    tag = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{tag}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{say('Data check', '数据检查')}</title><style>{style}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


class _Say:
    """Says a thing in the page's language."""

    def __init__(self, language: str):
        self.language = language

    def __call__(self, en: str, zh: str) -> str:
        return Text(en, zh).in_language(self.language)

    def text(self, text: Text) -> str:
        return escape(text.in_language(self.language))


def _figures(report: LintReport, say: _Say) -> str:
    about = "" if report.lengths.exact else say("about ", "约 ")
    figures = (
        (f"{report.rows:,}", say("rows", "行")),
        (f"{about}{report.lengths.total_tokens:,}", "token" if say.language == "zh" else "tokens"),
        (f"{report.exact_duplicates:,}", say("exact duplicates", "完全重复")),
        (f"{report.near_duplicates:,}", say("near duplicates", "近似重复")),
        (f"{report.lengths.cut_rows:,}", say("rows cut", "行会被截断")),
    )
    tiles = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in figures)
    return f'<div class="figures">{tiles}</div>'


def _finding(finding: Finding, say: _Say) -> str:
    level = "error" if is_error(finding.code) else "warning"
    rows = "".join(
        f"<li><code>{escape(place.file)}:{place.row}</code> {escape(place.detail)}</li>"
        for place in finding.rows
    )
    more = finding.count - len(finding.rows)
    if more > 0 and finding.rows:
        rows += f"<li>{say(f'… and {more} more', f'…… 还有 {more} 处')}</li>"
    listed = f"<ul>{rows}</ul>" if rows else ""
    note = f"<p>{say.text(finding.note)}</p>" if finding.note.en else ""
    word = say("error", "错误") if level == "error" else say("warning", "警告")
    return (
        f'<details class="{level}"><summary><span class="code">{finding.code}</span>'
        f'<span class="title">{say.text(finding.title)}</span><span class="level">{word}</span>'
        f'<span class="count">{finding.count:,} ({finding.share:.1%})</span></summary>'
        f'{note}<p class="cure">→ {say.text(finding.cure)}</p>{listed}</details>'
    )


def _counted_with(report: LintReport, say: _Say) -> str:
    lengths = report.lengths
    name = escape(lengths.counted_with)
    how = (
        say(f"Counted with the tokenizer of {name}.", f"用 {name} 的分词器计数。")
        if lengths.exact
        else say(
            "Estimated from the letters: the base's tokenizer is not here.",
            "按字数估算：基座的分词器不在本机。",
        )
    )
    cut = ""
    if lengths.max_length:
        cut = say(
            f" Training reads {lengths.max_length} tokens of a row; {lengths.cut_rows} rows lose {lengths.cut_tokens} tokens.",
            f" 训练每行读 {lengths.max_length} 个 token；{lengths.cut_rows} 行会被截去共 {lengths.cut_tokens} 个 token。",
        )
    tokens = lengths.tokens
    middle = say(f" Median {tokens.median}, 95 % up to {tokens.p95}, longest {tokens.longest}.",
                 f" 中位数 {tokens.median}，95% 不超过 {tokens.p95}，最长 {tokens.longest}。")  # fmt: skip
    return f"<p>{how}{middle}{cut}</p>"


def _bars(histogram: Histogram, unit: str, limit: int | None = None) -> str:
    """A histogram as SVG that scales with the page."""
    most = max(histogram.counts, default=0) or 1
    width = len(histogram.counts) * BAR_WIDTH
    bars, labels = [], []
    every = max(1, -(-len(histogram.counts) // 8))
    for place, count in enumerate(histogram.counts):
        left, right = histogram.edges[place], histogram.edges[place + 1]
        height = round(BARS_HEIGHT * count / most) or (1 if count else 0)
        beyond = " over" if limit is not None and left >= limit else ""
        bars.append(
            f'<rect class="bar{beyond}" x="{place * BAR_WIDTH + 1}" y="{BARS_HEIGHT - height}" '
            f'width="{BAR_WIDTH - 2}" height="{height}"><title>{left}–{right} {escape(unit)}: {count}</title></rect>'
        )
        if place % every == 0:
            labels.append(f'<text x="{place * BAR_WIDTH}" y="{BARS_HEIGHT + 16}">{left}</text>')
    return (
        f'<div class="chart"><svg viewBox="0 0 {width + 30} {BARS_HEIGHT + 24}" role="img" '
        f'aria-label="{escape(unit)}">{"".join(bars)}{"".join(labels)}</svg></div>'
    )


def _shares(counts: Mapping[str, int]) -> str:
    total = sum(counts.values()) or 1
    rows = "".join(
        f'<div class="share"><span>{escape(name)}</span><i style="--part:{count / total:.4f}"></i>'
        f"<b>{count:,} ({count / total:.0%})</b></div>"
        for name, count in counts.items()
    )
    return f'<div class="shares">{rows}</div>'


def _heat_map(coverage: Coverage, say: _Say) -> str:
    """Roles down, scenes across; the colour is the number of rows, the hint says the styles."""
    title = f"<h2>{say('Coverage: role × scene', '覆盖：角色 × 场景')}</h2>"
    if not coverage.cells:
        nothing = say(
            "The rows' meta names no role, scene or style.", "数据的 meta 里没有角色、场景或风格。"
        )
        return f"{title}<p>{nothing}</p>"
    roles, scenes = coverage.roles[:MOST_CELLS], coverage.scenes[:MOST_CELLS]
    most = max(coverage.rows(role, scene) for role in roles for scene in scenes) or 1
    head = "".join(f"<th scope='col'><span>{_named(scene)}</span></th>" for scene in scenes)
    body = "".join(
        f"<tr><th scope='row'>{_named(role)}</th>"
        + "".join(_cell(coverage, role, scene, most) for scene in scenes)
        + "</tr>"
        for role in roles
    )
    left = len(coverage.roles) - len(roles) + len(coverage.scenes) - len(scenes)
    more = f"<p>{say(f'{left} more are not shown.', f'另有 {left} 项未显示。')}</p>" if left else ""
    return (
        f'{title}<div class="heat"><table><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _cell(coverage: Coverage, role: str, scene: str, most: int) -> str:
    count = coverage.rows(role, scene)
    level = -(-count * _LEVELS // most)
    hint = ", ".join(_styles(coverage, role, scene))
    shown = str(count) if count else ""
    return (
        f'<td class="h{level}" title="{_named(role)} × {_named(scene)}: {hint or 0}">{shown}</td>'
    )


def _styles(coverage: Coverage, role: str, scene: str) -> Iterable[str]:
    for style in coverage.styles:
        if count := coverage.cells.get(f"{role}\t{scene}\t{style}"):
            yield f"{_named(style)} {count}"


def _named(name: str) -> str:
    return escape(name) or "–"
