"""Work that goes on after a kill: each piece of it is on the disk when it is done."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]

_DOCUMENT = "made_of.json"


class Pieces:
    """Arrays by name in a folder of their own, kept for as long as they are made of the same things.

    Args:
        folder: is emptied where it holds pieces of something else.
        made_of: plain JSON that says what.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, object]):
        self._folder = folder
        self.num_found = 0
        """Pieces that were there already."""
        document = json.dumps(made_of, indent=2, sort_keys=True)
        try:
            same = (folder / _DOCUMENT).read_text(encoding="utf-8") == document
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / _DOCUMENT).write_text(document, encoding="utf-8")

    def get(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """The piece of this name: from the disk, or made now and on the disk when this returns.

        Raises:
            OSError: the disk does not take it.
        """
        file = self._folder / f"{name}.npz"
        if (found := _read(file)) is not None:
            self.num_found += 1
            return found
        made = make()
        # Whoever else works here writes a file of its own, and the last whole one stays.
        partial = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        with open(partial, "wb") as out:
            np.savez(out, **made)  # type: ignore[arg-type]
        os.replace(partial, file)
        return made


def _read(file: Path) -> Arrays | None:
    """None where there is no such file, or one that the machine's crash left unfinished."""
    import zipfile

    try:
        with np.load(file) as found:
            return dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
