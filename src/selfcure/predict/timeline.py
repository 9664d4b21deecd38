"""What was read from each face of a video over time: kept small however long it is, and drawn."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from selfcure.predict.drawing import class_color
from selfcure.predict.results import FaceReading

_MAX_BINS = 600
"""Of a track; a longer one is kept at half the resolution."""
_MAX_CURVES = 16
_GONE_SEC = 2.0
"""A track that was not seen for so long has ended."""
_MAX_DRAWN = 6
_INK, _MUTED = "#1c2430", "#697384"


class TrackHistory:
    """Means of one track's readings over stretches of time, in bounded memory.

    Args:
        bin_sec: length of a stretch at first; it doubles whenever there are too many.
    """

    def __init__(self, number: int, num_classes: int, time_sec: float, bin_sec: float = 0.05):
        self.number, self.bin_sec = number, bin_sec
        self.first_sec = self.last_sec = time_sec
        self.num_frames = 0
        self.importance_sum, self.num_importance = 0.0, 0
        self._total = np.zeros(num_classes)
        self._sums = np.zeros((_MAX_BINS, num_classes), np.float32)
        self._counts = np.zeros(_MAX_BINS, np.int64)

    def add(self, face: FaceReading, time_sec: float) -> None:
        """The track's reading at a time not before the last one."""
        while (index := int((time_sec - self.first_sec) / self.bin_sec)) >= _MAX_BINS:
            self._halve()
        probs = np.array(list(face.probabilities.values()))
        self._total += probs
        self._sums[index] += probs
        self._counts[index] += 1
        self.num_frames += 1
        self.last_sec = time_sec
        if face.importance is not None:
            self.importance_sum += face.importance
            self.num_importance += 1

    @property
    def mean_probs(self) -> np.ndarray:
        """[K] over all frames."""
        return self._total / self.num_frames

    @property
    def has_curves(self) -> bool:
        return len(self._counts) > 0

    def drop_curves(self) -> None:
        """Keep the means alone."""
        self._sums, self._counts = self._sums[:0], self._counts[:0]

    @property
    def mean_importance(self) -> float | None:
        """None where the network does not say."""
        return self.importance_sum / self.num_importance if self.num_importance else None

    def curves(self) -> tuple[np.ndarray, np.ndarray]:
        """[n] seconds and [n, K] mean probabilities, where the face was seen."""
        seen = np.flatnonzero(self._counts)
        times = self.first_sec + (seen + 0.5) * self.bin_sec
        return times, self._sums[seen] / self._counts[seen, None]

    def _halve(self) -> None:
        self.bin_sec *= 2
        half = _MAX_BINS // 2
        for array in (self._sums, self._counts):
            array[:half] = array[0::2] + array[1::2]
            array[half:] = 0


class Histories:
    """The longest tracks of a video, and one line on each of the others.

    Args:
        num_classes: K.
    """

    def __init__(self, num_classes: int):
        self._num_classes = num_classes
        self._tracks: dict[int, TrackHistory] = {}

    def add(self, faces: Sequence[FaceReading], time_sec: float) -> None:
        """The faces of a frame."""
        for face in faces:
            assert face.track is not None
            if face.track not in self._tracks:
                self._tracks[face.track] = TrackHistory(face.track, self._num_classes, time_sec)
                self._prune(time_sec)
            self._tracks[face.track].add(face, time_sec)

    def _prune(self, time_sec: float) -> None:
        """Forget the curves of tracks that have ended and were too short to be drawn."""
        kept = [track for track in self._tracks.values() if track.has_curves]
        if len(kept) > _MAX_CURVES:
            kept.sort(key=lambda track: -track.num_frames)
            for track in kept[_MAX_DRAWN:]:
                if track.last_sec < time_sec - _GONE_SEC:
                    track.drop_curves()

    @property
    def tracks(self) -> list[TrackHistory]:
        """In the order of their numbers."""
        return list(self._tracks.values())


def draw_timeline(tracks: Sequence[TrackHistory], class_names: Sequence[str], title: str, path: Path) -> None:
    """Draw the probabilities of the longest tracks over time, one row each, and write the figure as PNG."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    drawn = sorted(
        sorted((t for t in tracks if t.has_curves), key=lambda t: -t.num_frames)[:_MAX_DRAWN],
        key=lambda t: t.number,
    )
    if not drawn:
        return
    means = np.array([track.mean_probs for track in drawn])
    # With many classes the rare ones would be hair lines with a legend entry each.
    shown = sorted(np.argsort(-means.max(0))[:10].tolist())
    colors = [class_color(class_names[k], k) for k in shown]
    end = max(track.last_sec for track in drawn)
    figure = Figure(figsize=(10, 1.1 + 1.35 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axis, track in zip(axes, drawn, strict=True):
        times, probs = track.curves()
        for start, stop in _stretches(times, 2.5 * track.bin_sec + 0.5):
            part = slice(start, stop)
            width = track.bin_sec / 2
            edges = np.concatenate([[times[start] - width], times[part], [times[stop - 1] + width]])
            values = probs[part][:, shown]
            axis.stackplot(edges, np.vstack([values[:1], values, values[-1:]]).T, colors=colors, linewidth=0)
        axis.set(ylim=(0, 1), xlim=(0, max(end, 0.1)), yticks=[0, 1])
        axis.tick_params(colors=_MUTED, labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        name = class_names[int(track.mean_probs.argmax())]
        axis.set_title(f"face #{track.number}", loc="left", fontsize=9, weight="bold", color=_INK)
        axis.set_title(f"{track.num_frames:,} frames, mostly {name}", loc="right", fontsize=8.5, color=_MUTED)
    axes[-1].set_xlabel("seconds", color=_MUTED, fontsize=9)
    figure.legend(
        handles=[Patch(color=c, label=class_names[k]) for k, c in zip(shown, colors, strict=True)],
        loc="outside right upper",
        frameon=False,
        fontsize=8.5,
        labelcolor=_INK,
    )
    left_out = f" (the longest {len(drawn)} of {len(tracks):,} faces)" if len(tracks) > len(drawn) else ""
    figure.suptitle(
        f"{title}: smoothed probabilities{left_out}",
        x=0.01,
        ha="left",
        fontsize=11,
        color=_INK,
        weight="bold",
    )
    figure.savefig(path, dpi=140, facecolor="white", format="png")


def _stretches(times: np.ndarray, gap_sec: float) -> list[tuple[int, int]]:
    """Where a face was in sight without a longer break: first, last + 1."""
    breaks = (np.flatnonzero(np.diff(times) > gap_sec) + 1).tolist()
    return list(zip([0, *breaks], [*breaks, len(times)], strict=True))
