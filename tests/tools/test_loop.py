"""Choosing, running and answering; by an engine that says what its script says."""

import json
import queue
import threading
from collections.abc import Sequence

import pytest

from assistant.conversation import Message
from assistant.engines.base import Chunk, Engine, EngineInfo, QueuedGeneration, Sampling
from assistant.engines.form import Form
from assistant.errors import EngineError
from assistant.serving.tool_step import ToolStep
from assistant.tools.base import Arguments, Tool, ToolError
from assistant.tools.calls import begins_call, checked_call, form_of_calls, read_call
from assistant.tools.clock import Clock, ClockArguments
from assistant.tools.loop import ToolReply
from assistant.tools.prompt import observed, with_tools
from assistant.tools.settings import ToolsTable
from assistant.words import Text


class AddArguments(Arguments):
    """Two numbers."""

    one: int
    other: int


class Add(Tool):
    """Adds, and fails for 13."""

    name = "add"
    described = Text("adds two numbers", "两数相加")
    arguments = AddArguments
    computes = True

    def run(self, arguments: AddArguments) -> str:
        if 13 in (arguments.one, arguments.other):
            raise ToolError("13 brings bad luck")
        return str(arguments.one + arguments.other)


class _Said(QueuedGeneration):
    def __init__(self, text: str, endless: bool = False):
        super().__init__()
        self._count = len(text)
        for letter in text:
            self._outbox.put(Chunk(letter))
        if not endless:
            self._end("stop")

    def _end(self, finish) -> None:
        self._outbox.put(Chunk(finish=finish, prompt_tokens=5, new_tokens=self._count))

    def close(self) -> None:
        self._end("cancelled")


class Scripted(Engine):
    """Says its script, one answer after the other, and remembers what it was asked."""

    def __init__(self, script: Sequence[str], keeps_forms: bool = False, endless: bool = False):
        self._script = list(script)
        self._endless = endless
        self.keeps_forms = keeps_forms
        self.asked: list[tuple[list[Message], Sampling]] = []

    def _start(self, messages, sampling):
        self.asked.append((list(messages), sampling))
        return _Said(self._script.pop(0), self._endless)

    def count_tokens(self, messages):
        return sum(len(message.content) for message in messages)

    def describe(self):
        return EngineInfo("echo", "none", "scripted", 4096)

    def close(self):
        pass


def call(**arguments: object) -> str:
    return json.dumps({"tool": "add", "arguments": arguments})


def told(persona, engine, text="How much is 2 and 3?", **more):
    answer = ToolReply(persona, engine, [Add()], more.pop("limits", ToolsTable()), more.pop("history", []), text, **more)  # fmt: skip
    parts = list(answer)
    steps = [part for part in parts if isinstance(part, ToolStep)]
    return "".join(part for part in parts if isinstance(part, str)), steps, answer


def test_an_ordinary_answer_streams_as_ever(persona):
    engine = Scripted(["It is five."])
    text, steps, answer = told(persona, engine)
    assert (text, steps) == ("It is five.", [])
    assert answer.last == Chunk(finish="stop", prompt_tokens=5, new_tokens=11)
    assert len(engine.asked) == 1


def test_the_model_is_told_its_tools_in_the_language_of_the_question(persona):
    engine = Scripted(["Five.", "五。"])
    told(persona, engine)
    told(persona, engine, "二加三等于几？")
    english, chinese = (messages[0].content for messages, _ in engine.asked)
    assert english.startswith(
        "你是小贝。\nYou can use these tools:\n- add(one, other): adds two numbers"
    )
    assert "- add(one, other): 两数相加" in chinese


@pytest.mark.parametrize("keeps_forms", [True, False])
def test_a_call_runs_and_its_result_is_read(persona, keeps_forms):
    engine = Scripted([call(one=2, other=3)] * 2 + ["It is 5."], keeps_forms)
    text, steps, answer = told(persona, engine, sampling=Sampling(temperature=1.0, seed=7))
    assert text == "It is 5."
    assert [(step.tool, step.arguments, step.result, step.error) for step in steps] == [
        ("add", {"one": 2, "other": 3}, "5", None)
    ]
    asked_again = engine.asked[1][1]
    assert asked_again.temperature == 0
    assert (asked_again.form is not None) == keeps_forms
    last, sampling = engine.asked[-1]
    assert [message.content for message in last[1:]] == [
        "How much is 2 and 3?", call(one=2, other=3), "Result of add: 5"
    ]  # fmt: skip
    assert (sampling.temperature, sampling.form) == (1.0, None)
    assert answer.last.new_tokens >= len("It is 5.") + len(call(one=2, other=3))


