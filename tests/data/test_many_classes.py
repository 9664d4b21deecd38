"""Thousands of classes: what is done for each of them, or for each pair, must stay cheap."""

import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from selfcure.data.folder import Dataset
from selfcure.data.folder_writer import FolderWriter
from selfcure.data.join import join
from selfcure.data.noise import add_noise
from selfcure.data.noise_kinds import by_matrix, pairwise, rows_by_class, symmetric
from selfcure.data.split import split
from selfcure.data.vocabulary import EXPRESSIONS, ClassIndex, canonical
from selfcure.errors import SelfcureError

NUM_CLASSES, NUM = 5000, 20_000
NAMES = [f"person {k}" for k in range(NUM_CLASSES)]


def write(out: Path, names: list[str] = NAMES) -> Dataset:
    writer = FolderWriter(out, class_names=names, plan={}, num_shards={"train": 2})
    labels = np.random.default_rng(0).integers(0, len(names), NUM)
    for index, part in enumerate(np.array_split(labels, 2)):
        ids = [f"{index}/{k}" for k in range(len(part))]
        images = [{"bytes": b"x", "path": name} for name in ids]
        columns = {"image": images, "id": ids, "label": part, "true_label": part}
        writer.write("train", index, pa.table(columns))
    return writer.finish({"layout": "made", "source": "here"})


def kept_small(dataset: Dataset) -> dict:
    """The manifest, which takes a name a class and not a number a pair."""
    assert (dataset.path / "dataset.json").stat().st_size < 60 * NUM_CLASSES
    return json.loads((dataset.path / "dataset.json").read_text())


@pytest.mark.parametrize("seed", range(3))
def test_rows_by_class_are_what_a_search_finds(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 7, 50)
    for label, rows in enumerate(rows_by_class(labels, 9)):
        assert rows.tolist() == np.flatnonzero(labels == label).tolist()


def test_noise_does_not_search_all_samples_for_every_class() -> None:
    # 400,000 × 20,000 would take a minute.
    num_classes = 20_000
    labels = np.random.default_rng(0).integers(0, num_classes, 400_000)
    start = time.process_time()
    noisy = symmetric(labels, num_classes, 0.3, np.random.default_rng(0))
    paired = pairwise(labels, np.roll(np.arange(num_classes), 1), 0.3, np.random.default_rng(0))
    assert time.process_time() - start < 15
    assert (noisy != labels).mean() == pytest.approx(0.3, abs=0.02)
    changed = paired != labels
    assert (paired[changed] == (labels[changed] - 1) % num_classes).all()


def test_a_matrix_of_many_classes() -> None:
    labels = np.random.default_rng(0).integers(0, 1000, 20_000)
    shifted = by_matrix(labels, np.roll(np.eye(1000), 1, axis=1), np.random.default_rng(0))
    assert (shifted == (labels + 1) % 1000).all()


def test_a_noisy_folder(tmp_path: Path) -> None:
    noisy = add_noise(write(tmp_path / "d").path, out=tmp_path / "n", rate=0.25)
    results = kept_small(noisy)["noise"]["results"]["train"]
    assert results["noise_rate"] == pytest.approx(0.25, abs=0.02)
    assert "confusion_given_by_true" not in results


def test_a_matrix_is_recorded_by_its_digest(tmp_path: Path) -> None:
    names = NAMES[:300]
    parent = write(tmp_path / "d", names).path
    noisy = add_noise(parent, out=tmp_path / "n", kind="matrix", matrix=np.eye(300))
    assert len(noisy.manifest["noise"]["matrix"]) == 64
    assert noisy.manifest["noise"]["results"]["train"]["num_changed"] == 0


def test_split_and_join(tmp_path: Path) -> None:
    start = time.process_time()
    first = split(write(tmp_path / "a").path, out=tmp_path / "s", validation=0.25)
    assert set(first.splits) == {"train", "validation"}
    both = join(first.path, write(tmp_path / "b", NAMES[::-1]).path, out=tmp_path / "j")
    assert list(both.class_names) == NAMES
    labels = both.split("train").labels
    mine, other = first.split("train").labels, NUM_CLASSES - 1 - Dataset(tmp_path / "b").split("train").labels
    np.testing.assert_array_equal(labels, np.concatenate([mine, other]))
    assert time.process_time() - start < 20


def test_messages_name_a_few(tmp_path: Path) -> None:
    with pytest.raises(SelfcureError, match=r"person 19, … \(5,000 in all\)\)") as error:
        add_noise(write(tmp_path / "d").path, out=tmp_path / "n", kind="pairwise", rate=0.1, pairs="me=you")
    assert len(str(error.value)) < 500


def naive_index(name: str, class_names: list[str]) -> int | None:
    def normal(text: str) -> str:
        return " ".join(text.replace("_", " ").replace("-", " ").split()).casefold()

    for same in (
        lambda other: normal(other) == normal(name),
        lambda other: canonical(other) == canonical(name),
    ):
        for k, other in enumerate(class_names):
            if same(other) and (canonical(name) or normal(other) == normal(name)):
                return k
    return None


def test_class_index_matches_a_search() -> None:
    words = [*EXPRESSIONS, "happy", "Sad", "no_expression", "awe", "", "AWE ", "mad", "an", "person 3"]
    rng = np.random.default_rng(0)
    for _ in range(200):
        names = [words[k] for k in rng.integers(0, len(words), 6)]
        index = ClassIndex(names)
        assert [index(word) for word in words] == [naive_index(word, names) for word in words], names
