"""What one epoch of training shows: running means for the log, and a row of evidence for every sample."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfcure.core import Batch, StepOutput


class EpochEvidence:
    """Gathers an epoch batch by batch; can be saved and taken up in mid-epoch.

    Per sample: ``prediction`` (int32, −1 unseen), ``confidence`` = probability of the prediction, ``original_prob`` =
    probability of the sample's original label (NaN unseen), all from the unweighted logits of the augmented training
    view, and the method's own scores.
    """

    def __init__(self, num_samples: int):
        self.num_samples = num_samples
        self.num_seen = 0
        self.sums: dict[str, float] = {}
        self.columns: dict[str, Tensor] = {}

    def add(self, batch: Batch, output: StepOutput) -> None:
        """Note a step's output."""
        probs = output.logits.detach().float().softmax(dim=1)  # [B, K]
        confidence, prediction = probs.max(dim=1)
        of_original = probs.gather(1, batch.original_labels[:, None]).squeeze(1)
        scores = {"confidence": confidence, "original_prob": of_original, **output.scores}
        self._note("prediction", batch.ids, prediction.to(torch.int32), -1)
        for name, score in scores.items():
            self._note(name, batch.ids, score.detach().float(), torch.nan)
        means = {
            "loss": output.loss,
            **output.terms,
            "accuracy_given": (prediction == batch.given_labels).float().mean(),
        }
        for name, value in means.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach()) * len(batch.ids)
        self.num_seen += len(batch.ids)

    def means(self) -> dict[str, float]:
        """Means over the samples so far of loss, its terms and accuracy."""
        return {name: value / self.num_seen for name, value in self.sums.items()}

    def arrays(self) -> dict[str, np.ndarray]:
        """The evidence columns, each [N]."""
        return {name: column.numpy() for name, column in sorted(self.columns.items())}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain JSON, for a checkpoint."""
        return self.columns, {"num_seen": self.num_seen, "sums": self.sums}

    def load_state(self, columns: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Take back :meth:`state`."""
        self.columns, self.num_seen, self.sums = dict(columns), state["num_seen"], dict(state["sums"])

    def _note(self, name: str, ids: Tensor, values: Tensor, unseen: float) -> None:
        if name not in self.columns:
            self.columns[name] = torch.full((self.num_samples,), unseen, dtype=values.dtype)
        self.columns[name][ids.cpu()] = values.cpu()


def importance_statistics(importance: np.ndarray) -> dict[str, float]:
    """Mean, spread and quantiles of the importance of all samples, and the share that is saturated (> 0.99)."""
    low, median, high = np.quantile(importance, [0.05, 0.5, 0.95])
    return {
        "mean": float(importance.mean()),
        "std": float(importance.std()),
        "q05": float(low),
        "median": float(median),
        "q95": float(high),
        "saturated": float((importance > 0.99).mean()),
    }
