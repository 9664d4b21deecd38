"""Which samples to look at, and in which order."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from selfcure.errors import SelfcureError, check_choice
from selfcure.review.book import DECIDED, DISPUTED, OPEN, SKIPPED, Book
from selfcure.review.samples import Samples

SORTS = ("suspicion", "importance", "ambiguity", "loss", "class", "changed", "random", "recent", "order")
"""Most suspicious, least trusted, least sure, highest loss, by class, changed by training, at random, last decided, as stored."""

STATES = ("open", "mine_open", "decided", "disputed", "skipped", "mine", "all")
"""Nobody decided; I have not; decided; reviewers differ; skipped; I have decided; all."""


@dataclass(frozen=True, slots=True)
class Query:
    """Filters, all of which have to hold, and an order. ``None`` and "" filter nothing."""

    sort: str = "suspicion"
    reverse: bool = False
    state: str = "all"
    reviewer: str = ""
    """Whose ``mine`` and ``mine_open`` mean."""
    given: int | None = None
    suggested: int | None = None
    split: str = ""
    source: int | None = None
    differs: bool = False
    """Only where the suggestion is not the given label."""
    changed: bool = False
    """Only where training changed the label."""
    text: str = ""
    """Part of the id."""
    rows: tuple[int, ...] | None = None
    """Only these, for instance a group of duplicates."""


class Sorter:
    """Orders of all samples, each worked out once."""

    def __init__(self, samples: Samples):
        self._samples = samples
        self._orders: dict[str, np.ndarray] = {}

    def order(self, sort: str, book: Book) -> np.ndarray:
        """[N] rows, first ones first; NaN last, equal ones in the order of the folder."""
        if sort == "recent":
            return (-book.changed_at).argsort(kind="stable")
        if sort not in self._orders:
            keys: dict[str, Callable[[Samples], tuple[np.ndarray, ...]]] = {
                "suspicion": lambda s: (-s.suspicion,),
                "importance": lambda s: (s.importance,),
                "ambiguity": lambda s: (s.confidence,),
                "loss": lambda s: (-s.loss,),
                "class": lambda s: (-s.suspicion, s.given),
                "changed": lambda s: (-s.suspicion, s.current == s.given),
                "random": lambda s: (np.random.default_rng(0).permutation(len(s)),),
                "order": lambda s: (np.arange(len(s)),),
            }
            self._orders[sort] = np.lexsort(keys[sort](self._samples)).astype(np.int32)
        return self._orders[sort]


def select(samples: Samples, book: Book, sorter: Sorter, query: Query) -> np.ndarray:
    """[M] int32 rows of the samples that ``query`` asks for, in its order.

    Raises:
        SelfcureError: a filter is not one of those there are.
    """
    check_choice("order", query.sort, SORTS)
    kept = _kept(samples, book, query)
    order = sorter.order(query.sort, book)
    chosen = order[kept[order]]
    if query.reverse:
        unknown = _unknown(samples, query.sort)[chosen]
        chosen = np.concatenate([chosen[~unknown][::-1], chosen[unknown]])
    return chosen.astype(np.int32)


def _unknown(samples: Samples, sort: str) -> np.ndarray:
    """[N] bool: samples without the number that is sorted by; they come last either way."""
    if sort in ("suspicion", "importance", "loss"):
        return np.isnan(getattr(samples, sort))
    return np.zeros(len(samples), bool)


def _kept(samples: Samples, book: Book, query: Query) -> np.ndarray:
    """[N] bool."""
    kept = _in_state(samples, book, query)
    num_classes = len(samples.class_names)
    for name, column, most in (
        ("given", samples.given, num_classes),
        ("suggested", samples.suggested, num_classes),
        ("source", samples.sources, len(samples.source_names)),
    ):
        value = getattr(query, name)
        if value is not None:
            if not 0 <= value < most:
                raise SelfcureError(f"{name} must be from 0 to {most - 1}, not {value}")
            kept &= column == value
    if query.split:
        check_choice("split", query.split, [name for name, _ in samples.splits])
        first = samples.first_row(query.split)
        inside = np.zeros(len(samples), bool)
        inside[first : first + dict(samples.splits)[query.split]] = True
        kept &= inside
    if query.differs:
        kept &= samples.suggested != samples.given
    if query.changed:
        kept &= samples.current != samples.given
    if query.text:
        kept &= samples.rows_with(query.text)
    if query.rows is not None:
        if any(not 0 <= row < len(samples) for row in query.rows):
            raise SelfcureError(f"rows must be from 0 to {len(samples) - 1}")
        inside = np.zeros(len(samples), bool)
        inside[list(query.rows)] = True
        kept &= inside
    return kept


def _in_state(samples: Samples, book: Book, query: Query) -> np.ndarray:
    """[N] bool."""
    check_choice("state", query.state, STATES)
    match query.state:
        case "all":
            return np.ones(len(samples), bool)
        case "open":
            return book.state == OPEN
        case "decided":
            return book.state == DECIDED
        case "disputed":
            return book.state == DISPUTED
        case "skipped":
            return book.state == SKIPPED
    mine = np.zeros(len(samples), bool)
    mine[list(book.rows_of(query.reviewer))] = True
    return mine if query.state == "mine" else ~mine
