"""Images read one by one against the column read whole."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcure.data import encoded
from selfcure.data.encoded import EncodedImages
from selfcure.data.folder import Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.errors import SelfcureError


def write(out: Path, shards: list[list[bytes | None]]) -> Dataset:
    writer = FolderWriter(out, class_names=["x"], plan={}, num_shards={"train": len(shards)})
    first = 0
    for index, images in enumerate(shards):
        names = [f"{first + k}.png" for k in range(len(images))]
        first += len(images)
        columns = {
            "image": [{"bytes": data, "path": name} for data, name in zip(images, names, strict=True)],
            "id": names,
            "label": [0] * len(images),
            "true_label": [0] * len(images),
        }
        writer.write("train", index, pa.table(columns, schema=writer.schema))
    return writer.finish({})


def noise(num: int, most: int, seed: int = 0) -> list[bytes]:
    rng = np.random.default_rng(seed)
    return [rng.bytes(int(size)) for size in rng.integers(1, most, num)]


def check(dataset: Dataset) -> EncodedImages:
    """Every image, in and out of order, and some twice."""
    split = dataset.split("train")
    images, expected = split.images(), split.column("image").to_pylist()
    assert len(images) == len(expected)
    assert images.read(range(len(images))) == [e["bytes"] or b"" for e in expected]
    rows = np.random.default_rng(1).integers(0, len(images), 100).tolist()
    assert images.read(rows) == [expected[row]["bytes"] or b"" for row in rows]
    assert [images.name(row) for row in rows[:9]] == [expected[row]["path"] for row in rows[:9]]
    return images


def test_shards_row_groups_and_pages(tmp_path: Path) -> None:
    # 2,500 images are three row groups, of 3 MB: several pages each. An empty shard is what a filter leaves.
    check(write(tmp_path / "d", [noise(2500, 6000), [], noise(3, 9, seed=2)]))


def test_images_that_look_alike(tmp_path: Path) -> None:
    inner = b"abc"
    outer = (3).to_bytes(4, "little") + inner
    check(write(tmp_path / "d", [[outer, inner, outer, inner, b"", inner, b"\0" * 99, b"\0" * 4]]))


def test_an_image_that_is_null_is_empty(tmp_path: Path) -> None:
    check(write(tmp_path / "d", [[b"a", None, b"b"], [None]]))


@pytest.mark.parametrize("options", [{}, {"compression": "none"}, {"use_dictionary": False}])
def test_a_shard_that_another_program_wrote(tmp_path: Path, options: dict) -> None:
    dataset = write(tmp_path / "d", [noise(50, 200), noise(50, 200, seed=2)])
    file = sorted(dataset.path.glob("*.parquet"))[0]
    pq.write_table(pq.read_table(file), file, **options)
    check(dataset)


def test_threads_share_it(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", [noise(300, 500), noise(300, 500, seed=2)])
    images, whole = dataset.split("train").images(), dataset.split("train").column("image").to_pylist()
    with ThreadPoolExecutor(8) as pool:
        read = pool.map(lambda row: images.read([row])[0], range(600))
        assert list(read) == [image["bytes"] for image in whole]


def test_no_rows_and_a_row_that_is_not_there(tmp_path: Path) -> None:
    images = write(tmp_path / "d", [[b"a", b"b"]]).split("train").images()
    assert images.read([]) == []
    for call in (lambda: images.read([2]), lambda: images.name(2)):
        with pytest.raises(IndexError):
            call()


def test_progress_counts_images(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    dataset = write(tmp_path / "d", [[b"a", b"b"], [b"c"]])
    dataset.split("train").images(progress=lambda done, total: calls.append((done, total)))
    assert calls == [(2, 3), (3, 3)]


def test_files_that_changed_since(tmp_path: Path) -> None:
    split = write(tmp_path / "d", [noise(50, 5000)]).split("train")
    images = split.images()
    split.files[0].write_bytes(split.files[0].read_bytes()[:2000])
    with pytest.raises(SelfcureError, match=r"cannot be read: it was cut short; make the dataset again"):
        images.read([49])
    with pytest.raises(SelfcureError, match=r"d: images cannot be read: .*; make the dataset again"):
        split.images()
    split.files[0].unlink()
    with pytest.raises(SelfcureError, match="cannot be read: No such file"):
        images.read([0])


class Kept:
    """Places kept in a cache folder of the test's own, and how often they were looked up."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.folder, self.looked_up = folder / "selfcure", 0
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        monkeypatch.setattr(encoded, "_KEEP_BYTES", 0)
        find = EncodedImages._find

        def counted(*arguments: object) -> np.ndarray:
            self.looked_up += 1
            return find(*arguments)

        monkeypatch.setattr(EncodedImages, "_find", counted)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    return Kept(tmp_path / "cache", monkeypatch)


def test_places_are_kept_for_the_same_files(tmp_path: Path, kept: Kept) -> None:
    dataset = write(tmp_path / "d", [noise(20, 50), noise(20, 50, seed=2)])
    file = sorted(dataset.path.glob("*.parquet"))[1]
    pq.write_table(pq.read_table(file), file)  # in part compressed
    check(dataset)
    check(dataset)
    assert (kept.looked_up, len(list(kept.folder.iterdir()))) == (1, 1)
    pq.write_table(pq.read_table(file), file, compression="none", use_dictionary=False)
    check(dataset)
    assert kept.looked_up == 2


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_damaged_places_are_looked_up_again(tmp_path: Path, kept: Kept, content: bytes | None) -> None:
    dataset = write(tmp_path / "d", [noise(20, 50)])
    check(dataset)
    (file,) = kept.folder.iterdir()
    if content is None:
        np.save(file, np.zeros((3, 2), np.int64))
    else:
        file.write_bytes(content)
    check(dataset)
    assert kept.looked_up == 2


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path: Path, kept: Kept) -> None:
    kept.folder.parent.write_text("in the way")
    check(write(tmp_path / "d", [noise(20, 50)]))


def test_small_sets_leave_nothing_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check(write(tmp_path / "d", [noise(20, 50)]))
    assert not (tmp_path / "cache").exists()


def test_images_do_not_stay_in_memory(tmp_path: Path) -> None:
    split = write(tmp_path / "d", [noise(2000, 10_000), noise(2000, 10_000, seed=2)]).split("train")  # 20 MB
    held = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        images = split.images()
        images.read(range(0, 4000, 40))
        assert tracemalloc.get_traced_memory()[0] < 1e6
        assert pa.total_allocated_bytes() - held < 1e6
    finally:
        tracemalloc.stop()
