"""Tables from files (CSV, TSV, Parquet), and another annotator's labels in one."""

import csv
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path, PurePath

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from selfcure.data.folder import Skip
from selfcure.data.readers.base import Reject, shorten
from selfcure.data.vocabulary import class_index
from selfcure.errors import SelfcureError, check_choice

PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "image name", "image_path", "filepath")
LABEL_COLUMNS = ("label", "expression", "emotion", "class")
DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")


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
    """Another annotator's labels by sample, from a table of name and label.

    The sample is named in a column ``id``, or one of :data:`PATH_COLUMNS`. The labels are words for the classes,
    found by name (numbers mean other things in every dataset). Of two rows for one sample the first counts.

    Args:
        column: where the labels are; by default the one column whose values are mostly names of classes.

    Raises:
        SelfcureError: no such file, or no (or more than one) column that fits.
    """

    def __init__(self, path: Path, class_names: Sequence[str], *, column: str | None = None):
        self.class_names = class_names
        self._index = cache(lambda text: class_index(text, class_names))
        table, _ = read_table(path)
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

    def label(self, *names: str) -> int:
        """The class given to a sample, by the first of its names that the table knows; file names fit without folder.

        Raises:
            Reject: no label, a blank one, or one that is no class.
        """
        for name in names:
            for spelling in (name, PurePath(name).name):
                if spelling in self._labels:
                    return given_label(self._labels[spelling], self._index)
        raise Reject("no given label")

    def _guess(self, path: Path, table: pa.Table, key: str) -> str:
        fitting = []
        for name in table.column_names:
            if name != key and not pa.types.is_nested(table.column(name).type):
                values = [value for value in texts(table, name) if value]
                known = sum(self._index(value) is not None for value in values)
                if known > len(values) / 2:
                    fitting.append(name)
        if len(fitting) == 1:
            return fitting[0]
        found = f"several columns ({', '.join(fitting)})" if fitting else "no column"
        raise SelfcureError(
            f"{path} has {found} with names of the classes {', '.join(self.class_names)}; its columns are "
            f"{', '.join(table.column_names)}; say which one has the labels"
        )


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
