"""The kinds of charts that reports are made of, from plain numbers to inline SVG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from markupsafe import Markup

from selfcure.report.svg import NUM_COLORS, Axis, Plot, Point


@dataclass(frozen=True)
class Series:
    """A line: points of rising x, and the spread around each where there is one."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    spreads: Sequence[float | None] = ()

    @property
    def points(self) -> list[Point]:
        return list(zip(self.xs, self.ys, strict=True))

    def edges(self) -> tuple[list[Point], list[Point]]:
        """One spread below and above; without spread nothing."""
        known = [(x, y, s) for x, y, s in zip(self.xs, self.ys, self.spreads, strict=False) if s is not None]
        return [(x, y - s) for x, y, s in known], [(x, y + s) for x, y, s in known]

    def extent(self) -> list[float]:
        lower, upper = self.edges()
        return [*self.ys, *(y for _, y in lower), *(y for _, y in upper)]

    def said(self, x_name: str, unit: str = "") -> str:
        """The ends of the line, for a screen reader."""
        if not self.points:
            return f"{self.name}: no values"
        ends = [self.points[0], self.points[-1]] if len(self.points) > 1 else self.points
        return f"{self.name}: " + ", ".join(f"{y:.4g}{unit} at {x_name} {x:.4g}" for x, y in ends)


@dataclass(frozen=True)
class Key:
    """An entry of a legend: what a line is called and how it looks."""

    name: str
    style: str


@dataclass(frozen=True)
class Panel:
    """One chart with its heading."""

    title: str
    svg: Markup
    keys: tuple[Key, ...] = ()


