"""A source of many files, a folder or a zip of one, read by name and never written to."""

import io
import os
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from PIL import Image

from selfcure.data.folder_writer import Skip
from selfcure.data.readers.base import FORMATS_REFUSED, Reject
from selfcure.errors import SelfcureError

MAX_FILE_BYTES = 1 << 28
"""No image is this large; a zip member that says so is not unpacked."""


@dataclass(frozen=True)
class Tree:
    """The files below ``source``: their names (relative, with ``/``, in natural order) and how to read one."""

    source: Path
    names: tuple[str, ...]
    refused: tuple[Skip, ...]
    """Files left out for their name alone: hidden ones, and zip members that point outside."""
    _read: Callable[[str], bytes]
    _open: Callable[[str], IO[bytes]]

    @cached_property
    def names_set(self) -> frozenset[str]:
        """To look a name up."""
        return frozenset(self.names)

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        return self._read(name)

    def text(self, name: str) -> str:
        """One file as text.

        Raises:
            SelfcureError: it cannot be read, or is not UTF-8.
        """
        try:
            return self.read(name).decode("utf-8-sig")
        except Exception as error:
            raise self._cannot_read(name, error) from error

    def lines(self, name: str) -> Iterator[str]:
        """One file as lines of text, however large it is. Ends of lines stay, as :mod:`csv` wants them.

        Raises:
            SelfcureError: it cannot be read, or is not UTF-8.
        """
        try:
            with self._open(name) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                yield from text
        except Exception as error:
            raise self._cannot_read(name, error) from error

    def _cannot_read(self, name: str, error: Exception) -> SelfcureError:
        """A damaged or encrypted zip member raises RuntimeError, zlib.error, BadZipFile … by its kind of damage."""
        what = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        return SelfcureError(f"{name} in {self.source} {what}: {error}")


def open_tree(source: Path) -> Tree:
    """Open a folder, or a zip of one.

    Links inside a folder are followed: whoever made the folder put them there.

    Raises:
        SelfcureError: ``source`` is neither.
    """
    if source.is_dir():
        return _folder_tree(source)
    if zipfile.is_zipfile(source):
        return _zip_tree(source)
    raise SelfcureError(f"{source} is neither a folder nor a readable zip file")


def find_base(tree: Tree, layout: str, *markers: str) -> str:
    """The folder that has one of ``markers`` (files or folders), "" or with a / at the end.

    Archives and clones have folders around the published ones.

    Raises:
        SelfcureError: there is none, so ``source`` is not ``layout``, or there are several.
    """
    bases = _bases(tree, markers)
    wanted = " or ".join(markers)
    if not bases:
        raise SelfcureError(f"{tree.source} is not {layout}: it has no {wanted}")
    if len(bases) > 1:
        places = ", ".join(sorted(base or "." for base in bases))
        raise SelfcureError(f"{tree.source} has {wanted} in several places ({places}); name one of these")
    return bases.pop()


def has_any(tree: Tree, *markers: str) -> bool:
    """Whether one of ``markers`` (files or folders) is anywhere in the tree."""
    return bool(_bases(tree, markers))


def _bases(tree: Tree, markers: tuple[str, ...]) -> set[str]:
    bases = set()
    for name in tree.names:
        padded = f"/{name}/"
        for marker in markers:
            at = padded.find(f"/{marker}/")
            if at >= 0:
                bases.add(padded[1 : at + 1])
    return bases


def relative_name(name: str, folder: str | Path = "") -> str | None:
    """``name`` as a clean relative path below ``folder``, or None if it leaves it. Purely by spelling.

    >>> relative_name("a/./b.png"), relative_name("a/../../b.png"), relative_name("/data/b.png", "/data")
    ('a/b.png', None, 'b.png')
    """
    name = name.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        base = str(folder).replace("\\", "/").rstrip("/") + "/"
        if not folder or not name.startswith(base):
            return None
        name = name[len(base) :]
    clean = posixpath.normpath(name)
    return None if clean in (".", "..") or clean.startswith(("../", "/")) or "\0" in clean else clean


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Sorts ``img10`` after ``img9``.

    >>> sorted(["b", "a10", "a9"], key=natural_key)
    ['a9', 'a10', 'b']
    """
    key = []
    for number, text in re.findall(r"0*([0-9]+)|([^0-9]+)", name):
        key.append((False, len(number), number) if number else (True, 0, text))
    return key


@cache
def image_suffixes() -> frozenset[str]:
    """Suffixes of the formats that Pillow can open, in lower case."""
    suffixes = Image.registered_extensions()
    return frozenset(s for s, name in suffixes.items() if name in Image.OPEN and name not in FORMATS_REFUSED)


def is_image(name: str) -> bool:
    """Whether the file is an image by its name."""
    return PurePosixPath(name).suffix.lower() in image_suffixes()


def _tree(
    source: Path,
    members: Mapping[str, str | None],
    read: Callable[[str], bytes],
    open_: Callable[[str], IO[bytes]],
) -> Tree:
    """``members``: name as the source spells it → clean name, None where it is refused."""
    clean, refused = {}, []
    for spelled, name in members.items():
        if not _is_utf8(spelled):
            refused.append(Skip(spelled.encode(errors="replace").decode(), "name is not UTF-8"))
        elif name is None:
            refused.append(Skip(spelled, "path leaves the source"))
        elif any(part.startswith(".") or part == "__MACOSX" for part in name.split("/")):
            refused.append(Skip(name, "hidden file"))
        else:
            clean[name] = spelled
    names = tuple(sorted(clean, key=natural_key))
    return Tree(
        source, names, tuple(refused), lambda name: read(clean[name]), lambda name: open_(clean[name])
    )


def _is_utf8(name: str) -> bool:
    # The file system hands over other bytes as lone surrogates, which no Arrow string can hold.
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _folder_tree(source: Path) -> Tree:
    members: dict[str, str | None] = {}
    visited = set()
    for folder, subfolders, files in os.walk(source, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            subfolders.clear()  # a link to a folder above would be walked forever
            continue
        visited.add((status.st_dev, status.st_ino))
        subfolders.sort()
        below = Path(folder).relative_to(source).as_posix()
        members |= {name: name for name in (posixpath.normpath(f"{below}/{file}") for file in sorted(files))}

    def read(name: str) -> bytes:
        path = source / name
        if path.stat().st_size > MAX_FILE_BYTES:
            raise Reject("file too large")
        return path.read_bytes()

    return _tree(source, members, read, lambda name: open(source / name, "rb"))


def _zip_tree(source: Path) -> Tree:
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, OSError) as error:
        raise SelfcureError(f"{source} cannot be opened: {error}") from error
    members = {
        info.filename: relative_name(info.filename) for info in archive.infolist() if not info.is_dir()
    }

    def read(name: str) -> bytes:
        if archive.getinfo(name).file_size > MAX_FILE_BYTES:
            raise Reject("file too large")
        return archive.read(name)

    return _tree(source, members, read, archive.open)
