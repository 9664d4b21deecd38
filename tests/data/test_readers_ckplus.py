"""CK+ in the layout of its download, and the split by subject."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import contents, labels, png, reasons, write_files, zip_files

from selfcure.data.importing import import_dataset
from selfcure.data.readers.ckplus import CLASS_NAMES, read
from selfcure.data.readers.subjects import share_of_groups
from selfcure.errors import SelfcureError


def sequence(subject: str, number: str, frames: int, label: int | None) -> dict[str, bytes | str]:
    place = f"{subject}/{number}/{subject}_{number}"
    files: dict[str, bytes | str] = {
        f"cohn-kanade-images/{place}_{k:08d}.png": png(k, 8) for k in range(1, frames + 1)
    }
    if label is not None:
        files[f"Emotion/{place}_{frames:08d}_emotion.txt"] = f"   {label:.7e}\n"
    return files


@pytest.fixture
def ckplus(tmp_path: Path) -> Path:
    """Ten subjects; each has a sequence of 4 frames with a label and one of 3 without."""
    files = {}
    for k in range(10):
        files |= sequence(f"S{k + 5:03d}", "001", 4, k % 7 + 1)
        files |= sequence(f"S{k + 5:03d}", "002", 3, None)
    return write_files(tmp_path / "CK+", files)


def test_last_frame_is_the_peak_and_the_first_neutral(ckplus: Path) -> None:
    listing = read(ckplus, validation_share=0)
    expected = []
    for k in range(10):
        expected += [
            (f"S{k + 5:03d}_001_00000001.png", "neutral"),
            (f"S{k + 5:03d}_001_00000004.png", CLASS_NAMES[k % 7 + 1]),
        ]
    assert labels(listing, "train") == expected
    assert reasons(listing) == {
        "frame that is neither neutral nor peak": 20,
        "sequence without a label": 10,
    }
    assert listing.entries[1].extra == {"subject": "S005", "sequence": "001"}


def test_without_neutral(ckplus: Path) -> None:
    listing = read(ckplus, neutral=False, validation_share=0)
    assert listing.class_names == CLASS_NAMES[1:]
    assert labels(listing, "train")[0] == ("S005_001_00000004.png", "anger")
    assert len(listing.entries) == 10
    assert reasons(listing)["frame that is neither neutral nor peak"] == 30


def test_subjects_are_in_one_split_alone(ckplus: Path) -> None:
    listing = read(ckplus, validation_share=0.3)
    subjects = {
        split: {e.extra["subject"] for e in listing.entries if e.split == split}
        for split in ("train", "validation")
    }
    assert {split: len(names) for split, names in subjects.items()} == {"train": 7, "validation": 3}
    assert not subjects["train"] & subjects["validation"]
    assert read(ckplus, validation_share=0.3).entries == listing.entries
    others = read(ckplus, validation_share=0.3, seed=1)
    assert others.entries != listing.entries
    assert sum(e.split == "validation" for e in others.entries) == 6
    assert {e.split for e in read(ckplus).entries} == {"train", "validation"}


@given(
    sizes=st.dictionaries(st.text("abc", max_size=3), st.integers(1, 9), min_size=2, max_size=12),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_share_of_groups(sizes: dict[str, int], share: float, seed: int) -> None:
    taken = share_of_groups(sizes, share, seed)
    assert 0 < len(taken) < len(sizes)
    assert taken == share_of_groups(dict(reversed(sizes.items())), share, seed)
    got, wanted = sum(sizes[group] for group in taken), share * sum(sizes.values())
    assert abs(got - wanted) <= max(sizes.values())


def test_zips_with_folders_of_their_own(ckplus: Path, tmp_path: Path) -> None:
    files = {
        ("Emotion_labels/" if name.startswith("Emotion") else "extended-cohn-kanade-images/") + name: data
        for name, data in contents(ckplus).items()
    }
    archive = zip_files(tmp_path / "ck.zip", files, "CK+/")
    a = import_dataset("ckplus", ckplus, out=tmp_path / "a")
    b = import_dataset("ckplus", archive, out=tmp_path / "b")
    for split in ("train", "validation"):
        assert a.split(split).fingerprint() == b.split(split).fingerprint()


def test_broken_missing_and_extra_files_are_counted(ckplus: Path, tmp_path: Path) -> None:
    images, emotions = ckplus / "cohn-kanade-images", ckplus / "Emotion"
    (images / "S005/001/S005_001_00000001.png").write_bytes(b"")
    (images / "S006/001/S006_001_00000004.png").unlink()
    (emotions / "S007/001/S007_001_00000004_emotion.txt").write_text("8.0\n")
    (emotions / "S008/001/S008_001_00000004_emotion.txt").write_text("")
    (emotions / "S009/001/S009_001_00000004_emotion.txt").write_bytes(b"\xff\xfe")
    write_files(
        ckplus,
        {
            "Emotion/S010/001/S010_001_00000003_emotion.txt": "1.0",
            "Emotion/S999/001/S999_001_00000003_emotion.txt": "1.0",
            "Emotion/readme.txt": "x",
            "cohn-kanade-images/S011/001/.DS_Store": "x",
            "cohn-kanade-images/S011/001/Thumbs.db": "x",
            "cohn-kanade-images/loose.png": png(0, 8),
            "Landmarks/S005/001/S005_001_00000001_landmarks.txt": "1 2",
            **sequence("S020", "001", 1, 7),
            **sequence("S021", "001", 2, 0),
        },
    )
    dataset = import_dataset("ckplus", ckplus, out=tmp_path / "out", validation_share=0)
    assert dataset.manifest["skipped"] == {
        "hidden file": 1,
        "not an image": 1,
        "not in the folder of a sequence": 1,
        "not a label of a sequence": 1,
        "label without a sequence": 1,
        "sequence without a label": 10,
        "last frame is not the one with the label": 1,
        "label '8.0' is not 0–7": 1,
        "label '' is not 0–7": 1,
        "label cannot be read": 1,
        "sequence with several labels": 1,
        "frame that is neither neutral nor peak": 10,
        "unreadable image (UnidentifiedImageError)": 1,
    }
    assert dataset.splits == {"train": 5 * 2 - 1 + 1 + 2}
    without = read(ckplus, neutral=False, validation_share=0)
    assert reasons(without)["neutral is not among the 7 classes"] == 1


def test_errors(ckplus: Path, tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match=r"is not CK\+: it has no cohn-kanade-images$"):
        read(ckplus / "Emotion")
    with pytest.raises(SelfcureError, match=r"is not CK\+: it has no Emotion$"):
        read(write_files(tmp_path / "a", {"cohn-kanade-images/S005/001/S005_001_00000001.png": png(0, 8)}))
    files: dict[str, bytes | str] = {"cohn-kanade-images/1.png": png(0, 8), "Emotion/x.txt": "x"}
    with pytest.raises(SelfcureError, match=r"is not CK\+: cohn-kanade-images/ has no S005/001/"):
        read(write_files(tmp_path / "b", files))
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(SelfcureError, match="validation_share must be at least 0 and below 1, not"):
            read(ckplus, validation_share=share)
    with pytest.raises(SelfcureError, match="seed must not be negative"):
        read(ckplus, seed=-1)
    with pytest.raises(SelfcureError, match="one subject alone, and none to validate on"):
        read(write_files(tmp_path / "c", sequence("S005", "001", 3, 1)))