def test_an_engine_that_says_only_then_that_it_keeps_no_forms_is_asked_without(persona):
    class Refusing(Scripted):
        def _start(self, messages, sampling):
            if sampling.form:
                raise EngineError(
                    "invalid_request", Text("no response_format", "没有 response_format")
                )
            return super()._start(messages, sampling)

    script = [call(one=2, other=3)] * 2 + [call(one=5, other=3)] * 2 + ["8."]
    engine = Refusing(script, keeps_forms=True)
    text, steps, _ = told(persona, engine)
    assert ([step.result for step in steps], text) == (["5", "8"], "8.")


def test_what_a_tool_refuses_is_told_to_the_model_which_goes_on(persona):
    script = [call(one=13, other=1)] * 2 + [call(one=12, other=2)] * 2 + ["14."]
    text, steps, _ = told(persona, Scripted(script))
    assert [(step.result, step.error) for step in steps] == [
        (None, "13 brings bad luck"),
        ("14", None),
    ]
    assert text == "14."


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('{"tool": "add", "argu', "not whole JSON"),
        ('{"tool": "sub", "arguments": {}}', "no tool 'sub'; there are: add"),
        ('{"tool": "add", "arguments": {"one": 1}}', "argument other: Field required"),
        ('{"tool": "add", "arguments": {"one": "1", "other": 2}}', "argument one"),
        ('{"tool": "add", "arguments": {"one": 1, "other": 2, "x": 3}}', "argument x"),
        ('{"tool": 1}', "a call is"),
        ("[" * 5000, "not"),
    ],
)
def test_what_is_no_call_is_told_to_the_model(persona, written, says):
    engine = Scripted(["{", written, "So be it."])
    text, steps, _ = told(persona, engine)
    assert says in str(steps[0].error)
    assert says in engine.asked[-1][0][-1].content
    assert text == "So be it."


def test_the_same_call_again_ends_it_with_what_came(persona):
    text, steps, answer = told(persona, Scripted([call(one=1, other=1)] * 4))
    assert len(steps) == 2
    assert text == "I used the tools and came to no end. The last one said: 2"
    assert answer.last is not None


def test_rounds_are_counted(persona):
    calls = [call(one=number, other=1) for number in range(5) for _ in range(2)]
    text, steps, _ = told(persona, Scripted(calls), limits=ToolsTable(rounds=3))
    assert len(steps) == 3
    assert text.endswith("said: 3")


def test_when_the_time_is_over_no_tool_begins(persona):
    script = [call(one=1, other=1)] * 2 + ["No time."]
    text, steps, _ = told(persona, Scripted(script), limits=ToolsTable(seconds=1e-9))
    assert "no time left" in str(steps[0].error)
    assert text == "No time."


def test_history_goes_along_and_a_trained_style_is_asked_by_its_trigger(persona):
    history = [Message(role="user", content="Hi"), Message(role="assistant", content="Hello")]
    engine = Scripted([call(one=2, other=3)] * 2 + ["5!"])
    told(persona, engine, history=history, style=persona.style("asked"))
    first, last = engine.asked[0][0], engine.asked[-1][0]
    assert [message.content for message in first[1:3]] == ["Hi", "Hello"]
    assert first[0].content.startswith("你是小贝。\nBe lively.\nYou can use")
    assert last[: len(first)] == first
    assert engine.asked[0][1].temperature == 1.5


def test_stopping_ends_it_in_the_engine_and_runs_nothing(persona):
    engine = Scripted(["{ and never an end"], endless=True)
    answer = ToolReply(persona, engine, [Add()], ToolsTable(), [], "How much?")
    answer.close()
    assert list(answer) == []
    assert answer.last.finish == "cancelled"


