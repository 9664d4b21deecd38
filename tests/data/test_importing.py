"""Importing: its errors, its resumption, and what Hugging Face makes of the result."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sources import contents, png, write_files, zip_files

from selfcure.data.folder import Dataset
from selfcure.data.importing import import_dataset
from selfcure.data.readers import READERS, base, class_folders
from selfcure.data.readers.tree import natural_key, relative_name
from selfcure.errors import SelfcureError


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SHARD_SIZE", 4)


class Interrupt:
    """A progress callback that stops the import after some shards, as Ctrl-C would."""

    def __init__(self, shards: int):
        self.shards = shards

    def __call__(self, done: int, total: int) -> None:
        self.shards -= 1
        if not self.shards:
            raise KeyboardInterrupt


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_interrupted_import_is_finished_by_the_same_call(classes, tmp_path: Path, shards: int) -> None:
    source = classes(4)
    (source / "fear" / "2.png").write_bytes(b"broken")
    whole = import_dataset("folder", source, out=tmp_path / "whole")
    assert len(whole.split("train").files) == 3
    with pytest.raises(KeyboardInterrupt):
        import_dataset("folder", source, out=tmp_path / "out", progress=Interrupt(shards))
    with pytest.raises(SelfcureError, match="is not finished; repeat the command that was making it"):
        Dataset(tmp_path / "out")
    done = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "out.partial").glob("*.parquet")}
    assert len(done) == shards
    dataset = import_dataset("folder", source, out=tmp_path / "out")
    assert contents(dataset.path) == contents(whole.path)
    assert {
        name: (dataset.path / name).stat().st_mtime_ns for name in done
    } == done  # kept, not written again
    assert not (tmp_path / "out.partial").exists()


def test_interrupted_within_a_shard(classes, tmp_path: Path) -> None:
    source, out = classes(4), tmp_path / "out"
    whole = import_dataset("folder", source, out=tmp_path / "whole")
    listing = class_folders.read(source)

    def stop(entry: base.Entry) -> bytes:
        if entry is listing.entries[6]:
            raise KeyboardInterrupt
        return listing.read_bytes(entry)

    with pytest.raises(KeyboardInterrupt):
        base.write_listing(replace(listing, read_bytes=stop), out)
    assert len(list((tmp_path / "out.partial").glob("*.parquet"))) == 1
    assert contents(import_dataset("folder", source, out=out).path) == contents(whole.path)


@pytest.mark.parametrize("removed", [0, 1, 2, 3])
def test_killed_while_cleaning_up(
    classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    """After the manifest three sidecars and the plan are removed; a kill between any two of these is mended."""
    source, out = classes(4), tmp_path / "out"
    whole = import_dataset("folder", source, out=tmp_path / "whole")
    real, left = Path.unlink, removed

    def unlink(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        real(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(KeyboardInterrupt):
        import_dataset("folder", source, out=out)
    monkeypatch.setattr(Path, "unlink", real)
    assert contents(import_dataset("folder", source, out=out).path) == contents(whole.path)


def test_rerun_with_other_settings_or_source_is_refused(ferplus: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        import_dataset("ferplus", ferplus, out=tmp_path / "out", progress=Interrupt(1))
    with pytest.raises(SelfcureError, match=r"out.partial holds unfinished work with other settings"):
        import_dataset("ferplus", ferplus, out=tmp_path / "out", convention="argmax")
    labels = ferplus / "FER2013Train" / "label.csv"
    before = labels.read_text()
    labels.write_text(before.replace("6,0,1,1,0", "0,6,1,1,0"))
    with pytest.raises(SelfcureError, match="or from a changed source"):
        import_dataset("ferplus", ferplus, out=tmp_path / "out")
    labels.write_text(before)
    assert import_dataset("ferplus", ferplus, out=tmp_path / "out").splits["train"] == 4


def test_finished_folder_is_not_overwritten(classes, tmp_path: Path) -> None:
    import_dataset("folder", classes(), out=tmp_path / "out")
    with pytest.raises(SelfcureError, match="out already exists; choose another --out or delete it"):
        import_dataset("folder", classes(), out=tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SelfcureError, match="already exists"):
        import_dataset("folder", classes(), out=tmp_path / "file")
    write_files(tmp_path / "new.partial", {"mine.txt": "x"})
    with pytest.raises(SelfcureError, match=r"new.partial is in the way"):
        import_dataset("folder", classes(), out=tmp_path / "new")
    assert (tmp_path / "new.partial" / "mine.txt").exists()


def test_empty_out_folder_is_fine(classes, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    assert import_dataset("folder", classes(), out=tmp_path / "deep").splits == {"train": 9}
    assert import_dataset("folder", classes(), out=tmp_path / "a" / "b" / "c").splits == {"train": 9}


def test_errors(classes, tmp_path: Path) -> None:
    source, out = classes(), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.csv").touch()
    for layout, path, options, message in [
        (
            "ferpluss",
            source,
            {},
            r"unknown layout 'ferpluss'; did you mean 'ferplus'\? \(allowed: ferplus, fer2013",
        ),
        (
            "ferplus",
            source,
            {"convnetion": "x"},
            r"unknown option of layout 'ferplus': 'convnetion'; did you mean 'conv",
        ),
        ("folder", source, {"convention": "x"}, r"layout 'folder' has no options, so not 'convention'"),
        ("folder", tmp_path / "none", {}, r"source .*none does not exist"),
        ("folder", tmp_path / "empty", {}, r"source folder .*empty is empty"),
        ("table", tmp_path / "empty.csv", {}, r"source file .*empty.csv is empty"),
        ("ferplus", source, {}, r"is not FERPlus"),
        ("fer2013", source, {}, r"is not FER2013"),
        ("table", source, {}, r"is not a file"),
    ]:
        with pytest.raises(SelfcureError, match=message) as caught:
            import_dataset(layout, path, out=out, **options)
        assert "\n" not in str(caught.value)
    with pytest.raises(SelfcureError, match="is inside the source"):
        import_dataset("folder", source, out=source / "out")
    assert not list(tmp_path.glob("out*"))


def test_no_usable_image_is_an_error(tmp_path: Path) -> None:
    source = write_files(tmp_path / "s", {"sad/1.png": b"x", "sad/2.png": png(0)[:50], "sad/3.txt": "x"})
    with pytest.raises(SelfcureError, match=r"no usable image in .*: 1 × ") as caught:
        import_dataset("folder", source, out=tmp_path / "out")
    assert "1 × not an image" in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_options_that_are_none_are_defaults(ferplus: Path, tmp_path: Path) -> None:
    dataset = import_dataset(
        "ferplus", str(ferplus), out=str(tmp_path / "out"), convention=None, given_labels=None
    )
    assert dataset.manifest["options"] == {"convention": "majority"}


def test_every_reader_refuses_what_is_not_its_layout_in_one_line(tmp_path: Path) -> None:
    other = write_files(tmp_path / "other", {"holidays/readme.txt": "x", "loose.png": png(0)})
    for layout in set(READERS) - {"huggingface"}:
        with pytest.raises(SelfcureError, match=r"other( is not| is a|\b)") as caught:
            import_dataset(layout, other, out=tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out*"))


def test_large_images_are_written_in_parts(classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "PART_BYTES", 150)
    split = import_dataset("folder", classes(4), out=tmp_path / "out").split("train")
    assert split.ids.tolist() == [e.id for e in class_folders.read(tmp_path / "classes").entries]


def test_damaged_and_encrypted_archives(ferplus: Path, tmp_path: Path) -> None:
    files = contents(ferplus)
    archive = zip_files(tmp_path / "a.zip", files)
    data = bytearray(archive.read_bytes())
    image = data.index(files["FER2013Train/fer0000001.png"])
    data[image + 50] ^= 0xFF
    archive.write_bytes(data)
    dataset = import_dataset("ferplus", archive, out=tmp_path / "out")
    assert dataset.manifest["skipped"]["unreadable image (BadZipFile)"] == 1
    data[data.index(files["FER2013Train/label.csv"]) + 5] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(SelfcureError, match=r"FER2013Train/label.csv in .*a.zip cannot be read: Bad CRC"):
        import_dataset("ferplus", archive, out=tmp_path / "out2")
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(SelfcureError, match="neither a folder nor a readable zip"):
        import_dataset("ferplus", archive, out=tmp_path / "out2")


def test_full_disk_is_one_clear_line(classes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    source = classes()
    monkeypatch.setattr("selfcure.data.folder_writer.os.replace", full)
    with pytest.raises(
        SelfcureError, match=r"cannot write .*: No space left on device; mend that and repeat"
    ):
        import_dataset("folder", source, out=tmp_path / "out")
    monkeypatch.undo()
    assert import_dataset("folder", source, out=tmp_path / "out").splits == {"train": 9}


def test_hugging_face_opens_it(ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    table = tmp_path / "given.csv"
    table.write_text("image,label\nfer0000000.png,sad\nfer0000001.png,happy\nfer0000010.png,neutral\n")
    folder = import_dataset("ferplus", ferplus, out=tmp_path / "out", given_labels=table).path
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2, "validation": 1}
    features = loaded["train"].features
    assert isinstance(features["image"], datasets.Image)
    assert (
        features["label"]
        == features["true_label"]
        == datasets.ClassLabel(names=list(Dataset(folder).class_names))
    )
    row = loaded["train"][0]
    assert row["image"].size == (48, 48)
    assert (row["label"], row["true_label"], row["votes_neutral"]) == (3, 0, 6)


def test_names_stay_below_their_folder() -> None:
    assert relative_name("a//b/../c.png") == "a/c.png"
    for name in ("", ".", "..", "../a", "/a", "a/../../b", "c:\\a", "\\a", "..\\a", "a\0b"):
        assert relative_name(name) is None
    assert relative_name("/data/x/a.png", "/data/x") == "a.png"
    assert relative_name("/data/xy/a.png", "/data/x") is None
    assert relative_name("/data/x/../y/a.png", "/data/x") is None


def test_natural_order() -> None:
    names = ["b", "a10", "a9", "a", "a09b", "²", "1" * 5000]
    assert sorted(names, key=natural_key) == ["1" * 5000, "a", "a9", "a09b", "a10", "b", "²"]


def test_readers_do_not_need_torch() -> None:
    code = "import sys, selfcure.data.importing, selfcure.data.noise, selfcure.data.info; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
