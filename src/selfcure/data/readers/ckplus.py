"""CK+, the Extended Cohn-Kanade set, as published (http://www.jeffcohn.net/Resources/; Lucey et al., CVPRW 2010).

A folder, or a zip of it; the two parts may have folders of their own around them:

    cohn-kanade-images/S005/001/S005_001_00000001.png …11.png   from the neutral face to the peak
    Emotion/S005/001/S005_001_00000011_emotion.txt              "   3.0000000e+00", of the last frame

with 0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise. Of 593 sequences of 123 people
327 have a label; "if there is no file it means that there is no emotion label". (Layout and numbers: ReadMeCohnKanade
Database_website.txt of the download.) The last frame gets the label and the first is neutral; there is no official split.
"""

import re
from pathlib import Path

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing, Reject, shorten
from selfcure.data.readers.subjects import validation_by_subject
from selfcure.data.readers.tree import Tree, find_base, is_image, open_tree
from selfcure.errors import SelfcureError

IMAGES, EMOTIONS = "cohn-kanade-images", "Emotion"
CLASS_NAMES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
LABELS = dict(enumerate(CLASS_NAMES))
_SEQUENCE = re.compile(r"(S\d+)/(\d+)/([^/]+)")


def read(source: Path, *, neutral: bool = True, validation_share: float = 0.1, seed: int = 0) -> Listing:
    """List the first and last frames of the labelled sequences; the id is the file name.

    Args:
        neutral: take the first frames too; without them the 7 classes are the others.
        validation_share: about this share of the images, those of some subjects, becomes the validation split.
        seed: fixes which subjects.

    Raises:
        SelfcureError: ``source`` is not this layout, or an option does not fit.
    """
    tree = open_tree(source)
    folder = f"{find_base(tree, 'CK+', IMAGES)}{IMAGES}/"
    emotions = f"{find_base(tree, 'CK+', EMOTIONS)}{EMOTIONS}/"
    skipped = list(tree.refused)
    sequences = _sequences(tree, folder, skipped)
    files = _emotion_files(tree, emotions, sequences, skipped)
    entries = []
    for (subject, sequence), frames in sequences.items():
        place = f"{folder}{subject}/{sequence}"
        try:
            label = _label(tree, files.get((subject, sequence), []), frames)
        except Reject as reason:
            skipped.append(Skip(place, str(reason)))
            continue
        wanted = {frames[-1]: label}
        if neutral and len(frames) > 1:
            wanted[frames[0]] = 0
        for path in frames:
            if path not in wanted:
                skipped.append(Skip(path, "frame that is neither neutral nor peak"))
            elif wanted[path] == 0 and not neutral:
                skipped.append(Skip(path, "neutral is not among the 7 classes"))
            else:
                extra = {"subject": subject, "sequence": sequence}
                number = wanted[path] - (not neutral)
                entries.append(Entry(path.rpartition("/")[2], "train", path, number, extra=extra))
    return Listing(
        layout="ckplus",
        source=source,
        class_names=CLASS_NAMES if neutral else CLASS_NAMES[1:],
        entries=validation_by_subject(entries, validation_share, seed),
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        extra_fields=[pa.field("subject", pa.string()), pa.field("sequence", pa.string())],
        options={"neutral": neutral, "validation_share": validation_share, "seed": seed},
    )


def _sequences(tree: Tree, folder: str, skipped: list[Skip]) -> dict[tuple[str, str], list[str]]:
    """(subject, sequence) → paths of its frames in order."""
    sequences: dict[tuple[str, str], list[str]] = {}
    for path in tree.names:
        if path.startswith(folder):
            match = _SEQUENCE.fullmatch(path.removeprefix(folder))
            if not is_image(path):
                skipped.append(Skip(path, "not an image"))
            elif not match:
                skipped.append(Skip(path, "not in the folder of a sequence"))
            else:
                sequences.setdefault((match[1], match[2]), []).append(path)
    if not sequences:
        raise SelfcureError(
            f"{tree.source} is not CK+: {folder} has no S005/001/S005_001_00000001.png or the like"
        )
    return sequences


def _emotion_files(
    tree: Tree, folder: str, sequences: dict[tuple[str, str], list[str]], skipped: list[Skip]
) -> dict[tuple[str, str], list[str]]:
    files: dict[tuple[str, str], list[str]] = {}
    for path in tree.names:
        if path.startswith(folder):
            match = _SEQUENCE.fullmatch(path.removeprefix(folder))
            if not match or not path.endswith("_emotion.txt"):
                skipped.append(Skip(path, "not a label of a sequence"))
            elif (match[1], match[2]) not in sequences:
                skipped.append(Skip(path, "label without a sequence"))
            else:
                files.setdefault((match[1], match[2]), []).append(path)
    return files


def _label(tree: Tree, files: list[str], frames: list[str]) -> int:
    if not files:
        raise Reject("sequence without a label")
    if len(files) > 1:
        raise Reject("sequence with several labels")
    peak = files[0].rpartition("/")[2].removesuffix("_emotion.txt")
    if frames[-1].rpartition("/")[2].rpartition(".")[0] != peak:
        raise Reject("last frame is not the one with the label")
    try:
        text = tree.text(files[0]).strip()
    except SelfcureError as error:
        raise Reject("label cannot be read") from error
    try:
        number = float(text)
    except ValueError:
        number = -1
    if number not in LABELS:
        raise Reject(f"label {shorten(text)!r} is not 0–7")
    return int(number)
