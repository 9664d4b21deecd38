"""How a clip looks, in 160 bytes; and which clips look the same."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

_BITS_SIDE = 16
_PLACES = 5
"""A clip is compared at so many places, evenly spread."""
_MOST_KEPT = 4096
LOOK_BYTES = _BITS_SIDE * _BITS_SIDE // 8
_SAME_LENGTH_SEC = 0.3
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint16)


def look(picture: np.ndarray) -> bytes:
    """Difference hash of 256 bits: which of 16 × 16 grey values is darker than its right neighbour.

    Args:
        picture: [H, W, 3] uint8.
    """
    small = Image.fromarray(picture).convert("L").resize((_BITS_SIDE + 1, _BITS_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.int16)
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


class Looks:
    """Looks of the frames of a shot that is not over; of a long one every other is forgotten, again and again."""

    def __init__(self) -> None:
        self._looks: list[tuple[float, bytes]] = []
        self._every = 1
        self._count = 0

    def add(self, time_sec: float, picture: np.ndarray) -> None:
        if self._count % self._every == 0:
            self._looks.append((time_sec, look(picture)))
        self._count += 1
        if len(self._looks) > _MOST_KEPT:
            del self._looks[1::2]
            self._every *= 2

    def split(self, time_sec: float) -> "Looks":
        """Keep what is before; the rest is returned."""
        rest = Looks()
        rest._looks = [item for item in self._looks if item[0] >= time_sec]
        self._looks = [item for item in self._looks if item[0] < time_sec]
        return rest

    def fingerprint(self, start_sec: float, end_sec: float) -> bytes:
        """Those nearest to five places between, one after the other."""
        times = np.array([time for time, _ in self._looks])
        places = start_sec + (np.arange(_PLACES) + 0.5) / _PLACES * (end_sec - start_sec)
        return b"".join(self._looks[int(np.abs(times - place).argmin())][1] for place in places)


def find_same(
    fingerprints: Sequence[bytes], lengths_sec: Sequence[float], most_bits: float
) -> dict[int, int]:
    """Clips that look like an earlier one: row → row of the one that stays.

    Two are the same when they are equally long within 0.3 s and their looks differ in at most ``most_bits`` of 256 bits
    in the mean over the five places. So a video that was uploaded again, smaller or compressed anew, is found, and two
    different moments before the same wall are not, unless they happen to be equally long and alike at all five. A shot of
    one colour says nothing and is never the same.

    Args:
        fingerprints: as :meth:`Looks.fingerprint` makes them.
        lengths_sec: of the clips.
    """
    if not fingerprints or most_bits < 0:
        return {}
    prints = np.frombuffer(b"".join(fingerprints), np.uint8).reshape(len(fingerprints), _PLACES, LOOK_BYTES)
    lengths = np.asarray(lengths_sec)
    says_something = (prints != prints[:, :, :1]).any(axis=(1, 2))
    order = np.argsort(lengths, kind="stable")
    upper = np.searchsorted(lengths[order], lengths[order] + _SAME_LENGTH_SEC, side="right")
    near: dict[int, list[int]] = {}
    for position, row in enumerate(order.tolist()):
        others = order[position + 1 : upper[position]]
        if not says_something[row] or not len(others):
            continue
        # The middle alone first: most clips are nothing like each other.
        middle = _BITS[prints[others, _PLACES // 2] ^ prints[row, _PLACES // 2]].sum(axis=1)
        others = others[(middle <= most_bits * _PLACES) & says_something[others]]
        distance = _BITS[prints[others] ^ prints[row]].sum(axis=(1, 2)) / _PLACES
        for other in others[distance <= most_bits].tolist():
            near.setdefault(max(row, other), []).append(min(row, other))
    same: dict[int, int] = {}
    for row in sorted(near):  # against those that stay: a chain of small steps must not lead far
        stays = [other for other in near[row] if other not in same]
        if stays:
            same[row] = min(stays)
    return same
