"""Charts as inline SVG. Colours are classes that the page's style sheet fills, so one drawing serves light, dark and print."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

NUM_COLORS = 6
"""Series classes ``s0`` … that the style sheet knows; more series than that are told apart by panels."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """A range of values, its ticks and what it is."""

    low: float
    high: float
    title: str = ""
    ticks: tuple[tuple[float, str], ...] = ()

    @classmethod
    def of(
        cls, values: Iterable[float], title: str = "", *, low: float | None = None, high: float | None = None
    ) -> "Axis":
        """An axis with round ticks around ``values``; ``low`` and ``high`` fix an end."""
        found = [value for value in values if math.isfinite(value)]
        bottom = min(found, default=0.0) if low is None else low
        top = max(found, default=1.0) if high is None else high
        if top - bottom < 1e-9:
            bottom, top = (bottom - 0.5 if low is None else low), (top + 0.5 if high is None else high)
        marks = round_ticks(bottom, top)
        step = marks[1] - marks[0] if len(marks) > 1 else 1.0
        bottom = bottom if low is not None else math.floor(bottom / step + 1e-9) * step
        top = top if high is not None else math.ceil(top / step - 1e-9) * step
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        marks = round_ticks(bottom, top)
        return cls(bottom, top, title, tuple((mark, f"{mark:.{digits}f}") for mark in marks))


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], at most ``most``.

    >>> round_ticks(0, 1)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> round_ticks(31, 68)
    [40.0, 50.0, 60.0]
    """
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * k for k in (1, 2, 5, 10, 20) if span / (power * k) <= most - 1 + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 10) for k in range(first, last + 1)]


@dataclass
class Plot:
    """A drawing area with two axes; what is drawn first lies below."""

    x: Axis
    y: Axis
    width: int = 340
    height: int = 210
    left: int = 40
    right: int = 12
    top: int = 10
    bottom: int = 38
    grid: bool = True
    parts: list[str] = field(default_factory=list)

    def at(self, x: float, y: float) -> tuple[str, str]:
        """Where a point lies in the drawing; what is outside the axes is drawn at their end."""

        def place(value: float, axis: Axis, start: float, stop: float) -> str:
            share = min(1.0, max(0.0, (value - axis.low) / (axis.high - axis.low)))
            return f"{start + share * (stop - start):.1f}"

        return (
            place(x, self.x, self.left, self.width - self.right),
            place(y, self.y, self.height - self.bottom, self.top),
        )

    def path(self, points: Sequence[Point]) -> str:
        """The outline through ``points``, broken where one is not finite."""
        commands, pen = [], "M"
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            commands.append(f"{pen}{' '.join(self.at(x, y))}")
            pen = "L"
        return "".join(commands)

    def line(self, points: Sequence[Point], style: str) -> None:
        if len(points) == 1:  # of one epoch
            self.dot(*points[0], style)
        elif outline := self.path(points):
            self.parts.append(f'<path class="line {style}" d="{outline}"/>')

    def band(self, lower: Sequence[Point], upper: Sequence[Point], style: str) -> None:
        outline = self.path([*upper, *reversed(lower)])
        if len(upper) > 1 and outline:
            self.parts.append(f'<path class="band {style}" d="{outline}Z"/>')

    def dot(self, x: float, y: float, style: str, radius: float = 3.5) -> None:
        across, down = self.at(x, y)
        self.parts.append(f'<circle class="dot {style}" cx="{across}" cy="{down}" r="{radius}"/>')

    def error_bar(self, x: float, y: float, spread: float, style: str) -> None:
        """From ``y`` − spread to ``y`` + spread, with ends."""
        across, top = self.at(x, y + spread)
        bottom = self.at(x, y - spread)[1]
        left, right = f"{float(across) - 4:.1f}", f"{float(across) + 4:.1f}"
        self.parts.append(
            f'<path class="line thin {style}" d="M{across} {top}V{bottom}M{left} {top}H{right}M{left} {bottom}H{right}"/>'
        )

    def bar(self, x: float, until: float, height: float, style: str) -> None:
        """A bar from the bottom of the axis, between two values of x."""
        left, top = self.at(x, height)
        right, bottom = self.at(until, self.y.low)
        self.parts.append(f'<path class="bar {style}" d="M{left} {bottom}V{top}H{right}V{bottom}Z"/>')

    def upright(self, x: float, style: str) -> None:
        """A vertical line through the whole area."""
        across, top = self.at(x, self.y.high)
        self.parts.append(f'<path class="line {style}" d="M{across} {top}V{self.at(x, self.y.low)[1]}"/>')

    def note(self, x: float, y: float, text: str, style: str = "", *, anchor: str = "start") -> None:
        across, down = self.at(x, y)
        self.parts.append(
            f'<text class="{style}" x="{across}" y="{down}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def reuse(self, name: str) -> None:
        """What another drawing of the page defined under this id."""
        self.parts.append(f'<use href="#{name}"/>')

    def define(self, name: str) -> None:
        """Gather what is drawn so far under an id, for others to reuse."""
        self.parts = [f'<g id="{name}">{"".join(self.parts)}</g>']

    def svg(self, label: str) -> Markup:
        """The drawing; ``label`` is what a screen reader says of it."""
        inside = "".join([*self._axes(), *self.parts])
        return Markup(
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(label)}">{inside}</svg>'
        )

    def _axes(self) -> Iterable[str]:
        left, right = self.left, self.width - self.right
        base = self.height - self.bottom
        for value, text in self.y.ticks:
            down = self.at(self.x.low, value)[1]
            if self.grid:
                yield f'<path class="grid" d="M{left} {down}H{right}"/>'
            yield f'<text class="tick" x="{left - 6}" y="{float(down) + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        yield f'<path class="axis" d="M{left} {base}H{right}"/>'
        for value, text in self.x.ticks:
            across = self.at(value, self.y.low)[0]
            yield f'<path class="axis" d="M{across} {base}v4"/>'
            yield f'<text class="tick" x="{across}" y="{base + 16}" text-anchor="middle">{escape(text)}</text>'
        if self.x.title:
            middle = (left + right) / 2
            yield (
                f'<text class="tick" x="{middle:.1f}" y="{base + 32}" text-anchor="middle">{escape(self.x.title)}</text>'
            )


def strip(values: Sequence[float], mean: float, spread: float | None, axis: Axis) -> Markup:
    """A line of a table cell: a dot for each seed, the mean as a stroke, ± one spread as a bar; said in the cell already."""
    plot = Plot(axis, Axis(0, 1), width=120, height=14, left=4, right=4, top=0, bottom=0)
    start, middle = plot.at(axis.low, 0.5)
    stop = plot.at(axis.high, 0.5)[0]
    plot.parts.append(f'<path class="axis" d="M{start} {middle}H{stop}"/>')
    if spread:
        left, right = plot.at(mean - spread, 0)[0], plot.at(mean + spread, 0)[0]
        plot.parts.append(f'<path class="spread" d="M{left} {middle}H{right}"/>')
    for value in values:
        plot.dot(value, 0.5, "seed", 2.2)
    across = plot.at(mean, 0)[0]
    plot.parts.append(f'<path class="mean" d="M{across} 1.5V12.5"/>')
    return Markup(
        f'<svg class="strip" viewBox="0 0 120 14" preserveAspectRatio="xMinYMid" aria-hidden="true">{"".join(plot.parts)}</svg>'
    )
