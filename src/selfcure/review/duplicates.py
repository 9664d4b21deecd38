"""Images that are in a dataset twice, byte for byte or nearly so."""

import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np

from selfcure.data.images import Encoded

_SIDE = 16
"""A fingerprint compares each of 16 × 16 grey values with its right neighbour: 256 bits."""
_MOST_BITS = 20
"""Two fingerprints that differ in at most so many bits are of nearly the same image. On 8,000 images of FERPlus 173 pairs
do; of those looked at up to 31 bits all were the same photograph, cropped or compressed anew, from 33 on some were of
different people. Synthetic faces, which share backgrounds and outlines, come closer: 10 pairs of 4,000 within 20."""
_CHUNK = 256

FINGERPRINT_BYTES = _SIDE * _SIDE // 8 + 16


def fingerprint_images(images: Encoded, *, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
    """[N, 48] uint8: 32 bytes of how each image looks (difference hash), 16 of its encoded bytes (blake2).

    An image that cannot be decoded looks like no other.
    """
    prints = np.empty((len(images), FINGERPRINT_BYTES), np.uint8)
    for start in range(0, len(images), _CHUNK):
        rows = list(range(start, min(start + _CHUNK, len(images))))
        for row, data in zip(rows, images.read(rows), strict=True):
            exact = hashlib.blake2b(data, digest_size=16).digest()
            prints[row] = np.frombuffer(_look(data, exact) + exact, np.uint8)
        if progress:
            progress(rows[-1] + 1, len(images))
    return prints


def find_duplicates(prints: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """[P, 2] int32 pairs (lower row first) of images that are equal, or neighbours that look nearly the same.

    Args:
        prints: [N, 48] as :func:`fingerprint_images` makes them.
        neighbours: [N, M] rows among which near-duplicates are looked for: of two nearly equal images each is among
            the other's nearest in feature space, and that spares comparing all with all.
    """
    looks = prints[:, :-16].astype(np.uint8)
    pairs = set(_equal(prints))
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1)
    for start in range(0, len(prints), 1 << 13):
        rows = np.arange(start, min(start + (1 << 13), len(prints)))
        others = neighbours[rows]  # [n, M]
        distance = bits[looks[rows][:, None, :] ^ looks[others]].sum(axis=2)  # [n, M]
        flat = looks[rows].min(axis=1) == looks[rows].max(axis=1)  # a single colour says nothing
        near = (distance <= _MOST_BITS) & ~flat[:, None]
        for position, place in np.argwhere(near):
            one, other = int(rows[position]), int(others[position, place])
            pairs.add((min(one, other), max(one, other)))
    return np.array(sorted(pairs), np.int32).reshape(-1, 2)


def groups(pairs: np.ndarray) -> list[list[int]]:
    """Rows that pairs [P, 2] link, directly or through others, each sorted.

    >>> groups(np.array([[0, 3], [3, 5], [1, 2]]))
    [[0, 3, 5], [1, 2]]
    """
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        parent.setdefault(row, row)
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs.tolist():
        a, b = root(one), root(other)
        parent[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = defaultdict(list)
    for row in sorted(parent):
        members[root(row)].append(row)
    return list(members.values())


def _equal(prints: np.ndarray) -> Iterable[tuple[int, int]]:
    """Pairs of rows with the same encoded bytes, each linked to the first of its kind."""
    first: dict[bytes, int] = {}
    for row, exact in enumerate(prints[:, -16:]):
        earlier = first.setdefault(exact.tobytes(), row)
        if earlier != row:
            yield earlier, row


def _look(data: bytes, otherwise: bytes) -> bytes:
    from PIL import Image

    try:
        image = (
            Image.open(io.BytesIO(data)).convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BILINEAR)
        )
    except Exception:  # Pillow raises nearly anything; the page shows such an image as broken
        return (otherwise * 2)[: _SIDE * _SIDE // 8]
    grey = np.asarray(image, np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()
