"""Pictures of training samples inside the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from selfcure.data.folder import Split
from selfcure.data.images import decode
from selfcure.report.ending import Ending
from selfcure.report.trainings import Training

NUM_LEAST, NUM_SAME = 24, 12

SIZE_PX = 96
"""Side of a picture on a page."""


@dataclass(frozen=True)
class Opinion:
    """What one training makes of a picture."""

    run: str
    importance: float
    given: str
    current: str
    """The label at the end, where it is another."""
    wrong: bool
    """The given label is known to be wrong."""


@dataclass(frozen=True)
class Picture:
    """A sample, and what one or several trainings make of it."""

    uri: str
    id: str
    truth: str
    """The true label, or empty where it is unknown."""
    opinions: tuple[Opinion, ...]


def data_uris(split: Split, rows: Sequence[int], size_px: int = SIZE_PX) -> list[str]:
    """The images of ``rows`` as small JPEG files in the text of a link."""
    return [_data_uri(decode(data, size_px)) for data in split.images().read(list(rows))]


def _data_uri(pixels: np.ndarray) -> str:
    """Of [3, S, S] uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _opinion(training: Training, ending: Ending, row: int, score: np.ndarray) -> Opinion:
    names = training.run.class_names
    given, current = int(ending.original[row]), int(ending.current[row])
    return Opinion(
        run=training.name,
        importance=float(score[row]),
        given=names[given],
        current=names[current] if current != given else "",
        wrong=ending.wrong is not None and bool(ending.wrong[row]),
    )


def _truth(training: Training, ending: Ending, row: int) -> str:
    if ending.truth is None or ending.truth[row] < 0:
        return ""
    return training.run.class_names[int(ending.truth[row])]


def least_trusted(training: Training) -> tuple[str, tuple[Picture, ...]]:
    """Fig. 4: the samples that the run trusts least, and by what."""
    ending = training.ending
    if ending is None or ending.dataset is None:
        return "", ()
    by = "α" if ending.importance is not None else "p"
    score = ending.importance if ending.importance is not None else ending.given_prob
    rows = np.argsort(score, kind="stable")[:NUM_LEAST]  # NaN, which no epoch drew, comes last
    rows = rows[~np.isnan(score[rows])]
    uris = data_uris(ending.dataset.split("train"), rows.tolist())
    return by, tuple(
        Picture(
            uri,
            str(ending.ids[row]),
            _truth(training, ending, row),
            (_opinion(training, ending, row, score),),
        )
        for uri, row in zip(uris, rows.tolist(), strict=True)
    )


def same_images(trainings: Sequence[Training]) -> tuple[tuple[Picture, ...], str]:
    """Fig. 3: the importance of the same images in several trainings; where there are none, why."""
    able = [(t, t.ending) for t in trainings if t.ending is not None and t.ending.importance is not None]
    if len(trainings) < 2:
        return (), ""
    if len(able) < 2:
        return (), "it takes two or more runs of a method with importance."
    if all(ending.dataset is None for _, ending in able):
        return (), "no dataset folder is there."
    places = [_places(ending) for _, ending in able]
    chosen = _choose(places, [ending for _, ending in able])
    if not chosen:
        return (), "the runs have no sample in common."
    of_sample = [
        (ending.dataset.split("train"), [place[sample] for sample in chosen])
        for (_, ending), place in zip(able, places, strict=True)
        if ending.dataset is not None
    ]
    # An id names an image within its dataset; two datasets may use the same ones.
    if len({tuple(split.images().read(rows)) for split, rows in of_sample}) > 1:
        return (), "the runs have ids in common, but of different images."
    index = next(k for k, (_, ending) in enumerate(able) if ending.dataset is not None)
    pictures = []
    for uri, sample in zip(data_uris(*of_sample[0]), chosen, strict=True):
        opinions = [
            _opinion(training, ending, place[sample], ending.importance)
            for (training, ending), place in zip(able, places, strict=True)
            if ending.importance is not None
        ]
        truth = _truth(*able[index], places[index][sample])
        pictures.append(Picture(uri, sample, truth, tuple(opinions)))
    return tuple(pictures), ""


def _places(ending: Ending) -> dict[str, int]:
    """Sample → its row, of those that the last epoch drew."""
    assert ending.importance is not None
    rows = np.flatnonzero(~np.isnan(ending.importance)).tolist()
    return {str(ending.ids[row]): row for row in rows}


def _choose(places: Sequence[dict[str, int]], endings: Sequence[Ending]) -> list[str]:
    """Samples of all runs at random: half of them with a given label that is wrong in some run, if there are such."""
    common = sorted(set.intersection(*(set(place) for place in places)))
    shuffled = [common[k] for k in np.random.default_rng(0).permutation(len(common))]

    def ever_wrong(sample: str) -> bool:
        return any(
            ending.wrong is not None and bool(ending.wrong[place[sample]])
            for ending, place in zip(endings, places, strict=True)
        )

    doubtful = [sample for sample in shuffled if ever_wrong(sample)][: NUM_SAME // 2]
    return [*doubtful, *[s for s in shuffled if not ever_wrong(s)][: NUM_SAME - len(doubtful)]]
