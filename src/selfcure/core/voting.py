"""One label for samples that belong together, such as the frames of a clip: each has a vote."""

import torch
from torch import Tensor


def vote(groups: Tensor, ballots: Tensor, bearing: Tensor, margins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each group's voters decide: the label with the most ballots.

    Of labels with as many the one that more of the voters bear now, so that a tie with it changes nothing; then the one
    with the larger sum of margins, then the smaller class.

    Args:
        groups: [V] int64, the group of each voter.
        ballots: [V] int64, the label each is for.
        bearing: [V] int64, the label each bears now.
        margins: [V] float, strength of each ballot.

    Returns:
        The groups [G] in ascending order, the label of each [G], and the mean margin of the ballots for it [G].

    Two of group 7 are for class 2, and the two of group 8 disagree:

    >>> groups, bearing = torch.tensor([7, 7, 7, 8, 8]), torch.tensor([0, 0, 0, 1, 1])
    >>> vote(groups, torch.tensor([2, 0, 2, 0, 1]), bearing, torch.tensor([0.5, 0.0, 0.25, 0.5, 0.0]))
    (tensor([7, 8]), tensor([2, 1]), tensor([0.3750, 0.0000]))
    """
    if not len(groups):
        return groups, ballots, margins
    num_labels = int(torch.maximum(ballots.max(), bearing.max())) + 1
    # A candidate is a group and a label that has at least one ballot there.
    candidates, chosen = (groups * num_labels + ballots).unique(return_inverse=True)
    count = chosen.bincount(minlength=len(candidates))
    borne = groups * num_labels + bearing
    place = torch.searchsorted(candidates, borne).clamp(max=len(candidates) - 1)
    bearers = place[candidates[place] == borne].bincount(minlength=len(candidates))
    sums = torch.zeros(len(candidates), dtype=torch.float64).index_add(0, chosen, margins.double())
    # Stable sorts from the least to the most important key; candidates are in order of group and label already.
    order = (-sums).argsort(stable=True)
    order = order[(-bearers[order]).argsort(stable=True)]
    order = order[(-count[order]).argsort(stable=True)]
    order = order[(candidates[order] // num_labels).argsort(stable=True)]
    group = candidates[order] // num_labels
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = group[1:] != group[:-1]
    winners = order[first]
    return group[first], candidates[winners] % num_labels, (sums / count)[winners].float()


def group_mean(values: Tensor, groups: Tensor) -> Tensor:
    """[N] float: of each sample the mean of its group, over the values that are not NaN; NaN where none is.

    >>> group_mean(torch.tensor([0.2, float("nan"), 0.4, 0.9]), torch.tensor([5, 5, 5, 1]))
    tensor([0.3000, 0.3000, 0.3000, 0.9000])
    """
    place = groups.unique(return_inverse=True)[1]
    known = ~values.isnan()
    sums = values.new_zeros(int(place.max()) + 1).index_add(0, place[known], values[known])
    return (sums / place[known].bincount(minlength=len(sums)))[place]
