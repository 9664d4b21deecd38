"""Which clips look the same."""

import numpy as np
import pytest

from collect.made_videos import SIZE, scene, write
from selfcure.collect.looks import Looks, find_same, look
from selfcure.faces.videos import sample_frames


def fingerprint(frames) -> bytes:
    looks = Looks()
    pictures = list(frames)
    for k, pixels in enumerate(pictures):
        looks.add(k / 10, pixels)
    return looks.fingerprint(0, len(pictures) / 10)


def naive(prints, lengths, most_bits):
    """Every pair, bit by bit."""
    bits = [np.unpackbits(np.frombuffer(p, np.uint8)).astype(int) for p in prints]
    same = {}
    for row in range(len(prints)):
        for other in range(row):
            near = abs(bits[row] - bits[other]).sum() / 5 <= most_bits
            if other not in same and abs(lengths[row] - lengths[other]) <= 0.3 and near:
                same[row] = other
                break
    return same


@pytest.mark.parametrize("seed", range(5))
def test_as_the_naive_search(seed):
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (4, 160), np.uint8)
    prints, lengths = [], []
    for _ in range(40):
        row = base[rng.integers(4)].copy()
        for place in rng.integers(0, 1280, rng.integers(0, 160)):
            row[place // 8] ^= 1 << (place % 8)
        prints.append(row.tobytes())
        lengths.append(float(rng.choice([5.0, 5.25, 5.5, 9.0])))
    found = find_same(prints, lengths, 20)
    assert found == naive(prints, lengths, 20)
    assert found


def test_compressed_anew_and_smaller_it_is_the_same(tmp_path):
    def frames():
        return scene(60, seed=1)

    other = write(tmp_path / "a.mp4", frames(), crf=35, size=(SIZE[0] // 2, SIZE[1] // 2))
    prints = [
        fingerprint(frames()),
        fingerprint(f.pixels for f in sample_frames(other, 10)),
        fingerprint(scene(60, seed=2)),  # another wall
        fingerprint(scene(60, seed=1, heads=((60, 5, 150, True),))),  # another face
        fingerprint(scene(50, seed=1)),  # shorter
    ]
    assert find_same(prints, [6, 6, 6, 6, 5], 20) == {1: 0}
    assert find_same(prints, [6, 6, 6, 6, 5], -1) == {}


def test_one_colour_is_like_nothing():
    black = fingerprint(np.zeros((9, 16, 3), np.uint8) for _ in range(9))
    assert find_same([black, black], [5, 5], 20) == {}
    assert find_same([], [], 20) == {}


def test_a_chain_of_small_steps_does_not_lead_far():
    prints = np.random.default_rng(0).integers(0, 256, (1, 160), np.uint8).repeat(3, axis=0)
    for row, places in ((1, 80), (2, 160)):
        prints[row, : places // 8] ^= 255
    assert find_same([p.tobytes() for p in prints], [5, 5, 5], 20) == {1: 0}


def test_of_a_long_shot_little_is_kept():
    looks = Looks()
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (10, 9, 16, 3), np.uint8)
    for k in range(20_000):
        looks.add(k / 25, pictures[k // 2000])
    assert len(looks._looks) <= 4096
    assert looks.fingerprint(0, 800) == b"".join(look(pictures[k]) for k in (1, 3, 5, 7, 9))


def test_split_at_a_cut():
    looks = Looks()
    pictures = np.random.default_rng(0).integers(0, 255, (6, 9, 16, 3), np.uint8)
    for k in range(6):
        looks.add(float(k), pictures[k])
    rest = looks.split(4.0)
    assert looks.fingerprint(3, 4)[:32] == look(pictures[3])
    assert rest.fingerprint(4, 5)[:32] == look(pictures[4])
