"""FERPlus: the published layout, the two conventions, and what the real archive gives."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sources import VOTES, contents, png, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.base import Listing, Reject
from selfcure.data.readers.ferplus import argmax, majority, read, vote_shares
from selfcure.errors import SelfcureError

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


def names(listing: Listing, split: str) -> list[str]:
    return [f"{e.id[9:10]}:{listing.class_names[e.label]}" for e in listing.entries if e.split == split]


def reasons(listing: Listing) -> Counter[str]:
    return Counter(skip.reason for skip in listing.skipped)


def new_votes(*rows: tuple[str, str, list[int]]) -> str:
    return HEADER + "".join(f"{usage},{name},{','.join(map(str, votes))}\n" for usage, name, votes in rows)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([5, 0, 0, 5, 0, 0, 0, 0, 0, 0], "no majority in the votes"),
        ([5, 1, 1, 1, 1, 1, 0, 0, 0, 0], 0),  # the five single votes are dropped
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], "no majority in the votes"),
        ([0, 0, 0, 0, 0, 0, 0, 6, 4, 0], 7),
        ([0, 0, 0, 0, 0, 0, 0, 5, 5, 0], "no majority in the votes"),  # unknown counts among the votes
        ([2, 0, 0, 0, 0, 0, 0, 0, 3, 0], "the votes say unknown"),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], "the votes say NF"),
    ],
)
def test_majority(votes: list[int], expected: int | str) -> None:
    if isinstance(expected, int):
        assert majority(votes) == expected
    else:
        with pytest.raises(Reject, match=f"^{expected}$"):
            majority(votes)


def test_argmax_takes_the_first_of_equals_and_ignores_unknown() -> None:
    assert argmax([0, 3, 0, 3, 0, 0, 0, 0, 4, 0]) == 1
    with pytest.raises(Reject, match=r"^no vote for any emotion$"):
        argmax([0, 0, 0, 0, 0, 0, 0, 0, 5, 5])


def test_vote_shares_are_of_the_emotions_and_single_votes_are_dropped() -> None:
    assert vote_shares([0, 3, 0, 2, 1, 0, 0, 0, 4, 0]) == [0, 0.6, 0, 0.4, 0, 0, 0, 0]
    assert vote_shares([1, 0, 0, 1, 0, 0, 0, 0, 4, 0]) == [0.5, 0, 0, 0.5, 0, 0, 0, 0], "all are single votes"


def test_votes_become_soft_labels_on_request(ferplus: Path, tmp_path: Path) -> None:
    split = import_dataset("ferplus", ferplus, out=tmp_path / "d", soft_labels=True).split("train")
    votes = [VOTES["FER2013Train"][id_] for id_ in split.ids]
    np.testing.assert_allclose(split.soft_labels, [vote_shares(row) for row in votes])
    np.testing.assert_array_equal(split.soft_labels.argmax(axis=1), split.labels)
    plain = import_dataset("ferplus", ferplus, out=tmp_path / "plain").split("train")
    assert plain.soft_labels is None
    np.testing.assert_array_equal(plain.labels, split.labels)
    with pytest.raises(SelfcureError, match="with given_labels those are the truth"):
        read(ferplus, soft_labels=True, given_labels="other.csv")


def test_majority_is_the_default(ferplus: Path) -> None:
    listing = read(ferplus)
    assert names(listing, "train") == ["0:neutral", "1:happiness", "5:anger", "6:surprise"]
    assert names(listing, "validation") == ["0:sadness", "1:fear"]
    assert names(listing, "test") == ["0:contempt"]
    assert reasons(listing) == {
        "no majority in the votes": 1,
        "the votes say unknown": 1,
        "the votes say NF": 1,
    }
    first = next(e for e in listing.entries if e.split == "train")
    assert (first.id, first.path, first.true_label) == ("fer0000000.png", "FER2013Train/fer0000000.png", None)
    assert list(first.extra.values()) == VOTES["FER2013Train"]["fer0000000.png"]
    assert list(first.extra)[0::9] == ["votes_neutral", "votes_NF"]


def test_argmax_convention(ferplus: Path) -> None:
    listing = read(ferplus, convention="argmax")
    assert names(listing, "train") == [
        "0:neutral",
        "1:happiness",
        "2:neutral",
        "3:happiness",
        "5:anger",
        "6:surprise",
    ]
    assert reasons(listing) == {"no vote for any emotion": 1}


@pytest.mark.parametrize("folder", ["FER2013Train", "FER2013Valid", "FER2013Test"])
def test_any_split_alone(ferplus: Path, tmp_path: Path, folder: str) -> None:
    (ferplus / folder).rename(tmp_path / folder)
    alone = write_files(tmp_path / "alone", {"fer2013new.csv": new_votes(("Training", "", [0] * 9 + [10]))})
    (tmp_path / folder).rename(alone / folder)
    listing = read(alone)
    assert {e.split for e in listing.entries} == {
        {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}[folder]
    }
    # The nameless training row of fer2013new.csv concerns only those who import the training split.
    assert reasons(listing)["votes without an image"] == (folder == "FER2013Train")


def test_votes_of_fer2013new_come_first(ferplus: Path) -> None:
    sad = [0, 0, 0, 10, 0, 0, 0, 0, 0, 0]
    happy = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
    rows = new_votes(
        ("Training", "fer0000000.png", sad),
        ("Training", "fer0000000.png", happy),
        ("Training", "", [0] * 9 + [10]),
        ("Training", "fer0000099.png", happy),
        ("PublicTest", "fer0000010.png", happy),
    )
    write_files(ferplus, {"fer2013new.csv": rows})
    listing = read(ferplus)
    assert names(listing, "train") == [
        "0:sadness",
        "1:happiness",
        "5:anger",
        "6:surprise",
    ]  # others: label.csv
    assert names(listing, "validation") == ["0:happiness", "1:fear"]
    assert reasons(listing)["votes for the same image again"] == 1
    assert reasons(listing)["votes without an image"] == 2
    assert "fer2013new.csv line 4" in [skip.path for skip in listing.skipped]


def test_fer2013new_alone_is_enough(tmp_path: Path) -> None:
    rows = new_votes(("Training", "fer0000000.png", [10] + [0] * 9))
    source = write_files(tmp_path / "s", {"fer2013new.csv": rows, "FER2013Train/fer0000000.png": png(0)})
    assert names(read(source), "train") == ["0:neutral"]


def test_broken_missing_and_extra_files_are_counted(ferplus: Path, tmp_path: Path) -> None:
    train = ferplus / "FER2013Train"
    (train / "fer0000001.png").write_bytes(png(1)[:200])
    (train / "fer0000005.png").unlink()
    (train / "fer0000077.png").write_bytes(png(7))
    (train / "notes.txt").write_text("x")
    (train / ".DS_Store").write_text("x")
    with open(train / "label.csv", "a") as file:
        file.write('fer0000006.png,"(0, 0, 48, 48)",1,2\nfer0000006.png,box,a,0,0,0,0,0,0,0,0,0\n\n')
    dataset = import_dataset("ferplus", ferplus, out=tmp_path / "out")
    assert dataset.splits == {"train": 2, "validation": 2, "test": 1}
    assert dataset.manifest["skipped"] == {
        "malformed row of votes": 2,
        "hidden file": 1,
        "not an image": 1,
        "votes without an image": 1,
        "no majority in the votes": 1,
        "the votes say unknown": 1,
        "the votes say NF": 1,
        "image without votes": 1,
        "unreadable image (OSError)": 1,
    }
    listed = (tmp_path / "out" / "skipped.csv").read_text()
    assert "FER2013Train/label.csv line 6,votes without an image\n" in listed
    assert "FER2013Train/fer0000077.png,image without votes\n" in listed
    assert dataset.split("train").column("votes_happiness").to_pylist() == [0, 0]


@pytest.mark.parametrize("top", ["", "FERPlus-master/data/"])
def test_zip_and_folder_give_the_same_dataset(ferplus: Path, tmp_path: Path, top: str) -> None:
    source = zip_files(tmp_path / "ferplus.zip", contents(ferplus), top)
    from_zip = import_dataset("ferplus", source, out=tmp_path / "a").split("train")
    from_folder = import_dataset("ferplus", ferplus, out=tmp_path / "b").split("train")
    assert from_zip.fingerprint() == from_folder.fingerprint()
    assert (
        from_zip.column("image").to_pylist()[0]["bytes"]
        == from_folder.column("image").to_pylist()[0]["bytes"]
    )
    if not top:
        assert from_zip.column("image") == from_folder.column("image")


def test_clone_of_the_repository(ferplus: Path, tmp_path: Path) -> None:
    """There fer2013new.csv is at the top and the folders are in data/."""
    clone = write_files(
        tmp_path / "clone", {f"data/{name}": data for name, data in contents(ferplus).items()}
    )
    sad = [0, 0, 0, 10, 0, 0, 0, 0, 0, 0]
    write_files(clone, {"fer2013new.csv": new_votes(("Training", "fer0000000.png", sad)), "README.md": "x"})
    assert names(read(clone), "train")[0] == "0:sadness"


def test_given_labels_of_another_annotator(ferplus: Path, tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text(
        "image,usage,code,name\nfer0000000.png,Train,4,Sad\nfer0000001.png,Train,3,happy\n"
        "fer0000005.png,Train,,\nfer0000006.png,Train,9,sideways\n"
    )
    listing = read(ferplus, given_labels=table)
    train = [e for e in listing.entries if e.split == "train"]
    assert [(e.label, e.true_label) for e in train] == [(3, 0), (1, 1)]
    counts = reasons(listing)
    assert counts["given label is blank"] == 1
    assert counts["given label 'sideways' is not a class"] == 1
    assert counts["no given label"] == 3
    assert listing.options == {"convention": "majority", "given_labels": str(table)}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("who,name\nx,happy\n", "has no column that names the samples"),
        ("image,name\nfer0000000.png,3\n", "has no column with names of the classes"),
        ("image,a,b\nfer0000000.png,sad,happy\n", r"several columns \(a, b\)"),
        ("image,a\n", "has no rows"),
        ("image,a,a\nx,sad,sad\n", "columns of the same name: a"),
    ],
)
def test_given_labels_that_do_not_fit(ferplus: Path, tmp_path: Path, rows: str, message: str) -> None:
    table = tmp_path / "other.csv"
    table.write_text(rows)
    with pytest.raises(SelfcureError, match=message):
        read(ferplus, given_labels=table)


def test_given_column_chooses(ferplus: Path, tmp_path: Path) -> None:
    table = tmp_path / "other.csv"
    table.write_text("image,a,b\nfer0000000.png,sad,happy\n")
    assert read(ferplus, given_labels=table, given_column="b").entries[0].label == 1
    with pytest.raises(SelfcureError, match="unknown column 'c'"):
        read(ferplus, given_labels=table, given_column="c")
    with pytest.raises(SelfcureError, match="given_column names a column of given_labels"):
        read(ferplus, given_column="b")


def test_errors(ferplus: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match="unknown convention 'mayority'; did you mean 'majority'"):
        read(ferplus, convention="mayority")
    with pytest.raises(SelfcureError, match="does not exist"):
        read(ferplus, given_labels=tmp_path / "none.csv")
    other = write_files(tmp_path / "other", {"happy/1.png": png(0)})
    with pytest.raises(SelfcureError, match="is not FERPlus: it has none of the folders FER2013Train"):
        read(other)
    double = write_files(tmp_path / "d", {"a/FER2013Train/1.png": png(0), "b/FER2013Train/1.png": png(0)})
    with pytest.raises(SelfcureError, match=r"in several places \(a, b\)"):
        read(double)
    voteless = write_files(tmp_path / "v", {"FER2013Train/1.png": png(0)})
    with pytest.raises(SelfcureError, match=r"neither FER2013Train/label.csv nor fer2013new.csv"):
        read(voteless)
    latin = write_files(
        tmp_path / "l", {"FER2013Train/1.png": png(0), "FER2013Train/label.csv": b"\xe9\xff,x\n"}
    )
    with pytest.raises(SelfcureError, match="is not UTF-8"):
        read(latin)


def test_counts_of_the_real_archive(ferplus_zip: Path) -> None:
    """The archive's images by ``fer2013new.csv``.

    Per row of that file there are 25,060 and 28,559 for training, which count three images twice.
    """
    fer2013 = ferplus_zip.parent / "ferplus-fer2013-labels.csv"
    expected = {"majority": (25_057, 3_199, 24_982, 3_185), "argmax": (28_556, 3_579, 28_452, 3_564)}
    for convention, counts in expected.items():
        crowd, both = (read(ferplus_zip, convention=convention, given_labels=g) for g in (None, fer2013))
        found = [Counter(e.split for e in listing.entries) for listing in (crowd, both)]
        assert tuple(c[split] for c in found for split in ("train", "validation")) == counts
        assert reasons(crowd)["votes for the same image again"] == 3
        assert reasons(crowd)["votes without an image"] == 148 + 10
        assert len(crowd.entries) + len(crowd.skipped) == 28_709 + 3_589  # each row has gone somewhere
        differ = sum(e.label != e.true_label for e in both.entries) / len(both.entries)
        assert differ == pytest.approx({"majority": 0.3233, "argmax": 0.3713}[convention], abs=5e-5)
    assert reasons(both)["given label is blank"] == 119


def test_import_of_the_real_archive(ferplus_zip: Path, tmp_path: Path) -> None:
    start = time.perf_counter()
    dataset = import_dataset("ferplus", ferplus_zip, out=tmp_path / "out")
    assert time.perf_counter() - start < 60
    assert dataset.splits == {"train": 25_057, "validation": 3_199}
