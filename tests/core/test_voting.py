"""One label for a group: against a loop over groups, and by hand."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from selfcure.core import LabelBook
from selfcure.core.voting import group_mean, vote

VOTER = st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 8))


def naive(groups, ballots, bearing, margins):
    result = []
    for group in sorted(set(groups)):
        members = [k for k, g in enumerate(groups) if g == group]
        count, bears = Counter(ballots[k] for k in members), Counter(bearing[k] for k in members)
        sums = {label: sum(margins[k] for k in members if ballots[k] == label) for label in count}
        winner = min(count, key=lambda label: (-count[label], -bears[label], -sums[label], label))
        strengths = [margins[k] for k in members if ballots[k] == winner]
        result.append((group, winner, sum(strengths) / len(strengths)))
    return result


@given(st.lists(VOTER, min_size=1, max_size=30))
def test_matches_a_loop(voters):
    columns = [list(column) for column in zip(*voters, strict=True)]
    columns[3] = [strength / 8 for strength in columns[3]]
    groups, labels, margins = vote(*map(torch.tensor, columns))
    expected = naive(*columns)
    assert list(zip(groups.tolist(), labels.tolist(), strict=True)) == [row[:2] for row in expected]
    assert margins.tolist() == pytest.approx([row[2] for row in expected])


@given(st.lists(VOTER, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_voters_does_not_matter(voters, random):
    shuffled = random.sample(voters, len(voters))
    results = []
    for some in (voters, shuffled):
        columns = [torch.tensor(column) for column in zip(*some, strict=True)]
        results.append(vote(*columns[:3], columns[3] / 8))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_nobody_decides_nothing():
    empty = torch.tensor([], dtype=torch.int64)
    assert [len(part) for part in vote(empty, empty, empty, torch.tensor([]))] == [0, 0, 0]


def book_of_clips(labels, clips) -> LabelBook:
    return LabelBook(torch.tensor(labels), groups=torch.tensor(clips))


def test_a_clip_gets_one_label_for_all_its_frames_seen_or_not():
    book = book_of_clips([0, 0, 0, 0, 1, 1], [3, 3, 3, 3, 8, 8])
    book.note_labels(torch.tensor([0, 2]), torch.tensor([2, 2]), torch.tensor([0.4, 0.6]))
    seen = torch.tensor([True, True, True, False, True, True])
    changes = book.close_epoch(1, seen=seen)  # two of three are for class 2
    assert book.current().tolist() == [2, 2, 2, 2, 1, 1]
    assert book.original().tolist() == [0, 0, 0, 0, 1, 1]
    assert changes.ids.tolist() == [0, 1, 2, 3]
    assert changes.margins.tolist() == pytest.approx([0.5] * 4)


def test_a_tie_changes_nothing_and_a_majority_can_take_back():
    book = book_of_clips([0, 0], [3, 3])
    book.note_labels(torch.tensor([0]), torch.tensor([1]), torch.tensor([0.9]))
    assert not len(book.close_epoch(1, seen=torch.tensor([True, True])).ids)
    book.note_labels(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0.9, 0.1]))
    assert book.close_epoch(2).ids.tolist() == [0, 1]
    book.note_labels(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([0.9, 0.1]))
    assert book.close_epoch(3).new.tolist() == [0, 0]


def test_of_two_new_labels_with_as_many_votes_the_surer_one_wins_then_the_smaller():
    for first, second, winner in ((0.25, 0.5, 2), (0.5, 0.25, 1), (0.25, 0.25, 1)):
        book = book_of_clips([0, 0, 0], [3, 3, 3])
        book.note_labels(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.tensor([first, second]))
        changes = book.close_epoch(1, seen=torch.tensor([True, True, False]))
        assert changes.new.tolist() == [winner] * 3
        assert changes.margins.tolist() == [max(first, second)] * 3


def test_clips_decided_on_are_counted_changed_or_not():
    book = book_of_clips([0, 0, 1, 1, 2], [3, 3, 8, 8, 9])
    ids, labels = torch.tensor([0, 1, 2]), torch.tensor([2, 2, 0])
    book.note_labels(ids, labels, torch.tensor([0.5, 0.5, 0.5]))
    changes = book.close_epoch(1)  # 8 is split between 0 and the label it bears
    assert (changes.num_decided, changes.ids.tolist()) == (2, [0, 1])


def test_a_clip_that_nothing_was_decided_for_stays_as_it_is():
    book = book_of_clips([0, 1, 1, 2], [3, 3, 3, 4])  # its frames need not agree
    book.note_labels(torch.tensor([3]), torch.tensor([0]), torch.tensor([0.5]))
    assert book.close_epoch(1).ids.tolist() == [3]
    assert book.current().tolist() == [0, 1, 1, 0]


def test_samples_of_their_own_are_as_without_groups():
    labels, ids = torch.tensor([0, 1, 2, 0]), torch.tensor([3, 0, 3])
    books = [LabelBook(labels), LabelBook(labels, groups=torch.arange(4))]
    results = []
    for book in books:
        book.note_labels(ids, torch.tensor([1, 2, 2]), torch.tensor([0.1, 0.2, 0.3]))
        results.append(book.close_epoch(1))
    for one, other in zip(*results, strict=True):
        assert torch.equal(torch.as_tensor(one), torch.as_tensor(other))


def test_group_mean_of_nothing_is_nothing():
    result = group_mean(torch.tensor([torch.nan, torch.nan, 0.5]), torch.tensor([0, 0, 1]))
    assert result.isnan().tolist() == [True, True, False]
