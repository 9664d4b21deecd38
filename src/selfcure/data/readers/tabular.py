"""Tables from files (CSV, TSV, Parquet), and another annotator's labels in one."""

import csv
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Reject, shorten
from selfcure.data.vocabulary import ClassIndex, listed
from selfcure.errors import SelfcureError, check_choice

PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "image name", "image_path", "filepath")
LABEL_COLUMNS = ("label", "expression", "emotion", "class")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")
LISTS = (".txt", ".lst", ".list")
"""Suffixes of lists: lines of a path and a label, without a header."""


def read_table(path: Path, *, text_columns: Collection[str] | None = None) -> tuple[pa.Table, list[Skip]]:
    """A table with a header, and the rows that have too many or too few fields.

    Args:
        text_columns: columns of a CSV to leave as they are spelled (lower-case names; others get the type that their
            values suggest). None means all.

    Raises:
        SelfcureError: the file is missing, not a table, or has no rows.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise SelfcureError(f"table {path} does not exist" if not path.exists() else f"{path} is not a file")
    skipped: list[Skip] = []
    try:
        if suffix in PARQUET:
            table = pq.read_table(path)
        elif suffix in DELIMITERS:
            table = _read_csv(path, DELIMITERS[suffix], text_columns, skipped)
        else:
            raise SelfcureError(
                f"{path} is not a table; known suffixes: {', '.join([*DELIMITERS, *PARQUET])}"
            )
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError, csv.Error) as error:
        raise SelfcureError(f"{path} cannot be read as a table: {_first_line(error)}") from error
    table = table.cast(pa.schema([_without_dictionary(field) for field in table.schema]))
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise SelfcureError(f"{path} has columns of the same name: {', '.join(repeated)}")
    if not table.num_rows:
        raise SelfcureError(f"{path} has no rows")
    return table, skipped


def find_column(table: pa.Table, wanted: str | None, candidates: Iterable[str]) -> str | None:
    """The column that was asked for, or else the first of ``candidates`` there is; case does not matter to these.

    Raises:
        SelfcureError: the column that was asked for is not there.
    """
    if wanted is not None:
        check_choice("column", wanted, table.column_names)
        return wanted
    by_lower = {name.strip().lower(): name for name in table.column_names}
    return next((by_lower[name] for name in candidates if name in by_lower), None)


def texts(table: pa.Table, name: str) -> list[str]:
    """A column as stripped text, "" where it is null; 3.0 (an integer column with gaps, to pandas) reads 3.

    Raises:
        SelfcureError: the column holds something that is neither text nor a number.
    """
    column = table.column(name)
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise SelfcureError(f"column {name!r} holds {column.type}, not text or numbers")
    values = column.to_pylist()
    return [_text(value) for value in values]


class GivenLabels:
    """Another annotator's labels by sample, from a table of name and label, or a list of lines ``path label``.

    The sample is named in a column ``id``, or one of :data:`PATH_COLUMNS`. The labels are words for the classes,
    found by name (numbers mean other things in every dataset, so ``numbers`` has to say what). Of two rows for one
    sample the first counts.

    Args:
        column: where the labels are; by default the one column whose values are mostly names of classes, or else
            numbers that ``numbers`` knows.
        numbers: what numbers mean, as :data:`~selfcure.data.readers.LABEL_NUMBERS` has it for published layouts.

    Raises:
        SelfcureError: no such file, or no (or more than one) column that fits.
    """

    def __init__(
        self,
        path: Path,
        class_names: Sequence[str],
        *,
        column: str | None = None,
        numbers: Mapping[int, str] | None = None,
    ):
        self.class_names = class_names
        self._word = cache(ClassIndex(class_names))
        self._numbers = {str(number): name for number, name in (numbers or {}).items()}
        table = _read_list(path) if path.suffix.lower() in LISTS else read_table(path)[0]
        key = find_column(table, None, ("id", *PATH_COLUMNS))
        if key is None:
            raise SelfcureError(
                f"{path} has no column that names the samples (id, {', '.join(PATH_COLUMNS)}); "
                f"it has: {', '.join(table.column_names)}"
            )
        label = find_column(table, column, ()) or self._guess(path, table, key)
        self._labels: dict[str, str] = {}
        for name, value in zip(texts(table, key), texts(table, label), strict=True):
            self._labels.setdefault(name, value)
        # A list may say data/Image/aligned/x.jpg where the sample is aligned/x.jpg.
        self._tails: dict[str, str | None] = {}
        for name in self._labels:
            for tail in _tails(name)[1:]:
                self._tails[tail] = None if tail in self._tails else name

    def label(self, *names: str) -> int:
        """The class given to a sample, by the first of its names that the table knows.

        A name fits without its first folders too; one in the table does so if no other there ends alike.

        Raises:
            Reject: no label, a blank one, or one that is no class.
        """
        for name in names:
            for spelling in _tails(name):
                if spelling in self._labels:
                    return given_label(self._labels[spelling], self._index)
        for name in names:
            known = self._tails.get(name)
            if known is not None:
                return given_label(self._labels[known], self._index)
        raise Reject("no given label")

    def _index(self, text: str) -> int | None:
        return self._word(self._numbers.get(text, text))

    def _guess(self, path: Path, table: pa.Table, key: str) -> str:
        others = [n for n in table.column_names if n != key and not pa.types.is_nested(table.column(n).type)]
        columns = {name: [value for value in texts(table, name) if value] for name in others}
        # Words first: a number may be anything else, an age for instance.
        for index in (self._word, self._index):
            fitting = [
                name
                for name, values in columns.items()
                if sum(index(value) is not None for value in values) > len(values) / 2
            ]
            if fitting:
                break
        if len(fitting) == 1:
            return fitting[0]
        found = f"several columns ({', '.join(fitting)})" if fitting else "no column"
        raise SelfcureError(
            f"{path} has {found} with names of the classes {listed(self.class_names)}; its columns are "
            f"{', '.join(table.column_names)}; say which one has the labels"
        )


def _tails(name: str) -> list[str]:
    """A path, then the same without its first folder, and so on to the file name.

    >>> _tails("a/b/c.png")
    ['a/b/c.png', 'b/c.png', 'c.png']
    """
    parts = name.replace("\\", "/").split("/")
    return ["/".join(parts[k:]) for k in range(len(parts))]


def _read_list(path: Path) -> pa.Table:
    """A table of ``path`` and ``label`` from lines like ``a/train_00001.jpg 5``; a comma will do for the space."""
    if not path.is_file():
        raise SelfcureError(f"list {path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SelfcureError(f"{path} cannot be read as a list: {_first_line(error)}") from error
    rows = [match.groups() for line in lines if (match := re.fullmatch(r"\s*(\S.*?)[\s,]+(\S+)\s*", line))]
    if not rows:
        raise SelfcureError(f"{path} has no line of a path and a label")
    return pa.table({"path": [name for name, _ in rows], "label": [label for _, label in rows]})


def given_label(text: str, index: Callable[[str], int | None]) -> int:
    """The class that a given label means to ``index``.

    Raises:
        Reject: the label is blank, or means no class.
    """
    if not text:
        raise Reject("given label is blank")
    label = index(text)
    if label is None:
        raise Reject(f"given label {shorten(text)!r} is not a class")
    return label


def _read_csv(
    path: Path, delimiter: str, text_columns: Collection[str] | None, skipped: list[Skip]
) -> pa.Table:
    with open(path, newline="", encoding="utf-8-sig") as file:
        header = next(csv.reader(file, delimiter=delimiter), [])
    as_text = [name for name in header if text_columns is None or name.strip().lower() in text_columns]

    def skip(row: pacsv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields where the header has {row.expected_columns}"
        # Arrow counts the header and from 1.
        skipped.append(Skip(f"{path.name} line {row.number}", reason))
        return "skip"

    return pacsv.read_csv(
        path,
        # One thread: only then does Arrow know the number of a bad row.
        read_options=pacsv.ReadOptions(use_threads=False),
        parse_options=pacsv.ParseOptions(
            delimiter=delimiter, invalid_row_handler=skip, newlines_in_values=True
        ),
        convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.string())),
    )


def _without_dictionary(field: pa.Field) -> pa.Field:
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