def style_of(index: int) -> str:
    """Classes of the ``index``-th line: six colours, then the same again dashed."""
    return f"s{index % NUM_COLORS}" + (" dashed" if index // NUM_COLORS % 2 else "")


def highlighted(
    series: Sequence[Series],
    *,
    x_title: str,
    unit: str,
    ident: str,
    x: Axis | None = None,
    y: Axis | None = None,
) -> list[Panel]:
    """One panel for each line, in colour with its spread as a band, and all others behind it in grey.

    Args:
        ident: unique on the page; the grey lines are drawn once and reused under it.
    """
    series = [line for line in series if line.points]
    if not series:
        return []
    x = x or _tight([v for line in series for v in line.xs], x_title)
    y = y or Axis.of([value for line in series for value in line.extent()])
    panels: list[Panel] = []
    for line in series:
        plot = Plot(x, y)
        if panels:
            plot.reuse(ident)
        else:
            for other in series:
                plot.line(other.points, "behind")
            plot.define(ident)
        plot.band(*line.edges(), "s0")
        plot.line(line.points, "s0")
        panels.append(Panel(line.name, plot.svg(line.said(x_title, unit))))
    return panels


def together(
    title: str,
    series: Sequence[Series],
    *,
    x_title: str = "epoch",
    unit: str = "",
    y: Axis | None = None,
    diagonal: bool = False,
    x: Axis | None = None,
) -> Panel | None:
    """Few lines in one panel with a legend, the spread as a band; None without any."""
    series = _distinct([line for line in series if line.points])
    if not series:
        return None
    plot = Plot(
        x or _tight([v for line in series for v in line.xs], x_title),
        y or Axis.of([value for line in series for value in line.extent()]),
    )
    if diagonal:
        plot.line([(plot.x.low, plot.y.low), (plot.x.high, plot.y.high)], "behind dashed")
    for index, line in enumerate(series):
        plot.band(*line.edges(), style_of(index))
    for index, line in enumerate(series):
        plot.line(line.points, style_of(index))
    return Panel(title, plot.svg("; ".join(line.said(x_title, unit) for line in series)), _keys(series))


def _distinct(series: Sequence[Series]) -> list[Series]:
    """Lines that coincide become one that bears both names; the second would hide the first."""
    found: dict[tuple[Point, ...], Series] = {}
    for line in series:
        points = tuple(line.points)
        same = found.get(points)
        found[points] = replace(same, name=f"{same.name} = {line.name}") if same else line
    return list(found.values())


def _keys(series: Sequence[Series]) -> tuple[Key, ...]:
    """A legend, where there is something to tell apart."""
    if len(series) == 1 and " = " not in series[0].name:
        return ()
    return tuple(Key(line.name, style_of(index)) for index, line in enumerate(series))


def sweep(
    title: str,
    series: Sequence[Series],
    *,
    x_title: str,
    unit: str = "%",
    named: Mapping[float, str] | None = None,
) -> Panel | None:
    """Lines through values of a setting, each with an error bar of one spread; None without any.

    Args:
        named: values of x that stand for something that is no number, and what it is.
    """
    series = [line for line in series if line.points]
    if not series:
        return None
    named = named or {}
    values = sorted({x for line in series for x in line.xs})
    margin = 0.06 * (values[-1] - values[0]) or 0.5
    ticks = tuple((x, named.get(x, f"{x:g}")) for x in values)
    plot = Plot(
        Axis(values[0] - margin, values[-1] + margin, x_title, ticks),
        Axis.of([value for line in series for value in line.extent()]),
    )
    for index, line in enumerate(series):
        style = style_of(index)
        # Beside each other, or bars of the same place would hide one another.
        shift = (index - (len(series) - 1) / 2) * margin / 5
        plot.line([(x + shift, y) for x, y in line.points if x not in named], style)
        for x, y, spread in zip(line.xs, line.ys, line.spreads, strict=True):
            if spread is not None:
                plot.error_bar(x + shift, y, spread, style)
            plot.dot(x + shift, y, style)
    said = "; ".join(
        f"{line.name}: " + ", ".join(f"{y:.4g} {unit} at {named.get(x, f'{x:g}')}" for x, y in line.points)
        for line in series
    )
    return Panel(title, plot.svg(said), _keys(series))


def histogram(title: str, groups: Mapping[str, np.ndarray], *, x_title: str, bins: int = 40) -> list[Panel]:
    """A panel for each group on common axes: the share of its samples in each bin, and its mean as a line.

    Args:
        groups: name → [n] values; an empty group is left out.
    """
    groups = {name: values for name, values in groups.items() if len(values)}
    if not groups:
        return []
    everything = np.concatenate(list(groups.values()))
    x = Axis.of([float(everything.min()), float(everything.max())], x_title)
    edges = np.linspace(x.low, x.high, bins + 1)
    shares = {name: 100 * np.histogram(values, edges)[0] / len(values) for name, values in groups.items()}
    y = Axis.of([0.0, max(float(share.max()) for share in shares.values())], low=0.0)
    panels = []
    for index, (name, values) in enumerate(groups.items()):
        plot = Plot(x, y)
        for left, right, share in zip(edges, edges[1:], shares[name].tolist(), strict=False):
            if share:
                plot.bar(left, right, share, style_of(index))
        mean = float(values.mean())
        plot.upright(mean, "mean")
        near_end = mean > (x.low + x.high) / 2
        plot.note(
            mean - (x.high - x.low) / 60 if near_end else mean + (x.high - x.low) / 60,
            y.high - (y.high - y.low) / 20,
            f"mean {mean:.3f}",
            "tick",
            anchor="end" if near_end else "start",
        )
        said = f"{name}: {len(values):,} samples, mean {x_title} {mean:.3f}"
        panels.append(Panel(f"{title}: {name}, {len(values):,}", plot.svg(said)))
    return panels


def bars(title: str, series: Series, *, x_title: str = "epoch") -> Panel | None:
    """A bar for each whole number of x; None without any."""
    if not series.points:
        return None
    x = _tight(series.xs, x_title)
    plot = Plot(
        Axis(x.low - 0.5, x.high + 0.5, x_title, x.ticks),
        Axis.of([0.0, *series.ys], low=0.0),
        left=48,
    )
    for place, height in series.points:
        if height:
            plot.bar(place - 0.4, place + 0.4, height, "s0")
    return Panel(title, plot.svg(series.said(x_title)))


SHARE = Axis.of([0.0, 1.0], low=0.0, high=1.0)


def share_axis(title: str) -> Axis:
    """From 0 to 1."""
    return Axis(0.0, 1.0, title, SHARE.ticks)


def _tight(values: Sequence[float], title: str) -> Axis:
    """An axis that ends where the values end, with ticks at whole numbers among them."""
    low, high = min(values), max(values)
    if high - low < 1e-9:
        return Axis(low - 0.5, high + 0.5, title, ((low, f"{low:g}"),))
    step = max(1, math.ceil((high - low) / 6))
    whole = float(low).is_integer() and high - low >= 2
    marks = list(np.arange(low, high + 1e-9, step)) if whole else [low, high]
    if whole and high - marks[-1] >= step / 2:
        marks.append(high)
    elif whole:
        marks[-1] = high
    return Axis(low, high, title, tuple((float(mark), f"{mark:g}") for mark in marks))
