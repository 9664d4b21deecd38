"""Arrays and labels from files that somebody else wrote."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selfcure.errors import SelfcureError


def load_array(path: Path, name: str) -> np.ndarray:
    """The array of a ``.npy`` file, or of an ``.npz`` the one called ``name`` or its only one.

    Raises:
        SelfcureError: there is no such file or array, or it is no NumPy file (pickled objects are never loaded).
    """
    if path.suffix not in (".npy", ".npz"):
        raise SelfcureError(f"{path} must be .npy or .npz, as numpy.save and numpy.savez write them")
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with np.load(path, allow_pickle=False) as found:
            key = name if name in found.files else found.files[0] if len(found.files) == 1 else None
            if key is None:
                raise SelfcureError(
                    f"{path} has no array {name!r}, but {', '.join(found.files) or 'none at all'}; "
                    f"save it as numpy.savez(file, {name}=…)"
                )
            return found[key]
    except FileNotFoundError as error:
        raise SelfcureError(f"{path} does not exist") from error
    except SelfcureError:
        raise
    except Exception as error:  # what NumPy raises on a damaged file depends on where it is damaged
        raise SelfcureError(f"{path} cannot be read as a NumPy file: {error}") from error


def load_labels(path: Path, names: Sequence[str] | None = None, *, num: int | None = None) -> np.ndarray:
    """[N] int64 labels of a ``.npy``, ``.npz`` (``labels``) or ``.csv`` file (column ``label``, or its only one).

    Args:
        names: what a name in the file is the number of.
        num: how many there have to be.

    Raises:
        SelfcureError: the file is not there or of another kind, or holds something that is no class.
    """
    if path.suffix == ".csv":
        found = np.array([_number(value, path, line, names) for line, value in _column(path)], np.int64)
    else:
        found = np.asarray(load_array(path, "labels"))
        if found.dtype.kind in "U":
            found = np.array(
                [_number(str(v), path, row, names) for row, v in enumerate(found.ravel())], np.int64
            )
    if num is not None and found.shape != (num,):
        raise SelfcureError(f"{path} has labels of shape {found.shape}, not {num:,} as the given ones")
    return found


def _column(path: Path) -> list[tuple[int, str]]:
    """Line number and text of each row."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [(k, row) for k, row in enumerate(csv.reader(file), start=1) if row]
    except OSError as error:
        raise SelfcureError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SelfcureError(f"{path} is no UTF-8 text") from error
    if not lines:
        raise SelfcureError(f"{path} is empty")
    header = [cell.strip() for cell in lines[0][1]]
    if "label" in header:
        index, lines = header.index("label"), lines[1:]
    elif len(header) == 1:
        index = 0
    else:
        raise SelfcureError(f"{path} has no column 'label', but {', '.join(header)}")
    short = [line for line, row in lines if len(row) <= index]
    if short:
        raise SelfcureError(f"{path} line {short[0]} has no label")
    return [(line, row[index].strip()) for line, row in lines]


def _number(value: str, path: Path, line: int, names: Sequence[str] | None) -> int:
    if names is not None and value in names:
        return names.index(value)
    try:
        return int(value)
    except ValueError:
        how = (
            "give their names in order with --classes" if names is None else f"classes are {', '.join(names)}"
        )
        raise SelfcureError(f"{path} line {line}: {value!r} is no number of a class; {how}") from None