def test_stopping_while_a_tool_runs_lets_nothing_follow(persona):
    entered, may_end = threading.Event(), threading.Event()

    class Slow(Add):
        def run(self, arguments):
            entered.set()
            may_end.wait(30)
            return super().run(arguments)

    engine = Scripted([call(one=1, other=2)] * 2 + ["never said"])
    answer = ToolReply(persona, engine, [Slow()], ToolsTable(), [], "How much?")
    parts: queue.SimpleQueue = queue.SimpleQueue()
    reader = threading.Thread(target=lambda: [parts.put(part) for part in answer])
    reader.start()
    assert entered.wait(30)
    answer.close()
    may_end.set()
    reader.join(30)
    assert not reader.is_alive()
    assert [type(parts.get()) for _ in range(parts.qsize())] == [ToolStep]
    assert answer.last.finish == "cancelled"


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("", None), (" \n", None), ("{", True), ('  {"tool"', True), ("H", False), ("Hello {", False),
        ("`", None), ("```", None), ("```json", True), ("```py", False), ("<", None), ("<tool_call>", True),
        ("<b>", False),
    ],
)  # fmt: skip
def test_how_a_call_begins(text, begins):
    assert begins_call(text) is begins


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "add", "arguments": {"one": 1, "other": 2}}',
        '```json\n{"tool": "add", "arguments": {"one": 1, "other": 2}}\n```',
        '<tool_call>\n{"name": "add", "arguments": {"one": 1, "other": 2}}\n</tool_call>',
    ],
)
def test_calls_are_read_as_models_write_them(text):
    tool, arguments = checked_call(read_call(text), [Add()])
    assert (tool.name, arguments) == ("add", AddArguments(one=1, other=2))


def test_the_form_has_every_tool_and_is_one_that_engines_know():
    schema = form_of_calls([Add(), Clock()]).value()
    names = [one["properties"]["tool"]["const"] for one in schema["anyOf"]]
    assert names == ["add", "clock"]
    assert schema["anyOf"][0]["properties"]["arguments"]["required"] == ["one", "other"]


def test_the_clock_knows_zones_and_refuses_others():
    assert "UTC" in Clock().run(ClockArguments(zone="UTC"))
    assert Clock().run(ClockArguments())
    for zone in ("Mars/Base", "../../etc/passwd", "/etc/passwd", "Europe", "\0"):
        with pytest.raises(ToolError, match="not a time zone"):
            Clock().run(ClockArguments(zone=zone))


def test_a_result_is_told_in_the_language():
    step = ToolStep("add", {}, "5", 0.1)
    assert observed(step, "en") == "Result of add: 5"
    assert observed(step, "zh") == "add 的结果：5"
    assert with_tools("", [Add()], "en").startswith("You can use these tools:")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{", "not JSON"), ("[]", "not a schema"), ("{}", "not a schema"),
        ('{"type": "nonsense"}', "'nonsense' is not a type"),
        ('{"type": ["string"]}', "is not a type"),
        ('{"type": "string", "pattern": "("}', "'pattern' is not known"),
        ('{"type": "object"}', "additionalProperties"),
        ('{"type": "object", "additionalProperties": false, "properties": []}', "'properties'"),
        ('{"type": "object", "additionalProperties": false, "required": ["a"]}', "'a' is required"),
        ('{"anyOf": []}', "'anyOf' is empty"), ('{"items": {"type": "string"}}', "no type"),
        ('{"type": "string", "maxLength": -1}', "'maxLength'"),
        ('{"type": "object", "additionalProperties": false, "properties": {"a\\" b": {"type": "null"}}}', "not a name"),
        ('{"type": "string", "maxLength": 1000000000}', "'maxLength'"),
        ('{"type": "integer", "minimum": 2, "maximum": 1}', "more than 'maximum'"),
        ('{"enum": ["' + "x" * 30000 + '"]}', "longer than"),
        ('{"type": "array", "items": {"type": "x"}}', "'x' is not a type"),
    ],
)  # fmt: skip
def test_a_form_that_engines_may_not_know_is_refused(schema, says):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Form(schema)
    assert says in str(caught.value)


def test_a_form_nested_too_deep_is_refused():
    schema = '{"type": "string"}'
    for _ in range(30):
        schema = '{"type": "array", "items": ' + schema + "}"
    with pytest.raises(ValueError, match="nested"):
        Form(schema)
