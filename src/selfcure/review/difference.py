"""What changed between two versions of the labels."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from selfcure.data.folder import SPLITS, Dataset
from selfcure.errors import SelfcureError
from selfcure.labels import label_table
from selfcure.runs import CONFIG, RunFolder

_LABEL_COLUMNS = ("label", "current", "reviewed_label")
"""Of a table: the column that is its version of the labels; the first one that is there."""

Key = tuple[str, str]
"""Split ("" where a table has none) and id."""


@dataclass(frozen=True)
class Difference:
    """Labels by name, of the samples of A and B."""

    changed: list[tuple[Key, str, str]]
    """Sample, label in A, label in B."""
    only_a: list[Key]
    only_b: list[Key]
    num_same: int

    @property
    def pairs(self) -> list[tuple[tuple[str, str], int]]:
        """(from, to) and how often, most frequent first."""
        return Counter((a, b) for _, a, b in self.changed).most_common()

    def summary(self) -> dict[str, Any]:
        """Counts as plain JSON."""
        return {
            "num_same": self.num_same,
            "num_changed": len(self.changed),
            "num_only_a": len(self.only_a),
            "num_only_b": len(self.only_b),
            "changes": [{"from": a, "to": b, "num_samples": n} for (a, b), n in self.pairs],
        }

    def write(self, out: Path) -> None:
        """Write one row for every sample that differs: split, id, a, b; empty where it is not there."""
        with open(out, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["split", "id", "a", "b"])
            writer.writerows([*key, a, b] for key, a, b in self.changed)
            writer.writerows([*key, "present", ""] for key in self.only_a)
            writer.writerows([*key, "", "present"] for key in self.only_b)


def diff_labels(a: str | Path, b: str | Path) -> Difference:
    """Compare two versions of the labels, sample by sample.

    Args:
        a, b: each a dataset folder, a run folder (the labels as training left them) or a table with ``id`` and
            ``label`` (or ``current``), as ``selfcure labels export`` writes it.

    Raises:
        SelfcureError: one of them is none of these, or they have no sample in common.
    """
    left, right = _read(Path(a)), _read(Path(b))
    if not all(split for split, _ in left) or not all(split for split, _ in right):
        # A table without splits is of the training split, which run folders and tables of runs are.
        left, right = ({(s or "train", i): label for (s, i), label in side.items()} for side in (left, right))
    both = left.keys() & right.keys()
    if not both:
        raise SelfcureError(f"{a} and {b} have no sample in common: they are not versions of the same labels")
    changed = [(key, left[key], right[key]) for key in left if key in both and left[key] != right[key]]
    return Difference(
        changed=changed,
        only_a=[key for key in left if key not in both],
        only_b=[key for key in right if key not in both],
        num_same=len(both) - len(changed),
    )


def _read(path: Path) -> dict[Key, str]:
    if (path / CONFIG).is_file():
        table = label_table(RunFolder(path))
        return {("train", i): label for i, label in zip(*_texts(table, "id", "current"), strict=True)}
    if path.suffix in (".csv", ".parquet") and path.is_file():
        return _read_table(path)
    dataset = Dataset(path)
    found: dict[Key, str] = {}
    for name in SPLITS:
        if name in dataset.splits:
            split = dataset.split(name)
            labels = (dataset.class_names[label] for label in split.labels.tolist())
            found |= {(name, id_): label for id_, label in zip(split.ids.tolist(), labels, strict=True)}
    return found


def _read_table(path: Path) -> dict[Key, str]:
    options = pyarrow.csv.ConvertOptions(column_types={"id": pa.string(), "label": pa.string()})
    try:
        table = (
            pq.read_table(path)
            if path.suffix == ".parquet"
            else pyarrow.csv.read_csv(path, convert_options=options)
        )
    except (OSError, pa.ArrowException) as error:
        raise SelfcureError(f"{path} cannot be read: {error}") from error
    column = next((name for name in _LABEL_COLUMNS if name in table.column_names), None)
    if "id" not in table.column_names or column is None:
        raise SelfcureError(
            f"{path} needs the columns id and {' or '.join(_LABEL_COLUMNS[:2])}; it has: {', '.join(table.column_names)}"
        )
    splits = _texts(table, "split")[0] if "split" in table.column_names else [""] * len(table)
    ids, labels = _texts(table, "id", column)
    # No label: the image was rejected, so it is not in this version.
    return {
        (split, id_): label
        for split, id_, label in zip(splits, ids, labels, strict=True)
        if label not in ("", None)
    }


def _texts(table: pa.Table, *columns: str) -> list[list[str]]:
    return [table[column].cast(pa.string()).to_pylist() for column in columns]
