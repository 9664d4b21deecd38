"""Drawings: ticks are round and inside, nothing leaves the area, and text is text."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfcure.report.charts import Series, bars, highlighted, histogram, share_axis, sweep, together
from selfcure.report.svg import Axis, Plot, round_ticks, strip

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@settings(deadline=None)
@given(NUMBERS, st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    ticks = round_ticks(low, low + span)
    assert 1 <= len(ticks) <= 6
    slack = 1e-6 * (span + abs(low))
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    if len(ticks) > 1:
        steps = {f"{b - a:.3g}" for a, b in pairwise(ticks)}
        assert len(steps) == 1 or span < 1e-3
        assert f"{float(steps.pop()):.0e}"[0] in "125" or span < 1e-3


@settings(deadline=None)
@given(st.lists(NUMBERS, max_size=6))
@example([25000.0, -1e-05])
def test_an_axis_holds_its_values(values):
    axis = Axis.of(values)
    assert axis.low < axis.high
    rounding = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - rounding <= value <= axis.high + rounding for value in values)


def test_axis_of_values_that_are_not_finite():
    assert Axis.of([math.nan, math.inf, 2.0, 4.0]).low == 2.0
    assert Axis.of([math.nan]).low < Axis.of([math.nan]).high


def test_points_are_placed_by_the_axes_and_clipped_to_them():
    plot = Plot(Axis(0, 10), Axis(0, 1), width=120, height=70, left=10, right=10, top=10, bottom=10)
    assert plot.at(0, 0) == ("10.0", "60.0")
    assert plot.at(10, 1) == ("110.0", "10.0")
    assert plot.at(5, 0.5) == ("60.0", "35.0")
    assert plot.at(99, -3) == ("110.0", "60.0")


def test_a_line_breaks_where_a_number_is_missing():
    plot = Plot(Axis(0, 3), Axis(0, 1))
    assert plot.path([(0, 0), (1, 1), (2, math.nan), (3, 1)]).count("M") == 2
    plot.line([(1, 0.5)], "s0")
    assert "<circle" in plot.parts[-1], "one epoch is a dot"


def lines(num: int = 2) -> list[Series]:
    return [Series(f"line <{k}>", [1, 2, 3], [k, k + 1, k + 2], [0.5, None, 0.5]) for k in range(num)]


@pytest.mark.parametrize(
    "panels",
    [
        highlighted(lines(3), x_title="<x>", unit="%", ident="a"),
        [together("t", lines(8), diagonal=True)],
        [sweep("t", lines(), x_title="<x>", named={3: "<learned>"})],
        histogram("t", {"<a>": np.array([0.1, 0.5, 0.9]), "none": np.array([])}, x_title="<x>"),
        histogram("t", {"alike": np.full(4, 0.3)}, x_title="x"),
        [bars("t", Series("<b>", [1, 2], [0, 7]))],
        [together("t", [Series("one", [4], [2.0])])],
        [together("t", [Series("n", [0, 1], [math.nan, math.nan])], y=share_axis(""))],
    ],
    ids=["highlighted", "together", "sweep", "histogram", "alike", "bars", "one point", "no number"],
)
def test_drawings_are_well_formed_inside_their_box_and_say_what_they_show(panels):
    assert panels
    for panel in panels:
        root = ElementTree.fromstring(str(panel.svg))
        width, height = map(float, root.get("viewBox").split()[2:])
        assert root.get("role") == "img"
        assert root.get("aria-label")
        for element in root.iter():
            for name, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
                if element.get(name):
                    assert -5 <= float(element.get(name)) <= most + 5, ElementTree.tostring(element)
            for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", element.get("d") or ""):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
        assert "nan" not in "".join(element.get("d") or "" for element in root.iter())


def test_nothing_to_draw_is_nothing():
    empty = [Series("a", [], [])]
    assert highlighted(empty, x_title="x", unit="", ident="a") == []
    assert together("t", empty) is None
    assert sweep("t", empty, x_title="x") is None
    assert bars("t", empty[0]) is None
    assert histogram("t", {"a": np.array([])}, x_title="x") == []


def test_the_lines_behind_are_drawn_once():
    panels = highlighted(lines(4), x_title="x", unit="", ident="here")
    text = "".join(str(panel.svg) for panel in panels)
    assert text.count('id="here"') == 1
    assert text.count('href="#here"') == 3


def test_lines_that_coincide_share_a_name():
    a = Series("given", [1, 2], [3, 4])
    panel = together("t", [a, Series("true", [1, 2], [3, 4]), Series("other", [1, 2], [0, 0])])
    assert [key.name for key in panel.keys] == ["given = true", "other"]


def test_error_bars_are_one_spread_long():
    panel = sweep("t", [Series("", [0, 1], [10.0, 20.0], [5.0, None])], x_title="x")
    bars_drawn = re.findall(r'thin s0" d="M[\d.]+ ([\d.]+)V([\d.]+)', str(panel.svg))
    assert len(bars_drawn) == 1, "of one value there is no spread"
    dots = [float(y) for y in re.findall(r'cy="([\d.]+)"', str(panel.svg))]
    per_point = (dots[0] - dots[1]) / 10
    top, bottom = map(float, bars_drawn[0])
    assert bottom - top == pytest.approx(10 * per_point, abs=0.3)
    assert (bottom + top) / 2 == pytest.approx(dots[0], abs=0.2)


def test_strip_has_a_dot_for_each_seed():
    drawing = str(strip([0.2, 0.4, 0.6], 0.4, 0.2, Axis(0, 1)))
    assert drawing.count("seed") == 3
    assert "spread" in drawing
    assert "spread" not in str(strip([0.2], 0.2, None, Axis(0, 1)))


def test_histogram_shares_add_up():
    values = np.linspace(0, 1, 200)
    panel = histogram("t", {"a": values}, x_title="x", bins=10)[0]
    assert str(panel.svg).count('class="bar') == 10
    assert "mean 0.500" in str(panel.svg)
