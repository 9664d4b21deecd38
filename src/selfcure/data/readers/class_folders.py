"""One folder per class, the layout of ImageFolder tools; a folder or a zip of it, perhaps within a folder more:

    happiness/001.jpg                 all of it train
    train/happiness/001.jpg           or below split folders: train, validation (valid, val), test
    train/happiness/anyone/001.jpg    deeper folders belong to the class

Classes are in natural order of their names over all splits (``2`` before ``10``).
"""

from pathlib import Path

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import SPLIT_NAMES, Entry, Listing, Reject, split_name
from selfcure.data.readers.tree import is_image, natural_key, open_tree
from selfcure.errors import SelfcureError


def read(source: Path) -> Listing:
    """List the images of a class-per-folder tree; the id is the path within the tree.

    Raises:
        SelfcureError: ``source`` is not this layout.
    """
    tree = open_tree(source)
    skipped = list(tree.refused)
    skipped += [Skip(name, "not an image") for name in tree.names if not is_image(name)]
    images = [name for name in tree.names if is_image(name)]
    top = _common_folder(images)
    has_splits = any(
        _below(name, top)[0].lower() in SPLIT_NAMES for name in images if len(_below(name, top)) > 2
    )
    found: dict[str, tuple[str, str]] = {}
    for name in images:
        try:
            found[name] = _split_and_class(_below(name, top), has_splits)
        except Reject as reason:
            skipped.append(Skip(name, str(reason)))
    if not found:
        raise SelfcureError(f"{source} is not a tree of class folders: it has no image in a folder")
    class_names = sorted({class_name for _, class_name in found.values()}, key=natural_key)
    label = {class_name: k for k, class_name in enumerate(class_names)}
    return Listing(
        layout="folder",
        source=source,
        class_names=class_names,
        entries=[
            Entry("/".join(_below(name, top)), split, name, label[class_name])
            for name, (split, class_name) in found.items()
        ],
        skipped=skipped,
        read_bytes=lambda entry: tree.read(entry.path),
    )


def _split_and_class(parts: list[str], has_splits: bool) -> tuple[str, str]:
    split = "train"
    if has_splits:
        first, *parts = parts
        if first.lower() not in SPLIT_NAMES:
            raise Reject("not below a split folder")
        split = split_name(first)
    if len(parts) < 2:
        raise Reject("not in a class folder")
    return split, parts[0]


def _common_folder(images: list[str]) -> str:
    """The folder, with a /, that an archive has around everything: all is in it, and in class folders below it."""
    tops = {name.split("/")[0] for name in images}
    wrapped = len(tops) == 1 and all(name.count("/") >= 2 for name in images)
    return f"{top}/" if wrapped and (top := tops.pop()).lower() not in SPLIT_NAMES else ""


def _below(name: str, top: str) -> list[str]:
    return name.removeprefix(top).split("/")
