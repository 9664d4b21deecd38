"""Tables of paths and labels."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sources import png, write_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.table import read
from selfcure.errors import SelfcureError

IMAGES = {f"{i}.png": png(i, 6) for i in range(4)}


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    return write_files(folder, {**IMAGES, name: text}) / name


def reasons(source: Path, **options) -> list[tuple[str, str]]:
    return [(skip.path, skip.reason) for skip in read(source, **options).skipped]


def test_names_and_every_kind_of_column(tmp_path: Path) -> None:
    text = (
        "File,Emotion,Usage,true_label,id,valence,who\n0.png,sad,Training,,a,0.5,x\n1.png,happy,val,sad,b,,\n"
    )
    dataset = import_dataset("table", table(tmp_path / "s", text), out=tmp_path / "out")
    assert dataset.class_names == ("happy", "sad")
    assert dataset.splits == {"train": 1, "validation": 1}
    train, validation = dataset.split("train"), dataset.split("validation")
    assert (train.ids[0], train.labels[0], train.true_labels[0]) == ("a", 1, -1)
    assert (validation.ids[0], validation.labels[0], validation.true_labels[0]) == ("b", 0, 1)
    assert train.extra_columns == ["valence", "who"]
    assert train.column("valence").to_pylist() == [0.5]
    assert validation.column("valence").to_pylist() == [None]


def test_chosen_columns_and_tsv(tmp_path: Path) -> None:
    source = table(tmp_path, "label\tq\tp\tphase\tt\tkey\nX\tsad\t0.png\ttest\thappy\t007\n", "l.tsv")
    listing = read(
        source,
        path_column="p",
        label_column="q",
        split_column="phase",
        true_label_column="t",
        id_column="key",
    )
    entry = listing.entries[0]
    assert (entry.id, entry.split, entry.path, entry.label, entry.true_label) == (
        "007",
        "test",
        "0.png",
        1,
        0,
    )
    assert dict(entry.extra) == {"source_label": "X"}  # a name that the dataset folder needs itself
    assert listing.options["path_column"] == "p"


def test_numbers_without_names_sort_as_numbers(tmp_path: Path) -> None:
    source = table(tmp_path, "path,label\n0.png,10\n1.png,9\n2.png,1\n")
    listing = read(source)
    assert listing.class_names == ("1", "9", "10")
    assert [e.label for e in listing.entries] == [2, 1, 0]


@pytest.mark.parametrize("names", [["calm", "glad"], "calm, glad"])
def test_numbers_with_names(tmp_path: Path, names: str | list[str]) -> None:
    source = table(tmp_path, "path,label\n0.png,1\n1.png,0\n2.png,2\n3.png,-1\n")
    listing = read(source, class_names=names)
    assert listing.class_names == ("calm", "glad")
    assert [e.label for e in listing.entries] == [1, 0]
    assert [s.reason for s in listing.skipped] == ["label '2' is not a class", "label '-1' is not a class"]
    assert listing.options == {"class_names": ["calm", "glad"]}


def test_labels_by_name_with_names(tmp_path: Path) -> None:
    listing = read(table(tmp_path, "path,label\n0.png,sad\n1.png,awe\n"), class_names=["sad", "happy"])
    assert [e.label for e in listing.entries] == [0]
    assert [s.reason for s in listing.skipped] == ["label 'awe' is not a class"]


def test_parquet_with_numbers_that_have_gaps(tmp_path: Path) -> None:
    write_files(tmp_path, IMAGES)
    columns = {
        "path": ["0.png", "1.png", "2.png"],
        "label": pa.array([3.0, None, 4.0]),
        "landmarks": pa.array([[1.5, 2.0], None, []], pa.list_(pa.float32())),
        "nothing": pa.nulls(3),
        "word": pa.array(["a", "b", "a"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    listing = read(tmp_path / "t.parquet")
    assert listing.class_names == ("3", "4")
    assert [(e.label, e.extra["landmarks"]) for e in listing.entries] == [(0, [1.5, 2.0]), (1, [])]
    assert list(listing.entries[0].extra) == ["landmarks", "word"]
    dataset = import_dataset("table", tmp_path / "t.parquet", out=tmp_path / "out")
    assert dataset.split("train").column("landmarks").to_pylist() == [[1.5, 2.0], []]
    assert dataset.split("train").column("word").to_pylist() == ["a", "a"]
    assert dataset.split("train").column("word").type == pa.string()


def test_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    text = "path,label,split\n0.png,sad,train\n9.png,sad,train\n,sad,train\n1.png,,train\n2.png,sad,later\n3.png,sad\n"
    source = table(tmp_path, text + "0.png,sad,train,1,2\n0.png,sad,train\n")
    assert reasons(source) == [
        ("labels.csv line 7", "2 fields where the header has 3"),
        ("labels.csv line 8", "5 fields where the header has 3"),
        ("9.png", "file is missing"),
        ("labels.csv row 3", "path is blank"),
        ("1.png", "label is blank"),
        ("2.png", "unknown split 'later'"),
    ]
    dataset = import_dataset("table", source, out=tmp_path / "out")
    assert dataset.splits == {"train": 1}
    assert dataset.manifest["skipped"]["id occurs again"] == 1


def test_paths_never_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    write_files(tmp_path, {"secret.png": png(0), "s2/x.png": png(1)})
    inside = folder.absolute() / "1.png"
    paths = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "a/../../secret.png",
        str(tmp_path / "s2/x.png"),
        "C:\\x.png",
    ]
    source = table(
        folder, "path,label\n" + "".join(f"{p},sad\n" for p in [*paths, inside, "a/../2.png", ".\\3.png"])
    )
    listing = read(source)
    assert [s.reason for s in listing.skipped] == ["path leaves the table's folder"] * 5
    assert [e.path for e in listing.entries] == ["1.png", "2.png", "3.png"]
    assert len(import_dataset("table", source, out=tmp_path / "out").split("train")) == 3


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,label\n0.png,sad\n",
            {},
            "has no column path or image .*; its columns are a, label; choose one with path_col",
        ),
        ("path,a\n0.png,sad\n", {}, "has no column label or expression .* choose one with label_column"),
        (
            "path,label\n0.png,sad\n",
            {"label_column": "lable"},
            "unknown column 'lable'; did you mean 'label'",
        ),
        ("path,label\n", {}, "has no rows"),
        ("path,label,label\n0.png,a,b\n", {}, "columns of the same name: label"),
        (
            "path,label\n0.png,1\n1.png,2\n",
            {"class_names": "a,b"},
            "do not count from 0 .lowest 1, highest 2.*names for 0–1",
        ),
        (
            "path,label\n0.png,a\n",
            {"class_names": "a,a"},
            "class_names must be different and not blank: a, a",
        ),
    ],
)
def test_errors(tmp_path: Path, text: str, options: dict, message: str) -> None:
    with pytest.raises(SelfcureError, match=message):
        read(table(tmp_path, text), **options)


def test_sources_that_are_no_tables(tmp_path: Path) -> None:
    write_files(tmp_path, {"x.txt": "a", "x.parquet": "a", "x.csv": b"path,label\n\xff\xfe,\xe9\n"})
    pq.write_table(pa.table({"path": pa.array([[1]]), "label": ["a"]}), tmp_path / "nested.parquet")
    for name, message in {
        "none.csv": "table .*none.csv does not exist",
        "x.txt": r"is not a table; known suffixes: .csv, .tsv",
        "x.parquet": "cannot be read as a table",
        "x.csv": "cannot be read as a table",
        "nested.parquet": "column 'path' holds list",
    }.items():
        with pytest.raises(SelfcureError, match=message):
            read(tmp_path / name)
    with pytest.raises(SelfcureError, match="is not a file"):
        read(tmp_path)
