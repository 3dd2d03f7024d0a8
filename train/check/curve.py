"""The loss curve as an inline SVG: no script, no outside resource, colours of the page."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 28
SMOOTHED_OVER = 20  # the drawn line is a running median over a 20th of the points


def loss_curve(points: Sequence[tuple[int, float]], chosen: int | None = None) -> str:
    """An `<svg>` of (step, loss) points, a mark at the chosen step; "" for fewer than two."""
    if len(points) < 2:
        return ""
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    low, high = 0.0, max(losses) * 1.05 or 1.0

    def x(step: float) -> float:
        return LEFT + (step - steps[0]) / max(1, steps[-1] - steps[0]) * (WIDTH - LEFT - RIGHT)

    def y(loss: float) -> float:
        return HEIGHT - BOTTOM - (loss - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def line(values: Sequence[float], kind: str) -> str:
        path = " ".join(
            f"{x(step):.1f},{y(loss):.1f}" for step, loss in zip(steps, values, strict=True)
        )
        return f'<polyline class="{kind}" points="{path}"/>'

    return "".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Loss over steps / 损失曲线">',
            *(_level(value, y(value)) for value in _ticks(high)),
            *(_step(step, x(step)) for step in _round_steps(steps[0], steps[-1])),
            line(losses, "raw"),
            line(_smoothed(losses), "loss"),
            _mark(x(chosen), chosen)
            if chosen is not None and steps[0] <= chosen <= steps[-1]
            else "",
            f'<text class="axis" x="{WIDTH - RIGHT}" y="{TOP + 12}" text-anchor="end">step / 步</text>',
            "</svg>",
        ]
    )


def _level(value: float, at: float) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="axis" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
    )


def _step(step: int, at: float) -> str:
    return f'<text class="axis" x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{step}</text>'


def _mark(at: float, step: int) -> str:
    side = "end" if at > WIDTH / 2 else "start"
    return (
        f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="marked" x="{at + (-6 if side == "end" else 6):.1f}" y="{TOP + 12}" '
        f'text-anchor="{side}">chosen / 选用 {step}</text>'
    )


def _ticks(high: float) -> list[float]:
    """Four or so round levels from 0."""
    each = next(
        size for power in range(-6, 9) for unit in (1, 2, 5)
        if high / (size := unit * 10.0**power) <= 5
    )  # fmt: skip
    return [round(each * number, 9) for number in range(int(high / each) + 1)]


def _round_steps(first: int, last: int) -> list[int]:
    each = max(1, int(_ticks(max(1, last - first))[1]))
    inner = [step for step in range(each, last, each) if step > first and last - step > each / 2]
    return [first, *inner, last]


def _smoothed(losses: Sequence[float]) -> list[float]:
    reach = max(1, len(losses) // SMOOTHED_OVER)
    return [
        median(losses[max(0, place - reach) : place + reach + 1]) for place in range(len(losses))
    ]
