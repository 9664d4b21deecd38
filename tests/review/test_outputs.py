"""Neighbours against all distances, duplicates against what was planted, and the cache."""

import io
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import selfcure
from selfcure.data.images import ImageStore
from selfcure.errors import SelfcureError
from selfcure.review import outputs
from selfcure.review.duplicates import find_duplicates, fingerprint_images, groups
from selfcure.review.outputs import load_prepared, nearest
from selfcure.training.api import load_run


def test_neighbours_are_those_of_all_distances():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 20)).astype(np.float16)
    rows, similarity = nearest(features, 5)
    directions = features.astype(np.float64)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -2)
    expected = np.sort(cosines, axis=1)[:, ::-1][:, :5]
    np.testing.assert_allclose(similarity, expected, atol=2e-3)
    np.testing.assert_allclose(np.take_along_axis(cosines, rows.astype(int), 1), expected, atol=2e-3)


def test_wide_features_are_reduced_to_what_separates_them(monkeypatch):
    """Two clusters in 200 dimensions: neighbours are of the own one, in pieces too."""
    monkeypatch.setattr(outputs, "_QUERIES", 7)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 200)) * 0.1
    features[:30, 3] += 5
    features[30:, 90] += 5
    rows, _ = nearest(features.astype(np.float16), 12)
    assert ((rows[:30] < 30).all(), (rows[30:] >= 30).all()) == (True, True)
    assert all(row not in rows[row] for row in range(60))


def test_few_samples_have_few_neighbours():
    rows, similarity = nearest(np.eye(3, dtype=np.float16), 12)
    assert rows.shape == similarity.shape == (3, 2)


class Pictures:
    """Encoded images, as a split has them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def read(self, rows):
        return [self.images[row] for row in rows]

    def name(self, row):
        return str(row)


def encoded(pixels, kind="png", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def test_copies_are_found_and_others_are_not():
    from skimage.data import astronaut

    face = astronaut()[:256, 96:352]
    rng = np.random.default_rng(0)
    small = np.asarray(Image.fromarray(face).resize((96, 96)))
    dull = np.full((64, 64, 3), 7, np.uint8)
    others = [encoded(rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)) for _ in range(5)]
    images = [
        encoded(face),
        encoded(face, "jpeg", quality=60),  # 1: nearly the same
        encoded(small),  # 2: nearly the same
        encoded(face[:, ::-1].copy()),  # 3: mirrored is another
        *others,
        encoded(face),  # 9: byte for byte
        b"no image",
        b"no image either",
        encoded(dull),
        encoded(dull + 1),  # 13: a single colour says nothing
        others[0],  # 14
    ]
    prints = fingerprint_images(Pictures(images))
    everybody = np.array(
        [[r for r in range(len(images)) if r != row] for row in range(len(images))], np.int32
    )
    pairs = find_duplicates(prints, everybody)
    assert groups(pairs) == [[0, 1, 2, 9], [4, 14]]
    # Where they are no neighbours only equal bytes are found.
    assert find_duplicates(prints, np.empty((len(images), 0), np.int32)).tolist() == [[0, 9], [4, 14]]


def test_what_was_prepared_is_found_again_and_only_for_its_run(prepared_run, stripes_folder, tmp_path):
    run, dataset = selfcure.RunFolder(prepared_run), selfcure.Dataset(stripes_folder)
    prepared = load_prepared(run, dataset)
    assert prepared.probs.shape == (160, 3)
    np.testing.assert_allclose(prepared.probs.astype(float).sum(axis=1), 1, atol=2e-3)
    assert isinstance(prepared.probs, np.memmap), "memory stays flat"
    other = selfcure.RunFolder(shutil.copytree(prepared_run, tmp_path / "run"))
    (other.path / "metrics.jsonl").write_text("")  # another training
    assert load_prepared(other, dataset) is None


def test_probabilities_are_those_of_the_trained_network(prepared_run, stripes_folder):
    run, dataset = selfcure.RunFolder(prepared_run), selfcure.Dataset(stripes_folder)
    trained, config = load_run(run)
    pixels = ImageStore(dataset.split("validation").images(), 16).batch(torch.arange(40))
    mean, std = (torch.tensor(v)[:, None, None] for v in (config.train.mean, config.train.std))
    with torch.no_grad():
        logits = trained.module.eval()((pixels / 255 - mean) / std)["logits"]
    found = load_prepared(run, dataset).probs[120:].astype(np.float32)
    np.testing.assert_allclose(found, logits.softmax(dim=1), atol=1e-3)


@pytest.mark.parametrize("damage", ["cut", "gone", "rows"])
def test_damage_is_told(prepared_run, stripes_folder, tmp_path, damage):
    run = selfcure.RunFolder(shutil.copytree(prepared_run, tmp_path / "run"))
    file = run.path / "review" / "probs.npy"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif damage == "gone":
        file.unlink()
    else:
        np.save(file, np.zeros((3, 3), np.float16))
    with pytest.raises(SelfcureError, match="delete it and run --prepare again"):
        load_prepared(run, selfcure.Dataset(stripes_folder))


def test_an_unfinished_run_cannot_be_prepared(run, stripes_folder):
    (run / "model.safetensors").unlink()
    with pytest.raises(SelfcureError, match="is not finished"):
        outputs.prepare(selfcure.RunFolder(run), selfcure.Dataset(stripes_folder))
    assert not (run / "review").exists()
