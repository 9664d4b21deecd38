"""SFEW, Static Facial Expressions in the Wild (https://cs.anu.edu.au/few/; Dhall et al., ICCV workshops 2011).

A folder, or a zip of it, perhaps within folders more:

    Train/Angry/Airheads_000519240_00000005.png                      frames of films
    Train_Aligned_Faces/Angry/…  or  Train/Train_Aligned_Faces/Angry/…   faces, aligned
    Val/…  Val_Aligned_Faces/…  Val_Aligned_Faces_new/…              likewise

in folders Angry, Disgust, Fear, Happy, Neutral, Sad, Surprise; the labels of Test are not public. (Layout: archive names
Train_Aligned_Faces.zip, Val_Aligned_Faces_new.zip and paths in several public loaders.)
"""

import re
from pathlib import Path

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import SPLIT_NAMES, Entry, Listing
from selfcure.data.readers.tree import is_image, open_tree
from selfcure.data.vocabulary import class_index
from selfcure.errors import SelfcureError, check_choice

FOLDERS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
CLASS_NAMES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
IMAGES = ("aligned", "original")
_SPLIT = re.compile(r"(train|val|test)(_aligned_faces\w*)?", re.IGNORECASE)


def read(source: Path, *, images: str | None = None) -> Listing:
    """List the images; the id is the expression and the file name (``Angry/Airheads_000519240_00000005.png``).

    Args:
        images: "aligned" for the faces, "original" for the frames; by default the faces where there are any.

    Raises:
        SelfcureError: ``source`` is not this layout, or does not have these images.
    """
    if images is not None:
        check_choice("images", images, IMAGES)
    tree = open_tree(source)
    skipped = list(tree.refused)
    found: dict[str, list[Entry]] = {kind: [] for kind in IMAGES}
    for path in tree.names:
        parts = path.split("/")
        marks = [match for part in parts[:-1] if (match := _SPLIT.fullmatch(part))]
        if not marks:
            continue
        label = class_index(parts[-2], CLASS_NAMES) if len(parts) > 1 else None
        if not is_image(path):
            skipped.append(Skip(path, "not an image"))
        elif label is None or parts[-2] not in FOLDERS:
            skipped.append(Skip(path, "not in the folder of an expression"))
        else:
            kind = "aligned" if any(match[2] for match in marks) else "original"
            entry = Entry("/".join(parts[-2:]), SPLIT_NAMES[marks[-1][1].lower()], path, label)
            found[kind].append(entry)
    kind = images or ("aligned" if found["aligned"] else "original")
    if not found[kind]:
        wanted = "Train_Aligned_Faces/Angry" if images == "aligned" else "Train/Angry"
        raise SelfcureError(f"{source} is not SFEW: it has no image in {wanted}, Val… or the like")
    skipped += [Skip(e.path, f"not one of the {kind} images") for k in IMAGES if k != kind for e in found[k]]
    return Listing(
        layout="sfew",
        source=source,
        class_names=CLASS_NAMES,
        entries=found[kind],
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        options={"images": kind},
    )
