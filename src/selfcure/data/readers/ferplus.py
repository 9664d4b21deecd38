"""FERPlus, as published by Microsoft (https://github.com/microsoft/FERPlus; arXiv:1608.01041).

A folder, or a zip of it, perhaps within a folder more:

    fer2013new.csv                 optional; header, then  Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0
    FER2013Train/label.csv         no header;  fer0000000.png,"(0, 0, 48, 48)",4,0,0,1,3,2,0,0,0,0
    FER2013Train/fer0000000.png    48 × 48, grey
    FER2013Valid/…  FER2013Test/…  likewise; any of the three may be missing

The ten numbers are how many of ten people chose neutral, happiness, surprise, sadness, anger, disgust, fear, contempt,
unknown, NF (not a face). Where the two files disagree (1,073 training and 246 validation images), ``fer2013new.csv``
counts. In it the 173 images that were left out have no name, and four names occur twice: the first row counts.
"""

import csv
import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from selfcure.data.folder import SOFT_LABEL
from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import SPLIT_NAMES, Entry, Listing, Reject
from selfcure.data.readers.tabular import GivenLabels
from selfcure.data.readers.tree import Tree, is_image, open_tree
from selfcure.data.vocabulary import EXPRESSIONS
from selfcure.errors import SelfcureError, check_choice

FOLDERS = {"FER2013Train": "train", "FER2013Valid": "validation", "FER2013Test": "test"}
VOTES = (*EXPRESSIONS, "unknown", "NF")
VOTES_FILE = "fer2013new.csv"


def majority(votes: Sequence[int]) -> int:
    """The label by Microsoft's rule: single votes are dropped, then one column needs more than half of the rest.

    >>> majority([6, 0, 1, 1, 0, 0, 0, 0, 2, 0])
    0

    Raises:
        Reject: none has it, or it is unknown or NF.
    """
    kept = [count if count > 1 else 0 for count in votes]
    if 2 * max(kept) <= sum(kept):
        raise Reject("no majority in the votes")
    label = kept.index(max(kept))
    if label >= len(EXPRESSIONS):
        raise Reject(f"the votes say {VOTES[label]}")
    return label


def argmax(votes: Sequence[int]) -> int:
    """The emotion with the most votes, whatever unknown and NF have; the first of equal ones.

    >>> argmax([0, 2, 2, 0, 0, 0, 0, 0, 6, 0])
    1

    Raises:
        Reject: no emotion has a vote.
    """
    emotions = votes[: len(EXPRESSIONS)]
    if not any(emotions):
        raise Reject("no vote for any emotion")
    return list(emotions).index(max(emotions))


def vote_shares(votes: Sequence[int]) -> list[float]:
    """Shares of the emotions among the votes for any; single votes are dropped where an emotion has more.

    >>> vote_shares([6, 0, 1, 2, 0, 0, 0, 0, 1, 0])
    [0.75, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0]
    """
    emotions = votes[: len(EXPRESSIONS)]
    kept = [count if count > 1 or max(emotions) == 1 else 0 for count in emotions]
    return [count / sum(kept) for count in kept]


CONVENTIONS: dict[str, Callable[[Sequence[int]], int]] = {"majority": majority, "argmax": argmax}


def read(
    source: Path,
    *,
    convention: str = "majority",
    given_labels: str | Path | None = None,
    given_column: str | None = None,
    soft_labels: bool = False,
) -> Listing:
    """List the images of FERPlus, labelled by the crowd's votes.

    Args:
        convention: how ten votes become one label, a key of :data:`CONVENTIONS`.
        given_labels: a table of another annotator's labels (see
            :class:`~selfcure.data.readers.tabular.GivenLabels`). They become ``label``, and the crowd's
            ``true_label``; without it the crowd's are ``label`` and the truth is not known.
        given_column: the column of that table with the labels, where it cannot be guessed.
        soft_labels: also write the votes as ``soft_label``, which the methods that can learn from (see
            :func:`vote_shares`).

    Raises:
        SelfcureError: ``source`` is not this layout, or an option is not understood.
    """
    check_choice("convention", convention, CONVENTIONS)
    if given_column is not None and given_labels is None:
        raise SelfcureError("given_column names a column of given_labels; give that too")
    if soft_labels and given_labels is not None:
        raise SelfcureError(
            "soft_labels are the crowd's votes, and with given_labels those are the truth, which training must not see; "
            "leave one of the two out"
        )
    given = GivenLabels(Path(given_labels), EXPRESSIONS, column=given_column) if given_labels else None
    tree = open_tree(source)
    base = _base(tree)
    folders = {f: s for f, s in FOLDERS.items() if any(n.startswith(f"{base}{f}/") for n in tree.names)}
    skipped = list(tree.refused)
    images = _images(tree, base, folders, skipped)
    crowd = _crowd_votes(tree, base, images, folders, skipped)
    entries = []
    for path, (folder, name) in images.items():
        try:
            votes = crowd[folder].get(name)
            if votes is None:
                raise Reject("image without votes")
            truth = CONVENTIONS[convention](votes)
            label = given.label(name) if given else truth
        except Reject as reason:
            skipped.append(Skip(path, str(reason)))
            continue
        extra: dict[str, Any] = {f"votes_{column}": count for column, count in zip(VOTES, votes, strict=True)}
        if soft_labels:
            extra[SOFT_LABEL] = vote_shares(votes)
        entries.append(Entry(name, FOLDERS[folder], path, label, truth if given else None, extra))
    options: dict[str, Any] = {"convention": convention}
    fields = [pa.field(f"votes_{column}", pa.int16()) for column in VOTES]
    if soft_labels:
        options["soft_labels"] = True
        fields.append(pa.field(SOFT_LABEL, pa.list_(pa.float32())))
    if given:
        options |= {"given_labels": str(given_labels)} | (
            {"given_column": given_column} if given_column else {}
        )
    return Listing(
        layout="ferplus",
        source=source,
        class_names=EXPRESSIONS,
        entries=entries,
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        extra_fields=fields,
        options=options,
    )


