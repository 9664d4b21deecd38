"""The label book: what every sample's label was, is, and why it changed."""

from typing import NamedTuple

import torch
from torch import Tensor

from selfcure.core.voting import vote


class LabelChanges(NamedTuple):
    """Label changes of one epoch, one row each."""

    epoch: int
    ids: Tensor
    """[C] int64 sample ids."""
    old: Tensor
    """[C] int64 labels before."""
    new: Tensor
    """[C] int64 labels after."""
    margins: Tensor
    """[C] float32 P_max − P_given behind each change."""
    num_decided: int
    """How many samples were decided on, their label changed or not; in groups, how many groups."""


class LabelBook:
    """Labels of N samples through a training: originals immutable, every change appended.

    Sample ids are 0 … N-1. Within an epoch, decisions and importance are noted batch by batch, each in O(batch);
    :meth:`close_epoch` applies the decisions, so that a new label is first used in the next epoch, and hands over the
    epoch's history, which the caller stores. In memory stay at most 12 bytes a sample and 16 a noted decision.

    Args:
        labels: [N] integers ≥ 0, the labels as they came. Copied.
        groups: [N] int64, equal for samples that are decided on together, such as the frames of a clip; none: each alone.

    Raises:
        ValueError: ``labels`` is not a vector of non-negative integers.

    >>> book = LabelBook(torch.tensor([0, 1, 2]))
    >>> book.note_labels(torch.tensor([2, 1]), torch.tensor([0, 1]), torch.tensor([0.6, 0.0]))
    >>> book.current(torch.tensor([2]))  # used from the next epoch on
    tensor([2])
    >>> changes = book.close_epoch(epoch=10)
    >>> changes.ids, changes.old, changes.new
    (tensor([2]), tensor([2]), tensor([0]))
    >>> book.current(), book.original()
    (tensor([0, 1, 0]), tensor([0, 1, 2]))
    """

    def __init__(self, labels: Tensor, *, groups: Tensor | None = None):
        if labels.ndim != 1 or labels.is_floating_point() or (len(labels) and int(labels.min()) < 0):
            raise ValueError(
                f"labels must be a vector of integers ≥ 0, not {labels.dtype} of shape {tuple(labels.shape)}"
            )
        self._original = labels.to(torch.int32, copy=True).cpu()
        self._current = self._original.clone()
        self._importance = torch.full((len(labels),), torch.nan)
        self._groups = groups
        self._noted: list[tuple[Tensor, Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self._original)

    def original(self, ids: Tensor | None = None) -> Tensor:
        """[B] int64 original labels of ``ids`` (of all samples without). A copy: nothing can change the originals."""
        return _take(self._original, ids)

    def current(self, ids: Tensor | None = None) -> Tensor:
        """[B] int64 labels that training uses now."""
        return _take(self._current, ids)

    @property
    def importance(self) -> Tensor:
        """[N] float32, last noted importance; NaN where never noted."""
        return self._importance.clone()

    def note_importance(self, ids: Tensor, importance: Tensor) -> None:
        """Remember the importance of a batch: ``ids`` [B], ``importance`` [B] in (0, 1)."""
        self._importance[ids.cpu()] = importance.detach().float().cpu()

    def note_labels(self, ids: Tensor, labels: Tensor, margins: Tensor) -> None:
        """Remember decisions for a batch, to hold from the next epoch on; the last one on a sample counts.

        Args:
            ids: [B] samples decided on, whether their label changes or not.
            labels: [B] labels from the next epoch on.
            margins: [B] strength of each decision, kept with the change.
        """
        self._noted.append(
            (
                ids.detach().to(torch.int32).cpu(),
                labels.detach().to(torch.int32).cpu(),
                margins.detach().float().cpu(),
            )
        )

    def close_epoch(self, epoch: int, *, seen: Tensor | None = None) -> LabelChanges:
        """Apply the noted decisions and return those that changed a label, in order of id.

        In groups the samples seen vote (:func:`selfcure.core.voting.vote`), each for the label decided for it or else for
        the one that it bears, and the winner becomes the label of the whole group, unseen samples included. A group that
        no decision was noted for stays as it is.

        Args:
            seen: [N] bool, samples that the epoch drew; used in groups only, all by default.
        """
        ids, new, margins = self._decisions()
        num_decided = len(ids)
        if self._groups is not None:
            num_decided = len(self._groups[ids].unique())
            ids, new, margins = self._elected(self._groups, ids, new, margins, seen)
        old = self._current[ids]
        changed = new != old
        ids, old, new, margins = ids[changed], old[changed], new[changed], margins[changed]
        self._current[ids] = new
        self._noted.clear()
        return LabelChanges(epoch, ids, old.long(), new.long(), margins, num_decided)

    def _decisions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ids in order, labels and margins; of several decisions on one sample the last."""
        ids, new, margins = self._noted_columns()
        # Stable sort, then the end of each run of equal ids.
        order = ids.argsort(stable=True)
        ids, new, margins = ids[order], new[order], margins[order]
        last = torch.ones(len(ids), dtype=torch.bool)
        last[:-1] = ids[1:] != ids[:-1]
        return ids[last].long(), new[last], margins[last]

    def _elected(
        self, groups: Tensor, ids: Tensor, labels: Tensor, margins: Tensor, seen: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The decisions of whole groups, for all of their samples."""
        concerned = torch.isin(groups, groups[ids])
        voting = concerned if seen is None else concerned & seen
        voting[ids] = True
        ballots, strength = self._current.clone(), torch.zeros(len(self))
        ballots[ids], strength[ids] = labels, margins
        decided, winners, strengths = vote(
            groups[voting], ballots[voting].long(), self._current[voting].long(), strength[voting]
        )
        members = concerned.nonzero().squeeze(1)
        place = torch.searchsorted(decided, groups[members])
        return members, winners[place].to(torch.int32), strengths[place]

    def state_dict(self) -> dict[str, Tensor]:
        """Everything in the book, noted decisions included."""
        ids, labels, margins = self._noted_columns()
        return {
            "original": self._original,
            "current": self._current,
            "importance": self._importance,
            "noted_ids": ids,
            "noted_labels": labels,
            "noted_margins": margins,
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the state of a book on the same data.

        Raises:
            ValueError: the state's original labels are not this book's.
        """
        if not torch.equal(state["original"], self._original):
            raise ValueError("the saved label book has other original labels: it belongs to another dataset")
        self._current = state["current"].clone()
        self._importance = state["importance"].clone()
        self._noted = [(state["noted_ids"], state["noted_labels"], state["noted_margins"])]

    def _noted_columns(self) -> tuple[Tensor, Tensor, Tensor]:
        if not self._noted:
            empty = torch.empty(0, dtype=torch.int32)
            return empty, empty.clone(), torch.empty(0)
        ids, labels, margins = (torch.cat(column) for column in zip(*self._noted, strict=True))
        return ids, labels, margins


def _take(labels: Tensor, ids: Tensor | None) -> Tensor:
    return labels.long() if ids is None else labels[ids.cpu()].long()
