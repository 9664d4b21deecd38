"""Readers: one file per published layout, each ``read(source, **options) -> Listing``."""

from collections.abc import Callable

from selfcure.data.readers import class_folders, fer2013, ferplus, table
from selfcure.data.readers.base import Listing

READERS: dict[str, Callable[..., Listing]] = {
    "ferplus": ferplus.read,
    "fer2013": fer2013.read,
    "folder": class_folders.read,
    "table": table.read,
}
