"""Oulu-CASIA, the NIR and VIS facial expression set (Zhao et al., Image and Vision Computing 29, 2011).

A folder, or a zip of it, perhaps within folders more (``B_OriginalImg``, ``OriginalImg``):

    VL/Strong/P001/Anger/000.jpeg …

camera VL (visible light) or NI (near infrared); light Strong, Weak or Dark; 80 people P001 …; Anger, Disgust, Fear,
Happiness, Sadness, Surprise; frames from the neutral face to the peak. (Layout: paths such as
OriginalImg/VL/Strong/P012/Anger/017.jpeg in several public loaders.) By custom the last three frames are the expression
and the first is neutral; there is no official split, so the people are shared out.
"""

import re
from pathlib import Path

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing
from selfcure.data.readers.subjects import validation_by_subject
from selfcure.data.readers.tree import find_base, is_image, open_tree
from selfcure.data.vocabulary import class_index
from selfcure.errors import SelfcureError, check_choice

CAMERAS, LIGHTS = ("VL", "NI"), ("Strong", "Weak", "Dark")
CLASS_NAMES = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
NUM_PEAK_FRAMES = 3
_FRAME = re.compile(r"(P\d+)/([A-Za-z]+)/([^/]+)")


def read(
    source: Path,
    *,
    camera: str = "VL",
    light: str = "Strong",
    neutral: bool = True,
    validation_share: float = 0.1,
    seed: int = 0,
) -> Listing:
    """List the first and the last three frames of each sequence; the id is the path from the camera on.

    Args:
        camera, light: which of the recordings, of :data:`CAMERAS` and :data:`LIGHTS`.
        neutral: take the first frames too; without them the 6 classes are the others.
        validation_share: about this share of the images, those of some people, becomes the validation split.
        seed: fixes which people.

    Raises:
        SelfcureError: ``source`` is not this layout, or an option does not fit.
    """
    check_choice("camera", camera, CAMERAS)
    check_choice("light", light, LIGHTS)
    tree = open_tree(source)
    top = f"{camera}/{light}"
    base = find_base(tree, "Oulu-CASIA", top)
    folder = f"{base}{top}/"
    skipped = list(tree.refused)
    sequences: dict[tuple[str, str], list[str]] = {}
    for path in tree.names:
        if not path.startswith(folder):
            if path.startswith(tuple(f"{base}{c}/" for c in CAMERAS)):
                skipped.append(Skip(path, f"not in {top}"))
            continue
        match = _FRAME.fullmatch(path.removeprefix(folder))
        if not is_image(path):
            skipped.append(Skip(path, "not an image"))
        elif not match:
            skipped.append(Skip(path, "not in the folder of a sequence"))
        elif not class_index(match[2], CLASS_NAMES):  # None, or neutral, which has no folder
            skipped.append(Skip(path, "not in the folder of an expression"))
        else:
            sequences.setdefault((match[1], match[2]), []).append(path)
    if not sequences:
        raise SelfcureError(f"{source} is not Oulu-CASIA: {folder} has no P001/Anger/000.jpeg or the like")
    entries = []
    for (subject, expression), frames in sequences.items():
        label = class_index(expression, CLASS_NAMES) or 0
        peaks = frames[1:][-NUM_PEAK_FRAMES:]
        for path in frames:
            if path not in peaks and (path != frames[0] or not neutral):
                skipped.append(
                    Skip(path, "frame that is neither neutral nor peak" if neutral else "not a peak frame")
                )
                continue
            number = (label if path in peaks else 0) - (not neutral)
            entries.append(Entry(path.removeprefix(base), "train", path, number, extra={"subject": subject}))
    return Listing(
        layout="oulu",
        source=source,
        class_names=CLASS_NAMES if neutral else CLASS_NAMES[1:],
        entries=validation_by_subject(entries, validation_share, seed),
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        extra_fields=[pa.field("subject", pa.string())],
        options={
            "camera": camera,
            "light": light,
            "neutral": neutral,
            "validation_share": validation_share,
            "seed": seed,
        },
    )
