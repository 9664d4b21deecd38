"""A running mean of every sample's predictions: what the epochs say together."""

import torch
from torch import Tensor


class PooledPredictions:
    """t_i ← β·t_i + (1 − β)·p_i for every sample, from t_i = 0.

    >>> pool = PooledPredictions(torch.zeros(2, 2), momentum=0.5)
    >>> pool.update(torch.tensor([1]), torch.tensor([[0.8, 0.2]]))
    tensor([[0.4000, 0.1000]])
    >>> pool.update(torch.tensor([1]), torch.tensor([[0.4, 0.6]]))
    tensor([[0.4000, 0.3500]])
    """

    values: Tensor
    """[N, K] t; rows sum to 0 where a sample was never seen, and towards 1 as it is seen often."""

    def __init__(self, values: Tensor, *, momentum: float):
        self.values, self.momentum = values, momentum

    def update(self, ids: Tensor, probs: Tensor) -> Tensor:
        """Move the rows of ``ids`` [B] towards ``probs`` [B, K]; returns them, [B, K].

        A sample that is several times in ``ids`` counts once, with its mean.
        """
        self._follow(probs)
        drawn, place = ids.unique(return_inverse=True)
        sums = probs.new_zeros(len(drawn), probs.shape[1]).index_add(0, place, probs)
        mean = (sums / place.bincount()[:, None])[place]
        updated = self.momentum * self.values[ids] + (1 - self.momentum) * mean
        self.values[ids] = updated
        return updated

    def mean(self, ids: Tensor | None = None) -> Tensor:
        """[N or B, K] weighted mean of what was seen, rows of sum 1; uniform for a sample never seen."""
        rows = self.values if ids is None else self.values[ids]
        total = rows.sum(dim=1, keepdim=True)
        return torch.where(total > 0, rows / total, torch.full_like(rows, 1 / rows.shape[1]))

    def _follow(self, probs: Tensor) -> None:
        """To the device of the network, and to float64 where it is; once."""
        self.values = self.values.to(probs)
