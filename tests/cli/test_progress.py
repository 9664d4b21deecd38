"""What is drawn on a terminal fits it, and the numbers are right."""

import io
import re

import pytest
from rich.console import Console

from selfcure.cli import progress, tables
from selfcure.cli.progress import TrainingProgress

RECORD = {
    "epoch": 7,
    "loss": 10.1234,
    "accuracy_given": 1.0,
    "accuracy_true": 0.5,
    "importance": {"mean": 0.5, "std": 0.25},
    "num_label_changes": 12345,
    "cure": {"noise_after": 0.25},
    "validation": {"accuracy": 0.125},
    "images_per_second": 12345.6,
}


def drawn_on(monkeypatch, *, width, terminal):
    """A console in place of stderr, and the time in place of the clock."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, markup=False, emoji=False
    )
    monkeypatch.setattr(progress, "errors", console)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return console, now


def lines(text: str) -> list[str]:
    return re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_bar_fits_and_tells_rate_and_time_left(width, monkeypatch):
    console, now = drawn_on(monkeypatch, width=width, terminal=True)
    with TrainingProgress("plain") as shown:
        shown.started(first_epoch=1, num_epochs=40, samples_per_epoch=28_000, notes=["[red]note"])
        shown.step(1, 1_000, {"loss": 1.5, "accuracy_given": 0.125})  # warms up
        now[0] = 20.0
        shown.step(1, 15_000, {"loss": 1.5, "accuracy_given": 0.125})
        # 14,000 images in 20 seconds; 40 · 28,000 − 15,000 are left.
        text = shown._bar.tasks[0].description + " " + shown._bar.tasks[0].fields["note"]
        shown._bar.refresh()
    assert "plain · epoch 1/40 " in text
    assert " 54 % · 26:19 left" in text
    assert ("700 images/s" in text) == (width > 60)
    assert ("fits 12.5 %" in text) == (width == 120)
    output = lines(console.file.getvalue())
    assert max(map(len, output)) <= width
    assert any("plain · epoch 1/40" in line and "26:19 left" in line for line in output)
    assert "plain · [red]note" in output


def test_resumed_training_does_not_count_what_was_done_before(monkeypatch):
    _, now = drawn_on(monkeypatch, width=80, terminal=True)
    with TrainingProgress() as shown:
        shown.started(first_epoch=3, num_epochs=4, samples_per_epoch=100, notes=[])
        shown.step(3, 60, {"loss": 1.5, "accuracy_given": 0.125})
        now[0] = 2.0
        shown.step(3, 80, {"loss": 1.5, "accuracy_given": 0.125})
        assert "0:12 left · 10 images/s" in shown._bar.tasks[0].fields["note"]


def test_rows_of_epochs_are_a_table_in_80_columns(monkeypatch):
    console, _ = drawn_on(monkeypatch, width=80, terminal=False)
    with TrainingProgress() as shown:
        shown.started(first_epoch=7, num_epochs=40, samples_per_epoch=100, notes=[])
        shown.epoch(RECORD)
        shown.epoch({k: v for k, v in RECORD.items() if k != "validation"} | {"epoch": 10, "loss": 1.0})
    assert console.file.getvalue() == (
        "goes on with epoch 7 of 40\n"
        "epoch   loss    given     true          α  changed    wrong    valid  images/s\n"
        " 7/40  10.12  100.0 %   50.0 %  0.50±0.25   12,345   25.0 %   12.5 %    12,346\n"
        "10/40  1.000  100.0 %   50.0 %  0.50±0.25   12,345   25.0 %        –    12,346\n"
    )


NAMES = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"]


@pytest.mark.parametrize(
    ("num_classes", "width", "heading"),
    [
        (3, 80, "true ↓  predicted →  neutral  happiness  surprise  accuracy"),
        (8, 80, "true ↓  predicted →     0     1     2     3     4     5     6     7  accuracy"),
        (8, 120, "true ↓  predicted →  neutral  happiness  surprise  sadness  anger  disgust"),
        (40, 80, "true label  images  accuracy  most often mistaken for"),
    ],
)
def test_confusion_fits_the_screen(num_classes, width, heading):
    names = [NAMES[k % 8] + (str(k) if k >= 8 else "") for k in range(num_classes)]
    counts = [[1000 + 10 * row + column for column in range(num_classes)] for row in range(num_classes)]
    table = tables.confusion(names, counts, [0.5] * num_classes, label="true", width=width)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    output = console.file.getvalue().splitlines()
    assert max(map(len, output)) <= width
    assert output[0].split()[:6] == heading.split()[:6]
    assert len(output) == num_classes + 1


def test_confusion_too_wide_names_the_worst_mistake():
    counts = [[5, 3, 1], [0, 2, 0], [9, 0, 0]]
    table = tables.confusion(["a", "b", "c"], counts, [5 / 9, 1.0, 0.0], label="given", width=20)
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(table)
    assert [line.split() for line in console.file.getvalue().splitlines()[1:]] == [
        ["a", "9", "55.6", "%", "b", "3"],
        ["b", "2", "100.0", "%", "–"],
        ["c", "9", "0.0", "%", "a", "9"],
    ]
