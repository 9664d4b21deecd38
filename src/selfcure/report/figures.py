"""Figures, as matplotlib figures that the caller saves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

INK, MUTED, GOOD, BAD = "#1c2430", "#697384", "#1a7f5a", "#c0392b"
_SERIES = ("#3b6fb6", "#c0392b", "#d18f1f", "#7a5ba8", "#1a7f5a")


@dataclass(frozen=True)
class Face:
    """One picture of a sheet: an image [H, W, 3] uint8, caption lines, and the colour of each line."""

    image: np.ndarray
    lines: Sequence[str]
    colors: Sequence[str] = ()


def save(figure: Figure, path: Path) -> Path:
    """Write ``figure`` as PNG and return ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140, facecolor="white")
    return path


def score_histogram(groups: Mapping[str, np.ndarray], score: str, title: str) -> Figure:
    """Histograms of a score, one row a group on a common axis, each with its mean.

    Args:
        groups: name → [n] score in [0, 1]; an empty group says so.
        score: its name.
    """
    figure = Figure(figsize=(7, 0.9 + 1.1 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
    everything = np.concatenate(list(groups.values()))
    edges = np.linspace(everything.min(initial=1), everything.max(initial=0), 51)
    for axis, (name, values), color in zip(axes, groups.items(), cycle(_SERIES), strict=False):
        mean = "none"
        if len(values):
            axis.hist(
                values, bins=edges, color=color, alpha=0.85, weights=np.full(len(values), 1 / len(values))
            )
            axis.axvline(values.mean(), color=INK, linewidth=1.2)
            mean = f"mean {values.mean():.3f}"
        axis.set_yticks([])
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.set_title(f"{name}, {len(values):,}", loc="left", color=color, weight="bold", fontsize=9.5)
        axis.set_title(mean, loc="right", color=INK, fontsize=9.5)
    axes[-1].set_xlabel(
        f"{score} after the last epoch (share of each kind's samples; line: mean)", color=MUTED
    )
    figure.suptitle(title, x=0.01, ha="left", color=INK, weight="bold", fontsize=11)
    return figure


def face_sheet(sections: Mapping[str, Sequence[Face]], title: str, *, columns: int = 8) -> Figure:
    """Sections of faces with captions under a heading each.

    Args:
        sections: heading → faces, drawn row by row; an empty section says so.
    """
    rows = {heading: max(1, -(-len(faces) // columns)) for heading, faces in sections.items()}
    num_lines = max([1, *(len(face.lines) for faces in sections.values() for face in faces)])
    cell, head = 1.0 + 0.17 * num_lines, 0.34
    height = 0.45 + sum(head + cell * count for count in rows.values())
    width = 1.08 * columns + 0.2
    figure = Figure(figsize=(width, height))
    figure.text(0.12 / width, 1 - 0.12 / height, title, va="top", color=INK, weight="bold", fontsize=11)
    top = height - 0.45
    for heading, faces in sections.items():
        figure.text(0.12 / width, (top - 0.08) / height, heading, va="top", color=MUTED, fontsize=9.5)
        if not faces:
            figure.text(0.12 / width, (top - head - 0.3) / height, "none", va="top", color=INK, fontsize=9.5)
        for index, face in enumerate(faces):
            row, column = divmod(index, columns)
            left, bottom = 0.12 + 1.08 * column, top - head - cell * row - 1.0
            axis = figure.add_axes((left / width, bottom / height, 1.0 / width, 1.0 / height))
            axis.imshow(face.image, interpolation="lanczos")
            axis.set_axis_off()
            for number, line in enumerate(face.lines):
                color = face.colors[number] if number < len(face.colors) else INK
                y = bottom - 0.04 - 0.15 * number
                figure.text(
                    (left + 0.5) / width, y / height, line, va="top", ha="center", color=color, fontsize=7.5
                )
        top -= head + cell * rows[heading]
    return figure
