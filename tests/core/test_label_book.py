"""The label book against a dictionary that does the same slowly, and its cost."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfcure.core import LabelBook

decisions = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=8), max_size=5
)


@given(st.lists(decisions, min_size=1, max_size=3))
def test_book_matches_a_dictionary(epochs):
    original = torch.arange(10) % 4
    book, naive = LabelBook(original), dict(enumerate(original.tolist()))
    for epoch, batches in enumerate(epochs, start=1):
        before, wanted = dict(naive), {}
        for batch in batches:
            ids, labels = map(list, zip(*batch, strict=True))
            book.note_labels(torch.tensor(ids), torch.tensor(labels), torch.full((len(ids),), 0.5))
            wanted |= dict(batch)
            assert book.current().tolist() == list(before.values()), "new labels hold from the next epoch on"
        naive |= wanted
        changes = book.close_epoch(epoch)
        assert book.current().tolist() == list(naive.values())
        expected = [(i, before[i], naive[i]) for i in naive if before[i] != naive[i]]
        assert list(zip(*(c.tolist() for c in changes[1:4]), strict=True)) == expected
        assert changes.epoch == epoch
    assert torch.equal(book.original(), original)


def test_original_labels_cannot_be_changed_through_the_book_or_its_source():
    source = torch.tensor([0, 1])
    book = LabelBook(source)
    source[0] = 7
    book.original()[1] = 7
    book.current()[1] = 7
    assert book.original().tolist() == book.current().tolist() == [0, 1]


def test_change_keeps_its_margin():
    book = LabelBook(torch.tensor([0, 0, 0]))
    book.note_labels(torch.tensor([2, 0]), torch.tensor([1, 2]), torch.tensor([0.25, 0.5]))
    changes = book.close_epoch(3)
    assert changes.ids.tolist() == [0, 2]
    assert changes.margins.tolist() == [0.5, 0.25]


def test_importance_is_nan_until_noted():
    book = LabelBook(torch.zeros(3, dtype=torch.int64))
    book.note_importance(torch.tensor([1]), torch.tensor([0.75]))
    assert book.importance[1] == 0.75
    assert book.importance[[0, 2]].isnan().all()


def test_state_survives_in_mid_epoch():
    book, other = LabelBook(torch.tensor([0, 1, 2])), LabelBook(torch.tensor([0, 1, 2]))
    book.note_labels(torch.tensor([1]), torch.tensor([2]), torch.tensor([0.9]))
    other.load_state_dict(book.state_dict())
    assert other.close_epoch(1).new.tolist() == [2]


def test_state_of_another_dataset_is_refused():
    state = LabelBook(torch.tensor([0, 1])).state_dict()
    with pytest.raises(ValueError, match="another dataset"):
        LabelBook(torch.tensor([1, 1])).load_state_dict(state)


@pytest.mark.parametrize("labels", [torch.tensor([0.5]), torch.tensor([[1]]), torch.tensor([-1])])
def test_bad_labels_are_refused(labels):
    with pytest.raises(ValueError, match="integers ≥ 0"):
        LabelBook(labels)


def test_a_million_samples_cost_under_100_mb():
    book = LabelBook(torch.zeros(1_000_000, dtype=torch.int64))
    everyone = torch.arange(1_000_000)
    for ids in everyone.split(1024):  # the worst epoch: a decision for everyone
        book.note_labels(ids, torch.ones_like(ids), torch.ones(len(ids)))
        book.note_importance(ids, torch.ones(len(ids)))
    held = sum(t.nbytes for t in book.state_dict().values())
    assert len(book.close_epoch(1).ids) == 1_000_000
    assert held < 100e6
    assert sum(t.nbytes for t in book.state_dict().values()) < 20e6, "the history must leave the book"


def test_an_update_costs_the_batch_not_the_book():
    def seconds(num_samples: int) -> float:
        book, ids = LabelBook(torch.zeros(num_samples, dtype=torch.int64)), torch.arange(256)
        best = float("inf")
        for _ in range(30):
            start = time.perf_counter()
            book.note_importance(ids, torch.ones(256))
            book.note_labels(ids, ids, torch.ones(256))
            book.current(ids)
            best = min(best, time.perf_counter() - start)
        return best

    # 4,000 times the samples would cost 4,000 times as much if an update touched them all.
    assert seconds(1_000_000) < 20 * seconds(256)
