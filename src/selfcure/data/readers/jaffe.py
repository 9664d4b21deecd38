"""JAFFE, the Japanese Female Facial Expression set (https://zenodo.org/records/3451524; Lyons et al., FG 1998).

A folder, or a zip of it, with 213 grey images of 256 × 256, named by person, expression and number:

    KA.AN1.39.tiff

where the person is two letters, and the expression AN anger, DI disgust, FE fear, HA happiness, NE neutral, SA sadness,
SU surprise, with the number of the pose. (Layout: README_FIRST.txt of the download, as many public loaders read it.)
There is no official split; the people are shared out.
"""

import re
from pathlib import Path

import pyarrow as pa

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import Entry, Listing
from selfcure.data.readers.subjects import validation_by_subject
from selfcure.data.readers.tree import is_image, open_tree
from selfcure.data.vocabulary import canonical
from selfcure.errors import SelfcureError

CODES = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")
CLASS_NAMES = tuple(canonical(code) or code for code in CODES)
_NAME = re.compile(rf"([A-Z]{{2}})\.({'|'.join(CODES)})\d+\.\d+\.\w+")


def read(source: Path, *, validation_share: float = 0.1, seed: int = 0) -> Listing:
    """List the images by their names, which are the ids, wherever in ``source`` they are.

    Args:
        validation_share: about this share of the images, those of some people, becomes the validation split.
        seed: fixes which people.

    Raises:
        SelfcureError: ``source`` has no image with such a name, or an option does not fit.
    """
    tree = open_tree(source)
    skipped = list(tree.refused)
    entries = []
    for path in tree.names:
        name = path.rpartition("/")[2]
        match = _NAME.fullmatch(name)
        if not is_image(path):
            skipped.append(Skip(path, "not an image"))
        elif not match:
            skipped.append(Skip(path, "name is not like KA.AN1.39.tiff"))
        else:
            label = CODES.index(match[2])
            entries.append(Entry(name, "train", path, label, extra={"subject": match[1]}))
    if not entries:
        raise SelfcureError(f"{source} is not JAFFE: it has no image with a name like KA.AN1.39.tiff")
    return Listing(
        layout="jaffe",
        source=source,
        class_names=CLASS_NAMES,
        entries=validation_by_subject(entries, validation_share, seed),
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
        extra_fields=[pa.field("subject", pa.string())],
        options={"validation_share": validation_share, "seed": seed},
    )
