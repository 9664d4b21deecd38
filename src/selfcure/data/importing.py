"""From a published layout to a dataset folder."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfcure.data.folder import Dataset
from selfcure.data.readers import NAMED, READERS
from selfcure.data.readers.base import write_listing
from selfcure.errors import SelfcureError, check_choice


def import_dataset(
    layout: str,
    source: str | Path,
    *,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Dataset:
    """Import a published dataset into a new dataset folder: the twin of ``selfcure data import``.

    What cannot be used is skipped, counted in ``dataset.json`` and listed in ``skipped.csv``. Interrupted, the same
    call finishes the work.

    Args:
        layout: a key of :data:`~selfcure.data.readers.READERS`.
        source: the folder, zip or table, as published; for ``huggingface`` also a name on the hub.
        out: the dataset folder to make.
        progress: called with (done, total) images now and then.
        options: of the layout's reader; None stands for its default.

    Raises:
        SelfcureError: an unknown layout or option, a source that is missing, empty or not of that layout, no usable
            image, or ``out`` is in the way.
    """
    check_choice("layout", layout, READERS)
    reader = READERS[layout]
    source, out = Path(source), Path(out)
    known = [name for name, p in inspect.signature(reader).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if not known:
            raise SelfcureError(f"layout {layout!r} has no options, so not {name!r}")
        check_choice(f"option of layout {layout!r}:", name, known)
    if layout not in NAMED or source.exists() or source.is_absolute():
        _check_source(source)
    if source.is_dir() and out.absolute().is_relative_to(source.absolute()):
        raise SelfcureError(f"{out} is inside the source {source}; choose an --out elsewhere")
    listing = reader(source, **{name: value for name, value in options.items() if value is not None})
    return write_listing(listing, out, progress=progress)


def _check_source(source: Path) -> None:
    if not source.exists():
        raise SelfcureError(f"source {source} does not exist")
    if source.is_dir() and not any(source.iterdir()):
        raise SelfcureError(f"source folder {source} is empty")
    if source.is_file() and not source.stat().st_size:
        raise SelfcureError(f"source file {source} is empty")
