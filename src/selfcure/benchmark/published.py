"""Published numbers to stand beside ours, each with where it is from.

Sources: ``paper``, the text of the Self-Cure Network's paper; ``other paper``, a public table of another paper;
``recalled``, remembered and not checked against any source.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from selfcure.benchmark.results import Table


@dataclass(frozen=True)
class Published:
    """Accuracies in per cent, as printed."""

    values: tuple[str, ...]
    source: str
    pretrained: bool
    """Pretrained on faces, or from scratch."""

    def __str__(self) -> str:
        start = "pretrained" if self.pretrained else "scratch"
        return f"{' / '.join(self.values)} ({start}; {self.source})"


def _of(values: str, source: str, *, pretrained: bool) -> Published:
    return Published(tuple(values.split()), source, pretrained)


NOISE_RATES = ("10 %", "20 %", "30 %")
"""Of the values below."""

NOISE: dict[str, dict[str, tuple[Published, ...]]] = {
    "rafdb": {
        "plain": (
            _of("61.43 55.50 46.81", "recalled", pretrained=False),
            _of("80.81 78.18 75.26", "recalled", pretrained=True),
        ),
        "scn": (
            _of("70.26 63.50 60.61", "recalled", pretrained=False),
            _of("82.18 80.01 77.46", "other paper", pretrained=True),
        ),
        "curriculumnet": (_of("68.50 61.23 57.52", "recalled", pretrained=False),),
        "metacleaner": (_of("68.45 61.35 58.89", "recalled", pretrained=False),),
        "coteaching": (_of("80.18 79.56 75.00", "other paper", pretrained=True),),
        "rul": (_of("86.22 84.34 82.06", "recalled", pretrained=True),),
        "eac": (_of("88.02 86.05 84.42", "recalled", pretrained=True),),
    },
    "ferplus": {
        "plain": (
            _of("77.15 71.88 68.54", "recalled", pretrained=False),
            _of("83.39 82.24 79.34", "recalled", pretrained=True),
        ),
        "scn": (
            _of("78.53 72.46 70.45", "recalled", pretrained=False),
            _of("84.28 83.17 82.47", "other paper", pretrained=True),
        ),
        "coteaching": (_of("86.00 85.50 83.48", "other paper", pretrained=True),),
        "rul": (_of("86.93 85.05 83.90", "recalled", pretrained=True),),
        "eac": (_of("87.03 86.07 85.44", "recalled", pretrained=True),),
    },
}
"""Layout of the dataset → method → accuracy at :data:`NOISE_RATES` of flipped labels."""

NOISE_GAINS: dict[str, str] = {
    "rafdb": "13.80 scratch, 2.20 pretrained",
    "ferplus": "1.07 scratch, 2.47 pretrained",
    "affectnet": "1.91 scratch, 3.12 pretrained",
}
"""Layout → SCN's gain over plain training at 30 % flips, from the paper's text (FERPlus and AffectNet may be swapped)."""


STATE_OF_THE_ART: tuple[tuple[str, str, dict[str, tuple[str, str]]], ...] = (
    ("IPA2LT", "–", {"rafdb": ("86.77", "(recalled)"), "affectnet": ("57.31", "(recalled)")}),
    ("gaCNN", "VGG-16", {"rafdb": ("85.07", "(recalled)"), "affectnet": ("58.78", "(recalled)")}),
    (
        "RAN",
        "ResNet-18",
        {
            "rafdb": ("86.90", "(recalled)"),
            "affectnet": ("59.50", "(recalled)"),
            "ferplus": ("88.55", "(recalled)"),
        },
    ),
    ("SCN", "ResNet-18", {"rafdb": ("88.14", "(paper)"), "affectnet": ("60.23", "(paper)")}),
    ("SCN", "IR-50", {"ferplus": ("89.35", "(paper)")}),
)
"""Name, backbone, and by layout the accuracy (on AffectNet, the mean class accuracy) and its source."""


Column = tuple[str, Sequence[str]]
"""Heading, and a cell for each row."""


def noise(table: Table) -> Column | None:
    """What was published of a noise table's rows, the start from which they were trained first; None for nothing."""
    layouts = _layouts(table)
    if len(layouts) != 1:
        return None
    of_methods = NOISE.get(next(iter(layouts)), {})
    pretrained = any(entry.cell.weights for entry in table.entries())
    cells = []
    for row in table.rows:
        found = of_methods.get(row[0], ())
        same = [entry for entry in found if entry.pretrained == pretrained] or list(found)
        cells.append("; ".join(map(str, same)) or "–")
    if all(cell == "–" for cell in cells):
        return None
    return f"published, {' / '.join(NOISE_RATES)}", cells


def state_of_the_art(table: Table) -> list[tuple[tuple[str, ...], Sequence[str]]]:
    """Rows of Table 7 for the datasets that are columns of the table."""
    layout_of = {column: next(iter(_layouts(table, column)), "") for column in table.columns}
    rows: list[tuple[tuple[str, ...], Sequence[str]]] = []
    for name, backbone, values in STATE_OF_THE_ART:
        cells = [" ".join(filter(None, values.get(layout_of[column], ("–", "")))) for column in table.columns]
        if any(cell != "–" for cell in cells):
            rows.append(((name, "published", backbone, "–"), cells))
    return rows


def _layouts(table: Table, column: str | None = None) -> set[str]:
    """The published layouts that the table's datasets come from."""
    return {
        step.options.get("layout", "")
        for (_, name), spot in table.spots.items()
        if column in (None, name)
        for entry in spot.entries.values()
        for step in entry.cell.data.steps()
        if step.kind == "source"
    }
