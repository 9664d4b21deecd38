"""Confident learning: find label errors by out-of-fold predictions, drop them, go on with the rest.

Paper: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021) 1373–1411.

First part of the epochs, ``num_folds`` networks side by side: network f learns from the samples outside fold f, and what it
says of fold f is out-of-fold. The mean of those probabilities over the last epochs of the part is P [N, K]. Then once:

t_j       = mean P_ij over the samples labelled j: how sure the networks usually are of class j
C[i, j]   = number of samples labelled i whose most probable class among those with P_j ≥ t_j is j  (the confident joint)
C         scaled row by row to the number of samples labelled i, rounded to whole samples that keep the row's sum
issues    = for i ≠ j, the C[i, j] samples labelled i of the largest P_j − P_i, but for those whose arg max is i
            (prune by noise rate)

The remaining epochs draw only from the other samples, and train the first network.

Checked against cleanlab (cleanlab/cleanlab: filter.py, count.py, internal/util.py, by the paper's authors; their
``find_label_issues(filter_by="prune_by_noise_rate")``), which is not a dependency here: thresholds and their tolerance of
1e-6, at least one sample on each diagonal entry before scaling, rounding, margins, the exception for an arg max that
agrees. Equal remainders and margins go to the lower class or sample here, in no fixed order there; where no sample of a
class would be left, one is left, taken from the largest entry, where cleanlab takes from all alike. Four folds: recalled
from the paper's CIFAR-10 experiment.

Deviations, for one run: the paper trains the folds to the end and then retrains from scratch. Here the first fold's network
goes on with the samples that were kept, by default from the end of the high learning rate (15 of 40 epochs), before it has
memorised much. ``restart`` begins the schedule again instead, and ``from_scratch`` gives the second part to a fresh network. Out-of-fold probabilities come from the augmented training view, and the held-out
images take part in batch norm's statistics (their labels take no part in anything). Folds are even within each class, by a
fixed permutation. A sample never drawn in the pooled epochs is kept, uncounted. Each network learns from its own mean loss,
so the losses are added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs
from selfcure.methods.plain import PlainNet


@dataclass(frozen=True, kw_only=True)
class ConfidentLearningConfig:
    """Settings of confident learning."""

    num_folds: int = 4
    """Networks of the first part; each leaves another share of the samples out."""
    fold_share: float = 0.375
    """Share of the epochs that is the first part, at least one and at most all but one of them."""
    pool_share: float = 0.5
    """Share of the first part, at its end, whose out-of-fold probabilities are pooled; at least one epoch."""
    from_scratch: bool = False
    """Second part with a fresh network, as the paper does, instead of the first fold's."""
    restart: bool = False
    """Give each part a whole learning-rate schedule, as the paper does, instead of one for both."""
    bias: bool = False
    """Give the classifiers a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        if self.num_folds < 2:
            raise SelfcureError(f"num_folds must be at least 2, not {self.num_folds}")
        for name in ("fold_share", "pool_share"):
            if not 0 < getattr(self, name) <= 1:
                raise SelfcureError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")


def confident_joint(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """[K, K] whole numbers: how many samples labelled i are estimated to be j; a row sums to the samples labelled i.

    Args:
        labels: [N] integers.
        probs: [N, K] out-of-fold probabilities.

    The thresholds are 0.6 and 0.8; the last sample labelled 0 is confidently 1, and nobody is in doubt:

    >>> probs = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    >>> confident_joint(np.array([0, 0, 0, 1, 1]), probs)
    array([[2, 1],
           [0, 2]])
    """
    num_classes = probs.shape[1]
    given = np.eye(num_classes)[labels]  # [N, K]
    counts = given.sum(axis=0)
    # A class without samples has no threshold that a probability could reach.
    thresholds = np.where(counts > 0, (given * probs).sum(axis=0) / np.maximum(counts, 1), 2.0)
    confident = probs >= thresholds - 1e-6
    guesses = np.where(confident, probs, -1.0).argmax(axis=1)
    joint = np.zeros((num_classes, num_classes))
    certain = confident.any(axis=1)
    np.add.at(joint, (labels[certain], guesses[certain]), 1)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    scaled = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    return _whole_rows(scaled, counts.astype(int))


def _whole_rows(scaled: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """``scaled`` [K, K] in whole numbers that sum to ``totals`` [K]: the largest remainders are rounded up."""
    whole = np.floor(scaled + 1e-9).astype(int)
    for row, left, missing in zip(whole, scaled - whole, totals - whole.sum(axis=1), strict=True):
        row[np.argsort(-left, kind="stable")[:missing]] += 1
    return whole


def label_issues(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    """[N] bool: samples whose label is estimated to be wrong, pruned by noise rate.

    Args:
        labels: [N] integers.
        probs: [N, K] out-of-fold probabilities.

    >>> probs = np.array([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    >>> label_issues(np.array([0, 0, 0, 1, 1]), probs)
    array([False, False,  True, False, False])
    """
    joint, issues = confident_joint(labels, probs), np.zeros(len(labels), dtype=bool)
    for given in range(len(joint)):
        members = np.flatnonzero(labels == given)
        row = joint[given]
        if len(members) and not row[given]:  # leave one sample of every class
            row[row.argmax()] -= 1
        for other in np.flatnonzero(row):
            if other != given:
                margins = probs[members, other] - probs[members, given]
                issues[members[np.argsort(-margins, kind="stable")[: row[other]]]] = True
    return issues & (probs.argmax(axis=1) != labels)


def split_into_folds(labels: Tensor, num_folds: int) -> Tensor:
    """[N] int64 fold of every sample; even within each class, and always the same for the same labels.

    >>> split_into_folds(torch.tensor([0, 0, 0, 0, 1, 1]), 2).bincount()
    tensor([3, 3])
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    by_class = shuffled[labels[shuffled].argsort(stable=True)]
    folds = torch.empty(len(labels), dtype=torch.int64)
    folds[by_class] = torch.arange(len(labels)) % num_folds
    return folds


class FoldNet(nn.Module):
    """The networks of the folds, and the one that is kept: the first of them, or one more.

    While training and ``in_folds`` the outputs hold ``fold_logits`` [B, F, K]; otherwise the network that is kept answers
    alone.
    """

    def __init__(self, networks: Sequence[PlainNet], num_folds: int):
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.num_folds = num_folds
        self.in_folds = True

    def forward(self, images: Tensor) -> Outputs:
        if not (self.training and self.in_folds):
            return self.networks[0](images)
        logits = [network(images)["logits"] for network in self.networks[-self.num_folds :]]
        return {"logits": logits[0], "fold_logits": torch.stack(logits, dim=1)}


class ConfidentLearning(Method):
    """Drops what out-of-fold predictions say is wrongly labelled, and trains on the rest; changes no labels.

    In the first part the logits of a step are the out-of-fold ones, so that the run's evidence is too, and
    ``held_out_prob`` is recorded: the out-of-fold probability of the given label; higher is more trusted. Evaluation shows
    the network that is kept, in the first part with ``from_scratch`` an untrained one.
    """

    Config = ConfidentLearningConfig
    recipes: ClassVar = {
        "paper": ConfidentLearningConfig(),
        "reference": ConfidentLearningConfig(bias=True),
        "modern": ConfidentLearningConfig(restart=True, bias=True),
    }

    labels: Tensor
    """[N] int64."""
    folds: Tensor
    """[N] int64, the fold that a sample is in: the network that does not learn from it."""
    num_epochs: int
    num_fold_epochs: int
    """Epochs of the first part."""
    prob_sums: Tensor
    """[N, K] out-of-fold probabilities, summed over the pooled epochs."""
    prob_counts: Tensor
    """[N] how many were summed."""

    def __init__(
        self,
        config: ConfidentLearningConfig,
        *,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        spare: Sequence[nn.Module],
    ):
        self.config, self.backbone, self.spare = config, backbone, tuple(spare)
        self.module: FoldNet = FoldNet(
            [PlainNet(net, num_features, num_classes, bias=config.bias) for net in (backbone, *spare)],
            config.num_folds,
        )

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        return (self.backbone, *self.spare)

    @classmethod
    def num_spare_backbones(cls, config: ConfidentLearningConfig) -> int:
        return config.num_folds - (not config.from_scratch)

    def start(self, training_set: TrainingSet) -> None:
        self.labels = training_set.original_labels.cpu()
        self.folds = split_into_folds(self.labels, self.config.num_folds)
        wanted = max(1, round(self.config.fold_share * training_set.num_epochs))
        self.num_epochs = training_set.num_epochs
        self.num_fold_epochs = min(wanted, self.num_epochs - 1)
        self.prob_sums = torch.zeros(len(training_set), training_set.num_classes)
        self.prob_counts = torch.zeros(len(training_set))

    def schedule(self, passed: float) -> float:
        if not self.config.restart:
            return passed
        first, total = self.num_fold_epochs, self.num_epochs
        return passed * total / first if passed < first else (passed - first) * total / (total - first)

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> Tensor | None:
        if epoch <= self.num_fold_epochs:
            return None
        counts = self.prob_counts.cpu()
        judged = (counts > 0).nonzero().squeeze(1)
        probs = self.prob_sums.cpu().double()[judged] / counts.double()[judged, None]
        kept = torch.ones(len(self.labels), dtype=torch.bool)
        kept[judged] = ~torch.from_numpy(label_issues(self.labels[judged].numpy(), probs.numpy()))
        return kept.nonzero().squeeze(1)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        self.module.in_folds = batch.epoch <= self.num_fold_epochs
        if not self.module.in_folds:
            logits = forward(batch.images)["logits"]
            losses = F.cross_entropy(logits, batch.given_labels, reduction="none")  # [B]
            return StepOutput(loss=losses.mean(), logits=logits)
        fold_logits = forward(batch.images)["fold_logits"]  # [B, F, K]
        num_folds = fold_logits.shape[1]
        folds = self.folds.to(batch.ids.device)[batch.ids]
        labels = batch.given_labels[:, None].expand(-1, num_folds)
        losses = F.cross_entropy(fold_logits.transpose(1, 2), labels, reduction="none")  # [B, F]
        learns = F.one_hot(folds, num_folds) == 0
        of_folds = (losses * learns).sum(dim=0) / learns.sum(dim=0).clamp_min(1)  # [F]
        held_out = fold_logits[torch.arange(len(folds), device=folds.device), folds]  # [B, K]
        probs = held_out.detach().softmax(dim=1)
        self._pool(batch, probs)
        return StepOutput(
            loss=of_folds.sum(),
            logits=held_out,
            terms={"fold_ce": of_folds.mean()},
            scores={"held_out_prob": probs.gather(1, batch.given_labels[:, None]).squeeze(1)},
        )

    def _pool(self, batch: Batch, probs: Tensor) -> None:
        num_pooled = max(1, round(self.config.pool_share * self.num_fold_epochs))
        if batch.epoch > self.num_fold_epochs - num_pooled:
            self.prob_sums, self.prob_counts = self.prob_sums.to(probs), self.prob_counts.to(probs)
            self.prob_sums.index_add_(0, batch.ids, probs)
            self.prob_counts.index_add_(0, batch.ids, torch.ones_like(probs[:, 0]))

    def state_dict(self) -> dict[str, Tensor]:
        return {"prob_sums": self.prob_sums.cpu(), "prob_counts": self.prob_counts.cpu()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.prob_sums, self.prob_counts = state["prob_sums"].clone(), state["prob_counts"].clone()
