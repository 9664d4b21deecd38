"""--prepare is killed, and goes on where it was."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import selfcure
from selfcure.review import outputs
from selfcure.review.pieces import Pieces

KILLED = """
import os, signal, sys
import selfcure
from selfcure.review import outputs, pieces

outputs._PIECE = 32
kept = pieces.Pieces.get
num = 0

def get(self, name, make):
    global num
    found = kept(self, name, make)
    num += 1
    if num == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return found

pieces.Pieces.get = get
outputs.prepare(selfcure.RunFolder(sys.argv[1]), selfcure.Dataset(sys.argv[2]), device="cpu")
"""
ARRAYS = ("probs", "neighbours", "similarity", "duplicates")


@pytest.fixture
def spied(monkeypatch):
    """Pieces of 32 images, and how many images the network looked at."""
    from selfcure.training import inference

    monkeypatch.setattr(outputs, "_PIECE", 32)
    predict, seen = inference.predict, []
    monkeypatch.setattr(
        inference,
        "predict",
        lambda net, images, **more: seen.append(len(images)) or predict(net, images, **more),
    )
    return seen


def read(run: Path) -> dict[str, np.ndarray]:
    return {name: np.load(run / "review" / f"{name}.npy") for name in ARRAYS}


@pytest.mark.parametrize(
    # 4 pieces of training and 2 of validation by the network, 1 of neighbours, 6 of fingerprints
    ("killed_after", "images_left"),
    [(3, 120 - 96 + 40), pytest.param(9, 0, marks=pytest.mark.slow)],
    ids=["the network", "the fingerprints"],
)
def test_killed_it_goes_on(run, stripes_folder, tmp_path, spied, killed_after, images_left):
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    dataset = selfcure.Dataset(stripes_folder)
    outputs.prepare(selfcure.RunFolder(whole), dataset, device="cpu")
    assert sum(spied) == 160
    spied.clear()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(run), str(stripes_folder), str(killed_after)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run / "review").exists(), "nothing half-done is shown"
    assert outputs.load_prepared(selfcure.RunFolder(run), dataset) is None

    prepared = outputs.prepare(selfcure.RunFolder(run), dataset, device="cpu")
    assert prepared.num_pieces_found == killed_after
    assert sum(spied) == images_left
    expected = read(whole)
    for name, array in read(run).items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert not (run / "review.partial").exists()
    assert outputs.load_prepared(selfcure.RunFolder(run), dataset) is not None


def test_pieces_of_other_weights_are_not_taken(run, stripes_folder, spied):
    folder, dataset = selfcure.RunFolder(run), selfcure.Dataset(stripes_folder)
    outputs.prepare(folder, dataset, device="cpu")
    shutil.copytree(run / "review", run / "kept")
    spied.clear()
    (run / "review.partial").mkdir()
    made_of = json.loads((run / "review" / "prepared.json").read_text())
    (run / "review.partial" / "made_of.json").write_text(json.dumps({**made_of, "weights_time": 7}))
    np.savez(run / "review.partial" / "network-train-000000000.npz", probs=np.zeros((32, 3)))
    assert outputs.prepare(folder, dataset, device="cpu").num_pieces_found == 0
    assert sum(spied) == 160
    np.testing.assert_array_equal(np.load(run / "kept" / "probs.npy"), np.load(run / "review" / "probs.npy"))


def test_a_piece_is_made_once_and_a_torn_one_again(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": np.arange(3)}

    for _ in range(2):
        pieces = Pieces(tmp_path / "p", {"of": 1})
        assert pieces.get("one", make)["a"].tolist() == [0, 1, 2]
    assert (len(made), pieces.num_found) == (1, 1)
    file = tmp_path / "p" / "one.npz"
    for torn in (b"", file.read_bytes()[:100]):
        file.write_bytes(torn)
        assert Pieces(tmp_path / "p", {"of": 1}).get("one", make)["a"].tolist() == [0, 1, 2]
    assert len(made) == 3
    Pieces(tmp_path / "p", {"of": 2})
    assert not file.exists(), "pieces of something else are gone"
