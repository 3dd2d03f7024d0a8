"""The report of a check: every figure, its gate, and what to do where one is not passed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from assistant.words import Text

REPORT_FILE = "report.json"
TRANSCRIPTS_FILE = "transcripts.jsonl"


class Part(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(Part):
    """A text in both languages."""

    en: str
    zh: str

    @classmethod
    def of(cls, text: Text) -> Words:
        return cls(en=text.en, zh=text.zh)


class Share(Part):
    """A share of some probes' answers, after training and in the base."""

    probes: int
    rate: float
    base_rate: float


class Rate(Part):
    """The trained model's hit rate on some probes, and its Wilson interval (95 %)."""

    probes: int = 0
    hit_rate: float = 0.0
    low: float = 0.0
    high: float = 1.0


class Identity(Part):
    """Name and author said right, nothing left of the base's identity. `plain` and `sly` are the ways
    of asking who it is, without the facts; reports of earlier versions have neither."""

    probes: int
    hit_rate: float
    base_hit_rate: float
    by_kind: dict[str, Share]
    by_language: dict[str, Share]
    plain: Rate = Rate()
    sly: Rate = Rate()


class StyleFigures(Part):
    """One style's answers. Rates are None where nothing can be measured; the base is always asked by
    the style's prompt."""

    probes: int
    rate: float | None
    base_rate: float | None
    asked_by: Literal["trigger", "prompt"]
    max_chars: int | None
    emoji: str


class CorrectedQuestion(Part):
    """A question that the owner corrected: what was said then, what should be, what is said now, and
    in how many of the held-out ways of asking it is said too."""

    id: str
    question: str
    said: str
    answer: str
    now: str
    right: bool
    reworded: int
    ways: int


class Corrections(Part):
    """What the owner put right: asked as it was then, and in ways not trained on."""

    asked: Rate = Rate()
    reworded: Rate = Rate()
    questions: list[CorrectedQuestion] = []


class General(Part):
    """Held-out ordinary conversation: loss on the assistant's tokens."""

    conversations: int
    perplexity: float
    base_perplexity: float
    change_percent: float


class Ended(Part):
    """Answers that the model ended itself, before the limit of tokens."""

    rate: float
    base_rate: float
    identity: Share
    ordinary: Share
    max_tokens: int
    max_tokens_ordinary: int


class Repetition(Part):
    """Answers whose end stands in them over and over."""

    rate: float
    base_rate: float
    rule: Words


class Mismatch(Part):
    """Where two ways of running the same weights first say something else.

    `margin` is by how much the first one's logit for its own token exceeds that for the other's.
    """

    probe: str
    token: int
    said: str
    other: str
    margin: float
    bound: float
    within_rounding: bool


class WeightsCheck(Part):
    """Merged weights against base + adapter, in steps of the numbers they are stored in."""

    tensors: int
    adapted: int
    max_rounding_steps: float  # of those explained
    allowed_steps: float
    unexplained_tensors: int
    unexplained: list[str]  # the first few of them
    proven: bool


class Merge(Part):
    """The adapter on the base against the merged model."""

    greedy_match: float
    max_logit_difference: float
    within_rounding: float
    answers: int
    tokens: int
    whole_vocabulary_at: int
    dtype: str
    weights: WeightsCheck | None  # None: the merged weights were quantised afterwards
    mismatches: list[Mismatch]


class Prompts(Part):
    """The engine's prompts against training's: by token ids, or by their number only."""

    compared: int
    equal: int
    by: Literal["token ids", "token count"]


class EngineCheck(Part):
    """The serving engine against the merged model in transformers."""

    name: str
    device: str
    details: dict[str, str]
    greedy_match: float
    within_rounding: float
    answers: int
    dtype: str
    prompts: Prompts
    mismatches: list[Mismatch]


class Gate(Part):
    """One thing that must be so. `cure` is empty where it is."""

    name: str
    label: Words
    value: float
    threshold: float
    sign: Literal["≥", "≤"]
    passed: bool
    cure: Words | None = None


class Split(Part):
    """Which probes made this report, and which chose the checkpoint. `base` of those reported were
    asked of the base too; 0 in reports of earlier versions, where all were."""

    reported: int
    choosing: int
    chosen_step: int | None
    last_step: int | None
    base: int = 0


class CheckReport(Part):
    """report.json."""

    model: str
    base: str
    persona: dict[str, str]
    answered_by: str
    identity: Identity
    false_trigger: Share
    style: dict[str, StyleFigures]
    general: General
    corrections: Corrections = Corrections()
    ended: Ended
    repetition: Repetition
    placeholder_leaks: int
    merge: Merge
    engine: EngineCheck
    split: Split
    seconds: dict[str, float]
    passed: bool
    gates: list[Gate]


class Transcript(Part):
    """One probe with both answers: a line of transcripts.jsonl."""

    id: str
    kind: str
    language: str
    style: str | None
    messages: list[dict[str, str]]
    base_answer: str
    answer: str
    base_hit: bool
    hit: bool
    faults: list[Words]
    false_trigger: bool
    ended: bool
    repeats: bool