def _base(tree: Tree) -> str:
    """The prefix of the split folders, "" or with a / at the end: archives and clones have folders above them."""
    bases = set()
    for name in tree.names:
        *folders, _ = name.split("/")
        bases |= {"/".join(folders[:depth]) for depth, folder in enumerate(folders) if folder in FOLDERS}
    if not bases:
        raise SelfcureError(f"{tree.source} is not FERPlus: it has none of the folders {', '.join(FOLDERS)}")
    if len(bases) > 1:
        places = ", ".join(sorted(base or "." for base in bases))
        raise SelfcureError(
            f"{tree.source} has FERPlus folders in several places ({places}); name one of these"
        )
    (base,) = bases
    return f"{base}/" if base else ""


def _images(
    tree: Tree, base: str, folders: dict[str, str], skipped: list[Skip]
) -> dict[str, tuple[str, str]]:
    """Path → (folder, image name) of all that are in the split folders."""
    images = {}
    for path in tree.names:
        folder, _, name = path.removeprefix(base).partition("/")
        if not path.startswith(base) or folder not in folders or name == "label.csv":
            continue
        if is_image(name):
            images[path] = (folder, name)
        else:
            skipped.append(Skip(path, "not an image"))
    return images


def _crowd_votes(
    tree: Tree, base: str, images: dict[str, tuple[str, str]], folders: dict[str, str], skipped: list[Skip]
) -> dict[str, dict[str, list[int]]]:
    """Folder → image name → ten votes, those of ``fer2013new.csv`` before those of the folder's ``label.csv``."""
    names: dict[str, set[str]] = {folder: set() for folder in folders}
    for folder, name in images.values():
        names[folder].add(name)
    everywhere = set().union(*names.values())
    common: dict[str, list[int]] = {}
    votes_file = _votes_file(tree, base)
    if votes_file:
        for place, usage, name, votes in _rows(tree, votes_file, skipped):
            if name in everywhere:
                if common.setdefault(name, votes) is not votes:
                    skipped.append(Skip(place, "votes for the same image again"))
            elif SPLIT_NAMES.get(usage.lower()) in folders.values():  # else for a split that is not here
                skipped.append(Skip(place, "votes without an image"))
    crowd = {}
    for folder in folders:
        own: dict[str, list[int]] = {}
        label_file = f"{base}{folder}/label.csv"
        if label_file in tree.names:
            for place, name, _, votes in _rows(tree, label_file, skipped):
                if name in names[folder]:
                    own.setdefault(name, votes)
                elif not votes_file:  # else it is listed already
                    skipped.append(Skip(place, "votes without an image"))
        elif not votes_file:
            raise SelfcureError(
                f"{tree.source} is not FERPlus: neither {label_file} nor {VOTES_FILE} is there"
            )
        crowd[folder] = own | common
    return crowd


def _votes_file(tree: Tree, base: str) -> str | None:
    """``fer2013new.csv`` lies beside the split folders, or (in Microsoft's repository) above them."""
    folder = base.rstrip("/")
    while True:
        path = posixpath.join(folder, VOTES_FILE)
        if path in tree.names:
            return path
        if not folder:
            return None
        folder = posixpath.dirname(folder)


def _rows(tree: Tree, path: str, skipped: list[Skip]) -> Iterator[tuple[str, str, str, list[int]]]:
    """(place, first field, second field, ten votes) of the rows of a file of votes."""
    for number, row in enumerate(csv.reader(tree.text(path).splitlines()), 1):
        place = f"{path} line {number}"
        if not row or (number == 1 and row[-1].strip() == VOTES[-1]):
            continue
        try:
            votes = [int(count) for count in row[2:]]
        except ValueError:
            votes = []
        if len(votes) != len(VOTES) or not all(0 <= count <= 1000 for count in votes):
            skipped.append(Skip(place, "malformed row of votes"))
            continue
        yield place, row[0].strip(), row[1].strip(), votes
