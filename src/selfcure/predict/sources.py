"""What there is to look at: images, folders, patterns, videos, cameras."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Literal

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.tree import is_image
from selfcure.errors import SelfcureError
from selfcure.faces.videos import is_video


@dataclass(frozen=True)
class Item:
    """One image, video or camera."""

    kind: Literal["image", "video", "camera"]
    path: Path
    """The file; of a camera its number."""
    name: str
    """Where its results go, below the results' folder: relative, unlike any other item's."""

    @property
    def source(self) -> str:
        """What readings and messages call it."""
        return f"camera {self.path}" if self.kind == "camera" else str(self.path)


def find_items(sources: Sequence[str | Path]) -> tuple[list[Item], list[Skip]]:
    """Everything that ``sources`` mean, in their order and then by name, and what is none of it.

    Args:
        sources: files, folders (with all below them), patterns such as ``day*/*.jpg``, or numbers of cameras. What has
            the ending of a video is one; any other file that is named is taken for an image, in folders only what has
            an image's ending.

    Raises:
        SelfcureError: there is nothing to look at.
    """
    items: list[Item] = []
    skipped: list[Skip] = []
    names: set[str] = set()
    seen: set[tuple[str, Path]] = set()

    def add(kind: Literal["image", "video", "camera"], path: Path, name: str) -> None:
        if (kind, path) not in seen:
            seen.add((kind, path))
            items.append(Item(kind, path, _unlike(name, names)))

    for text in map(str, sources):
        path = Path(text)
        if not path.exists() and text.isdecimal():
            add("camera", path, f"camera-{text}")
            continue
        found = [path] if path.exists() else [Path(p) for p in sorted(glob(text, recursive=True))]
        if not found:
            skipped.append(Skip(text, "does not exist"))
        for one in found:
            if one.is_dir():
                for file in _below(one):
                    kind = _kind(file)
                    if kind:
                        add(kind, file, str(file.relative_to(one)))
                    else:
                        skipped.append(Skip(str(file), "not an image or video"))
            else:
                add(_kind(one) or "image", one, one.name)
    if not items:
        raise SelfcureError(_nothing(sources, skipped))
    return items, skipped


def _kind(path: Path) -> Literal["image", "video"] | None:
    return "video" if is_video(path.name) else "image" if is_image(path.name) else None


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def _unlike(name: str, names: set[str]) -> str:
    """``name``, or with a number where another item has it; without its ending they differ too."""
    path = Path(name)
    number, stem = 1, path.stem
    while str(path.with_suffix("")).casefold() in names:
        number += 1
        path = path.with_name(f"{stem}-{number}{path.suffix}")
    names.add(str(path.with_suffix("")).casefold())
    return str(path)


def _nothing(sources: Sequence[str | Path], skipped: Sequence[Skip]) -> str:
    if not sources:
        return "name something to look at: images, folders, a video, or the number of a camera"
    if len(sources) == 1:
        if not skipped:
            return f"folder {sources[0]} is empty"
        if skipped[0].reason == "does not exist":
            return f"{sources[0]} does not exist"
        return f"folder {sources[0]} has no image or video in it ({len(skipped):,} other files)"
    return (
        f"there is no image or video in {', '.join(map(str, sources[:5]))}{' …' if len(sources) > 5 else ''}"
    )
