"""A table of paths and labels: CSV, TSV or Parquet, with a header.

    path,label                            names of classes, or numbers
    a/001.jpg,happy

``path`` is relative to the table's folder. Other columns: ``split`` (train, validation, test; without it all is
train), ``true_label``, ``id`` (the path by default); what else there is becomes columns of the dataset folder.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, shorten, split_name
from selfcure.data.readers.tabular import LABEL_COLUMNS, PATH_COLUMNS, find_column, read_table, texts
from selfcure.data.readers.tree import MAX_FILE_BYTES, natural_key, relative_name
from selfcure.data.schema import CORE_COLUMNS
from selfcure.errors import SelfcureError

SPLIT_COLUMNS = ("split", "usage", "subset")


def read(
    source: Path,
    *,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    true_label_column: str | None = None,
    id_column: str | None = None,
    class_names: str | Sequence[str] | None = None,
) -> Listing:
    """List the images that a table names.

    Args:
        path_column, label_column, split_column, true_label_column, id_column: names of columns, where they are not
            the usual ones.
        class_names: the classes in order (or as one string, with commas). Number ``k`` in the table means the k-th
            from 0; rows of other labels are skipped. Without it the classes are the labels that occur, sorted.

    Raises:
        SelfcureError: ``source`` is not a table, or has no such columns, or numbers that cannot fit ``class_names``.
    """
    chosen = {
        "path": path_column,
        "label": label_column,
        "split": split_column,
        "true_label": true_label_column,
        "id": id_column,
    }
    usual = {
        "path": PATH_COLUMNS,
        "label": LABEL_COLUMNS,
        "split": SPLIT_COLUMNS,
        "true_label": ("true_label",),
        "id": ("id",),
    }
    as_text = {name.strip().lower() for name in chosen.values() if name} | {
        n for names in usual.values() for n in names
    }
    table, skipped = read_table(source, text_columns=as_text)
    columns = {role: find_column(table, chosen[role], usual[role]) for role in chosen}
    for role in ("path", "label"):
        if columns[role] is None:
            raise SelfcureError(
                f"{source} has no column {' or '.join(usual[role])}; its columns are "
                f"{', '.join(table.column_names)}; choose one with {role}_column"
            )
    names = [name.strip() for name in class_names.split(",")] if isinstance(class_names, str) else class_names
    values = {role: texts(table, name) for role, name in columns.items() if name}
    classes = _Classes([*values["label"], *values.get("true_label", [])], names, source)
    extra = _extra_columns(table, {name for name in columns.values() if name})
    extra_rows = table.select([field for field, _ in extra]).rename_columns([name for _, name in extra])
    root = source.parent
    entries = []
    for row in range(table.num_rows):
        at = {role: column[row] for role, column in values.items()}
        try:
            path = _image_path(at["path"], root)
            label = classes.index(at["label"], "label")
            truth = classes.index(at["true_label"], "true label") if at.get("true_label") else None
            split = split_name(at["split"]) if "split" in at else "train"
        except Reject as reason:
            skipped.append(Skip(at["path"] or f"{source.name} row {row + 1}", str(reason)))
            continue
        values_here = {name: extra_rows.column(name)[row].as_py() for name in extra_rows.column_names}
        entries.append(Entry(at.get("id") or path, split, path, label, truth, values_here))
    given = chosen | {"class_names": list(names) if names else None}
    return Listing(
        layout="table",
        source=source,
        class_names=classes.names,
        entries=entries,
        skipped=skipped,
        read_bytes=lambda entry: (root / entry.path).read_bytes(),
        extra_fields=list(extra_rows.schema),
        options={(f"{k}_column" if k in chosen else k): v for k, v in given.items() if v is not None},
    )


class _Classes:
    """The classes of a table and the number of each label in it."""

    def __init__(self, labels: Sequence[str], names: Sequence[str] | None, source: Path):
        present = set(labels) - {""}
        self._numbered = bool(present) and all(re.fullmatch(r"-?[0-9]{1,9}", label) for label in present)
        if names is None:
            names = sorted(present, key=int if self._numbered else natural_key)
            self._numbered = False
        elif len(set(names)) < len(names) or not all(names):
            raise SelfcureError(f"class_names must be different and not blank: {', '.join(names)}")
        elif self._numbered and 0 not in (numbers := set(map(int, present))) and len(names) in numbers:
            raise SelfcureError(
                f"the labels in {source} do not count from 0 (lowest {min(numbers)}, highest {max(numbers)}), "
                f"class_names has {len(names)} names for 0–{len(names) - 1}; put a name for 0 first"
            )
        self.names = tuple(names)
        self._index = {str(k) if self._numbered else name: k for k, name in enumerate(self.names)}

    def index(self, text: str, what: str) -> int:
        if not text:
            raise Reject(f"{what} is blank")
        number = str(int(text)) if self._numbered else text
        if number not in self._index:
            raise Reject(f"{what} {shorten(text)!r} is not a class")
        return self._index[number]


def _image_path(text: str, root: Path) -> str:
    if not text:
        raise Reject("path is blank")
    path = relative_name(text, root.absolute())
    if path is None:
        raise Reject("path leaves the table's folder")
    if not (root / path).is_file():
        raise Reject("file is missing")
    if (root / path).stat().st_size > MAX_FILE_BYTES:
        raise Reject("file too large")
    return path


def _extra_columns(table: pa.Table, used: set[str]) -> list[tuple[str, str]]:
    """(name in the table, name in the dataset folder) of the columns that are only kept; empty ones are not."""
    kept = [
        name for name in table.column_names if name not in used and table.schema.field(name).type != pa.null()
    ]
    return [(name, f"source_{name}" if name in CORE_COLUMNS else name) for name in kept]
