"""Confusion matrices from files: row = true class, column = given class."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selfcure.data.vocabulary import ClassIndex, listed
from selfcure.errors import SelfcureError


def read_matrix(path: Path, class_names: Sequence[str]) -> np.ndarray:
    """A K × K matrix from a CSV or JSON file, with rows that sum to 1.

    A CSV holds K rows of K numbers, perhaps with names of the classes above and before them. A JSON file holds a list
    of lists, or an object with one as ``confusion`` or ``matrix`` (what ``selfcure evaluate --json`` prints is one) and
    perhaps ``class_names``. With names, rows and columns are put in the order of ``class_names``.

    Returns:
        [K, K] float64, row-stochastic.

    Raises:
        SelfcureError: the file is missing or holds something else.
    """
    if not path.is_file():
        raise SelfcureError(f"matrix {path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows, names = _from_json(text) if path.suffix.lower() == ".json" else _from_csv(text)
    except (OSError, ValueError, csv.Error) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise SelfcureError(f"{path} cannot be read as a matrix: {why}") from error
    matrix = as_matrix(rows, class_names, str(path))
    if names is None:
        return matrix
    index = ClassIndex(names)
    order = [k for name in class_names if (k := index(name)) is not None]
    if len(names) != len(class_names) or len(set(order)) < len(names):
        raise SelfcureError(f"{path} has the classes {listed(names)}, the dataset has {listed(class_names)}")
    return matrix[np.ix_(order, order)]


def as_matrix(rows: Any, class_names: Sequence[str], what: str) -> np.ndarray:
    """Check a K × K matrix, and turn counts into shares.

    >>> as_matrix([[3, 1], [0, 2]], ["a", "b"], "it").tolist()
    [[0.75, 0.25], [0.0, 1.0]]

    Raises:
        SelfcureError: it has another shape, or a row that is neither shares with the sum 1 nor counts.
    """
    try:
        matrix = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError):
        matrix = np.zeros(0)
    num = len(class_names)
    if matrix.shape != (num, num):
        raise SelfcureError(f"{what} is not a matrix of {num} rows of {num} numbers, one for each class")
    sums = matrix.sum(axis=1)
    counts = bool((matrix == np.round(matrix)).all())
    for name, row, total in zip(class_names, matrix, sums, strict=True):
        # Printed shares are rounded.
        if (
            not np.isfinite(row).all()
            or (row < 0).any()
            or not (counts or abs(total - 1) < 0.01)
            or total <= 0
        ):
            raise SelfcureError(
                f"{what}: the row of {name!r} is neither shares that sum to 1 nor counts: {row.tolist()}"
            )
    return matrix / sums[:, None]


def _from_json(text: str) -> tuple[Any, list[str] | None]:
    document = json.loads(text)
    if not isinstance(document, dict):
        return document, None
    rows = document.get("confusion", document.get("matrix"))
    if rows is None:
        raise ValueError("it has neither 'confusion' nor 'matrix'")
    names = document.get("class_names")
    return rows, [str(name) for name in names] if names else None


def _from_csv(text: str) -> tuple[list[list[str]], list[str] | None]:
    rows = [[field.strip() for field in row] for row in csv.reader(text.splitlines()) if any(row)]
    if not rows or _is_number(rows[0][-1]):
        return rows, None
    header, *rows = rows
    if rows and len(rows[0]) == len(rows) + 1:  # names before the rows, too
        names = [row[0] for row in rows]
        if names != header[1:]:
            raise ValueError("its rows and columns are not named alike")
        return [row[1:] for row in rows], names
    return rows, header


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
