"""What one epoch of training shows: running means for the log, and a row of evidence for every sample."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfcure.core import Batch, RelabelDecisions, StepOutput


@dataclass
class StepEvidence:
    """What is kept of a step; on a GPU :meth:`to_host` fetches it without waiting."""

    ids: Tensor
    """[B] int64, on the CPU."""
    columns: dict[str, Tensor]
    """Per-sample values, each [B]."""
    names: list[str]
    """Names of ``means``."""
    means: Tensor
    """[T] loss, its terms and accuracy: means over the batch."""
    relabels: RelabelDecisions | None

    @classmethod
    @torch.no_grad()
    def of(cls, ids: Tensor, batch: Batch, output: StepOutput) -> "StepEvidence":
        """The evidence in ``output``; ``ids`` are the batch's, on the CPU."""
        probs = output.logits.float().softmax(dim=1)  # [B, K]
        confidence, prediction = probs.max(dim=1)
        of_original = probs.gather(1, batch.original_labels[:, None]).squeeze(1)
        scores = {name: score.float() for name, score in output.scores.items()}
        means = {
            "loss": output.loss,
            **output.terms,
            "accuracy_given": (prediction == batch.given_labels).float().mean(),
        }
        return cls(
            ids,
            {"prediction": prediction.to(torch.int32), "confidence": confidence, "original_prob": of_original}
            | scores,
            list(means),
            torch.stack([mean.detach().double() for mean in means.values()]),
            output.relabels,
        )

    def to_host(self) -> "StepEvidence":
        """Everything on the CPU; complete once the device has come this far."""

        def fetch(tensor: Tensor) -> Tensor:
            return tensor.detach().to("cpu", non_blocking=True)

        decisions = self.relabels and RelabelDecisions(
            fetch(self.relabels.ids), fetch(self.relabels.labels), fetch(self.relabels.margins)
        )
        columns = {name: fetch(column) for name, column in self.columns.items()}
        return StepEvidence(self.ids, columns, self.names, fetch(self.means), decisions)


class EpochEvidence:
    """Gathers an epoch batch by batch; can be saved and taken up in mid-epoch.

    Per sample: ``prediction`` (int32, −1 unseen), ``confidence`` = probability of the prediction, ``original_prob`` =
    probability of the sample's original label (NaN unseen), all from the unweighted logits of the augmented training
    view, and the method's own scores. Of a sample drawn twice the last view counts.
    """

    def __init__(self, num_samples: int):
        self.num_samples = num_samples
        self.num_seen = 0
        self.sums: dict[str, float] = {}
        self.columns: dict[str, Tensor] = {}

    def add(self, step: StepEvidence) -> None:
        """Note a step, on the CPU."""
        for name, values in step.columns.items():
            if name not in self.columns:
                unseen = torch.nan if values.is_floating_point() else -1
                self.columns[name] = torch.full((self.num_samples,), unseen, dtype=values.dtype)
            self.columns[name][step.ids] = values
        for name, value in zip(step.names, step.means.tolist(), strict=True):
            self.sums[name] = self.sums.get(name, 0.0) + value * len(step.ids)
        self.num_seen += len(step.ids)

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


class History:
    """The mean over epochs of the probability of each sample's original label, of the epochs that drew it."""

    def __init__(self, num_samples: int):
        self._sum = torch.zeros(num_samples)
        self._times = torch.zeros(num_samples, dtype=torch.int32)

    def add(self, original_prob: Tensor) -> None:
        """Note an epoch: [N], NaN where the sample was not drawn."""
        seen = ~original_prob.isnan()
        self._sum[seen] += original_prob[seen]
        self._times += seen

    def mean(self) -> np.ndarray:
        """[N] in [0, 1], NaN where never drawn."""
        return (self._sum / self._times).numpy()

    def state_dict(self) -> dict[str, Tensor]:
        return {"sum": self._sum, "times": self._times}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._sum, self._times = state["sum"], state["times"]
