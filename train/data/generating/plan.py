"""A plan in TOML: roles, scenes and styles, which of them fit together, and what is asked."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from assistant.config import Filled, Table
from assistant.conversation import Message
from assistant.errors import UsageError
from assistant.toml_file import read_toml
from assistant.words import Language, Text

from .jobs import Job, Unfit, Work, chance_of, refuse_leaks, room_for, said

PLANS = Path(__file__).parent / "plans"
TOO_LONG = 1.5  # times `max_chars`: beyond that an answer is asked for again
MIN_CHARS = 6


class Role(Table):
    """Somebody: `tags` say what fits; `about` tells the generator more."""

    name: Filled
    tags: tuple[Filled, ...] = ()
    about: str = ""


class Scene(Table):
    """An occasion. It is for roles with one of the tags or names in `only` (empty: for all), and
    not for those in `never`. `typed` is what a person would say of it."""

    name: Filled
    typed: Filled
    about: str = ""
    only: tuple[Filled, ...] = ()
    never: tuple[Filled, ...] = ()

    def fits(self, role: Role) -> bool:
        """Whether this occasion is for `role`."""
        known = {role.name, *role.tags}
        return (not self.only or bool(known & set(self.only))) and not known & set(self.never)


class Example(Table):
    """A few-shot pair: what a person types (without the trigger), and a good answer."""

    typed: Filled
    answer: Filled


class StylePlan(Table):
    """A style: how to write it, examples, the most characters, and what a person adds to ask for
    it (empty: nothing)."""

    name: Filled
    trigger: str = ""
    instruction: Filled
    max_chars: Annotated[int, Field(gt=0)] = 100
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]


class GenerationPlan(Table):
    """What to generate. `system` and `prompt` may say {role} {about_role} {scene} {about_scene}
    {style} {instruction} {max_chars} {conditions}; `typed` may say {role} {scene} {trigger}.
    Of each list in `conditions` one entry is drawn by chance for every cell."""

    name: Filled
    language: Language = "zh"
    seed: int = 42
    per_cell: Annotated[int, Field(ge=1)] = 1
    system: Filled
    prompt: Filled
    typed: Annotated[tuple[Filled, ...], Field(min_length=1)]
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    scenes: Annotated[tuple[Scene, ...], Field(min_length=1)]
    styles: Annotated[tuple[StylePlan, ...], Field(min_length=1)]
    conditions: Annotated[
        dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], Field(default_factory=dict)
    ]

    def cells(self) -> Iterator[Cell]:
        """Every cell that the mask lets through, `per_cell` times."""
        for role, scene, style in itertools.product(self.roles, self.scenes, self.styles):
            if scene.fits(role):
                for number in range(self.per_cell):
                    yield Cell(role, scene, style, number)

    def mask(self) -> dict[str, list[str]]:
        """For each scene the roles that it is for."""
        return {
            scene.name: [role.name for role in self.roles if scene.fits(role)]
            for scene in self.scenes
        }


class Cell(NamedTuple):
    """One answer of the plan."""

    role: Role
    scene: Scene
    style: StylePlan
    number: int

    @property
    def name(self) -> str:
        return f"{self.role.name}/{self.scene.name}/{self.style.name}/{self.number + 1}"


def plan_work(reference: str, folder: Path) -> Work:
    """The jobs of a plan: a file, or the name of one that comes with the kit.

    Raises UsageError for a plan that is not there or has faults.
    """
    file = _plan_file(reference, folder)
    plan = read_plan(file)
    jobs = [_job(plan, cell) for cell in plan.cells()]
    roles, scenes, styles = len(plan.roles), len(plan.scenes), len(plan.styles)
    left_out = roles * scenes - sum(map(len, plan.mask().values()))
    return Work(
        plan.name, jobs, [file],
        Text(
            f"{roles} roles × {scenes} scenes × {styles} styles; the mask leaves out {left_out} of "
            f"{roles * scenes} pairs",
            f"{roles} 个对象 × {scenes} 个场景 × {styles} 种风格；{roles * scenes} 个组合中有 {left_out} 个不合适，已排除",
        ),
        tuple(style.trigger for style in plan.styles if style.trigger),
    )  # fmt: skip


def _plan_file(reference: str, folder: Path) -> Path:
    ready = PLANS / f"{reference}.toml"
    if ready.is_file():
        return ready
    file = folder / reference
    if file.is_file():
        return file
    names = ", ".join(sorted(plan.stem for plan in PLANS.glob("*.toml")))
    raise UsageError(
        Text(f"There is no plan {file}.", f"没有计划文件 {file}。"),
        Text(f"Ready ones: {names}.", f"自带的有：{names}。"),
    )


def read_plan(file: Path) -> GenerationPlan:
    """Read and check a plan. Raises UsageError naming all its faults."""
    try:
        plan = GenerationPlan.model_validate(read_toml(file))
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise _faulty(file, faults) from None
    if faults := _faults(plan):
        raise _faulty(file, faults)
    return plan


def _faults(plan: GenerationPlan) -> list[str]:
    faults = []
    for what, names in (
        ("role", [role.name for role in plan.roles]),
        ("scene", [scene.name for scene in plan.scenes]),
        ("style", [style.name for style in plan.styles]),
    ):
        faults += [
            f"  {what} {name!r} stands twice" for name in set(names) if names.count(name) > 1
        ]
    known = {word for role in plan.roles for word in (role.name, *role.tags)}
    for scene in plan.scenes:
        strange = sorted({*scene.only, *scene.never} - known)
        faults += [
            f"  scene {scene.name!r}: no role is or has the tag {word!r}" for word in strange
        ]
        if not strange and not any(scene.fits(role) for role in plan.roles):
            faults.append(f"  scene {scene.name!r} is for none of the roles")
    first = next(plan.cells(), None)
    if first is not None:
        try:
            _job(plan, first)
        except (KeyError, IndexError, ValueError) as error:
            faults.append(f"  system, prompt or typed: unknown place {error}")
    return faults


def _faulty(file: Path, faults: list[str]) -> UsageError:
    lines = "\n".join(faults)
    return UsageError(Text(f"{file} has faults:\n{lines}", f"{file} 有问题：\n{lines}"))


def _job(plan: GenerationPlan, cell: Cell) -> Job:
    seed = chance_of(plan.seed, cell.name)
    chance = random.Random(seed)
    drawn = {name: chance.choice(values) for name, values in plan.conditions.items()}
    words = {
        "role": cell.role.name, "about_role": cell.role.about, "scene": cell.scene.name,
        "about_scene": cell.scene.about, "style": cell.style.name,
        "instruction": cell.style.instruction, "max_chars": cell.style.max_chars,
        "conditions": "\n".join(f"- {value}" for value in drawn.values() if value),
    }  # fmt: skip
    place = chance_of(plan.seed, cell.role.name, cell.scene.name, cell.style.name) + cell.number
    typed = plan.typed[place % len(plan.typed)].format(
        role=cell.role.name, scene=cell.scene.typed, trigger=cell.style.trigger
    )
    messages = [said("system", plan.system.format(**words).strip())]
    for example in cell.style.examples:
        messages += [
            said("user", example.typed + cell.style.trigger),
            said("assistant", example.answer),
        ]
    messages.append(said("user", plan.prompt.format(**words).strip()))

    def read(answer: str) -> list[tuple[tuple[Message, ...], dict[str, Any]]]:
        text = _fit(answer, cell.style)
        return [((said("user", typed), said("assistant", text)), {})]

    meta = {
        "kind": "generated", "language": plan.language, "source": f"{plan.name}:{cell.name}",
        "topic": cell.scene.name, "role": cell.role.name, "scene": cell.scene.name,
        "style": cell.style.name, "conditions": drawn,
    }  # fmt: skip
    return Job(cell.name, tuple(messages), room_for(cell.style.max_chars), seed, read, meta)


def _fit(answer: str, style: StylePlan) -> str:
    text = refuse_leaks(answer)
    if len(text) < MIN_CHARS:
        raise Unfit(f"only {len(text)} characters")
    if len(text) > style.max_chars * TOO_LONG:
        raise Unfit(f"{len(text)} characters, {style.max_chars} wanted")
    if any(text == example.answer for example in style.examples):
        raise Unfit("repeats an example")
    return text
