"""Readers: one file per published layout, each ``read(source, **options) -> Listing``."""

from collections.abc import Callable

from selfcure.data.readers import (
    affectnet,
    ckplus,
    class_folders,
    expw,
    fer2013,
    ferplus,
    huggingface,
    jaffe,
    oulu,
    rafdb,
    sfew,
    table,
)
from selfcure.data.readers.base import Listing
from selfcure.data.vocabulary import EXPRESSIONS

READERS: dict[str, Callable[..., Listing]] = {
    "ferplus": ferplus.read,
    "fer2013": fer2013.read,
    "rafdb": rafdb.read,
    "affectnet": affectnet.read,
    "expw": expw.read,
    "ckplus": ckplus.read,
    "jaffe": jaffe.read,
    "oulu": oulu.read,
    "sfew": sfew.read,
    "huggingface": huggingface.read,
    "folder": class_folders.read,
    "table": table.read,
}

NAMED = frozenset({"huggingface"})
"""Layouts whose source may also be a name, of something that is not on this disk."""

LABEL_NUMBERS: dict[str, dict[int, str]] = {
    "ferplus": dict(enumerate(EXPRESSIONS)),
    "fer2013": dict(enumerate(fer2013.CLASS_NAMES)),
    "rafdb": rafdb.LABELS,
    "affectnet": affectnet.LABELS,
    "expw": expw.LABELS,
    "ckplus": ckplus.LABELS,
}
"""Layout → what its published numbers mean, for lists of labels that others publish."""
