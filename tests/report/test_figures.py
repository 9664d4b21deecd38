"""Figures say what they were given, whatever is missing, and stay inside the sheet."""

import matplotlib.image
import numpy as np
import pytest

from selfcure.report.figures import Face, face_sheet, save, score_histogram


def faces(num: int, lines: int = 2) -> list[Face]:
    rng = np.random.default_rng(0)
    return [
        Face(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8), [f"face {i} line {k}" for k in range(lines)])
        for i in range(num)
    ]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def drawn(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def canvas(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    return FigureCanvasAgg(figure)


@pytest.mark.parametrize("counts", [{"a": 3}, {"a": 0}, {"a": 0, "b": 9}, {"a": 17, "b": 0, "c": 8}])
def test_sheets_show_every_face_of_every_section(counts):
    sheet = face_sheet({f"section {k}": faces(n) for k, n in counts.items()}, "A title")
    assert len(sheet.axes) == sum(counts.values())
    written = texts(sheet)
    assert written[0] == "A title"
    for name, num in counts.items():
        assert f"section {name}" in written
        assert sum(f"face {i} line 1" in written for i in range(num)) == num
    assert written.count("none") == sum(n == 0 for n in counts.values())


@pytest.mark.parametrize("lines", [0, 1, 4])
def test_nothing_leaves_the_sheet_and_no_face_covers_another(lines):
    sheet = face_sheet({"a": faces(9, lines), "none here": [], "b": faces(16, lines)}, "title")
    renderer = canvas(sheet).get_renderer()
    boxes = [axis.get_position() for axis in sheet.axes]
    for box in boxes:
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])
    width, height = sheet.bbox.width, sheet.bbox.height
    for text in sheet.texts:
        extent = text.get_window_extent(renderer)
        assert extent.y0 >= 0, text.get_text()
        assert extent.y1 <= height, text.get_text()
        assert extent.x0 >= 0, text.get_text()
        assert extent.x1 <= width, text.get_text()


def test_captions_lie_below_their_own_face_and_above_the_next():
    sheet = face_sheet({"a": faces(16, 3)}, "title", columns=8)
    renderer = canvas(sheet).get_renderer()
    first, below = sheet.axes[0].get_window_extent(renderer), sheet.axes[8].get_window_extent(renderer)
    for text in sheet.texts:
        if text.get_text().startswith("face 0 "):
            extent = text.get_window_extent(renderer)
            assert below.y1 < extent.y0 < extent.y1 <= first.y0 + 1
            assert abs((extent.x0 + extent.x1) / 2 - (first.x0 + first.x1) / 2) < 1


def test_captions_have_their_colours_and_ink_where_none_is_given():
    face = Face(np.zeros((4, 4, 3), np.uint8), ("one", "two"), ("#1a7f5a",))
    colors = {text.get_text(): text.get_color() for text in face_sheet({"a": [face]}, "t").texts}
    assert (colors["one"], colors["two"]) == ("#1a7f5a", "#1c2430")


def test_histogram_shows_shares_and_means_of_each_group():
    groups = {"clean": np.linspace(0.5, 0.9, 1000), "wrong": np.linspace(0.1, 0.5, 30)}
    figure = score_histogram(groups, "importance α", "How far")
    assert len(figure.axes) == 2
    for axis, (name, values) in zip(figure.axes, groups.items(), strict=True):
        assert sum(patch.get_height() for patch in axis.patches) == pytest.approx(1)
        assert axis.get_title(loc="left") == f"{name}, {len(values):,}"
        assert axis.get_title(loc="right") == f"mean {values.mean():.3f}"
        assert axis.lines[0].get_xdata()[0] == pytest.approx(values.mean())
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim(), "one axis, so that groups can be compared"


@pytest.mark.parametrize(
    "groups",
    [
        {"one": np.linspace(0.2, 0.8, 10)},
        {"a single sample": np.array([0.3])},
        {"all alike": np.full(5, 0.5), "and here": np.full(3, 0.5)},
        {f"group {k}": np.linspace(0.1, 0.2 + 0.1 * k, 10) for k in range(5)},
        {f"group {k}": np.linspace(0.1, 0.2 + 0.1 * k, 10) for k in range(7)},
    ],
    ids=["one", "single", "alike", "five", "more than colours"],
)
def test_histograms_of_any_groups_are_drawn(groups, tmp_path):
    figure = score_histogram(groups, "importance α", "title")
    path = save(figure, tmp_path / "new" / "figure.png")
    assert matplotlib.image.imread(path).shape[0] > 100
    assert [axis.get_title(loc="left").split(",")[0] for axis in figure.axes] == list(groups)
    for axis in figure.axes:
        assert sum(patch.get_height() for patch in axis.patches) == pytest.approx(1)


def test_an_empty_group_says_so(tmp_path):
    figure = score_histogram({"clean": np.array([0.4, 0.6]), "wrong": np.array([])}, "importance α", "title")
    save(figure, tmp_path / "figure.png")
    assert figure.axes[1].get_title(loc="left") == "wrong, 0"
    assert figure.axes[1].get_title(loc="right") == "none"


def test_histogram_of_nothing_at_all(tmp_path):
    save(score_histogram({"clean": np.array([])}, "importance α", "title"), tmp_path / "figure.png")


def test_figures_do_not_touch_the_global_state_of_matplotlib():
    import matplotlib.pyplot as plt

    face_sheet({"a": faces(1)}, "t")
    score_histogram({"a": np.array([0.2, 0.3])}, "importance α", "t")
    assert plt.get_fignums() == []
