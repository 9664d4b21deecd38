"""DMUE: latent distribution mining and pairwise uncertainty estimation.

Paper: She, Hu, Shi, Wang, Shen, Mei, "Dive into Ambiguity: Latent Distribution Mining and Pairwise Uncertainty Estimation
for Facial Expression Recognition", CVPR 2021.

K auxiliary branches stand beside the classifier while training. Branch c never learns from class c, so what it says of a
sample of class c is which *other* expressions are in it:

mined_i = softmax(z_i^{y_i} / T) over the classes other than y_i  (no gradient)
L_soft  = mean over samples and classes of (p_i [k ≠ y_i] − mined_i)²
L_aux   = mean over branches of the CE of the samples that are not of the branch's class
L_sp    = mean over branches and those samples of |g_branch − g_features|², rows of Gram matrices, each of length 1
α_i     = sigmoid(MLP(s_i, onehot y_i)),  s_ik = mean cosine of i's features to the batch's class k, scaled to 0 … 1 over k
L_ce    = CE of the α-weighted logits
L       = up·(L_ce + ω·L_soft + γ·L_sp) + down·L_aux
up      = exp(−5(1 − s)²) up to s = 1, then 1;  down = 1 up to s = 1, then exp(−(1 − 1/s)²);  s = epochs done / ramp

Checked against the authors' code (JDAI-CV/FaceX-Zoo, addition_module/DMUE: train.py, config.py, losses, models,
utils/ramp.py): every equation, T = 1.2, ω = 0.5, the ramp (6 of at most 36 epochs on AffectNet as published, 9 or 10 on
RAF-DB, 10 to 14 on FERPlus). There too the branches' Gram matrices are those of their logits. Of the paper itself only the
abstract was at hand.

Worth knowing: T > 1 flattens, although the code calls it sharpening. L_soft pulls the probabilities *beside* the label
towards a sum of 1, so a fully certain prediction is never its optimum.

Deviations: a branch is a small head on the shared features (one hidden layer), not a copy of the network's last stage, so
that any backbone will do and K branches cost almost nothing. Which makes γ ours: the code has 1000 on the mean over all
entries of the Gram matrices, at a batch of 72, about 16 on the scale here, which no batch size changes; with heads on
shared, untrained features 4 and more let the features collapse to one direction in some small runs, 1 in none. The code's
batch-norm neck, dropout and tenfold learning rate of the classifiers are left out. It skips a batch with fewer than two
samples of some class; here such a class counts as the least similar one. Recorded as ``importance``, as SCN's α is.
"""

from dataclasses import dataclass
from math import exp
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, StepOutput, TrainingSet
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs


@dataclass(frozen=True, kw_only=True)
class DmueConfig:
    """Settings of DMUE; the defaults are the authors' code's, but for γ and what it has no like of."""

    soft_weight: float = 0.5
    """ω, weight of the mined distributions' loss."""
    temperature: float = 1.2
    """T of the mined distributions; above 1 flatter, below 1 sharper."""
    ramp_share: float = 0.15
    """Share of the epochs in which the branches learn at full weight and the classifier's part grows."""
    similarity_weight: float = 1.0
    """γ, weight of the loss that keeps the branches' similarities those of the features."""
    branch_width: int = 128
    """Hidden units of a branch."""
    bias: bool = False
    """Give the classifier a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        for name in ("soft_weight", "similarity_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SelfcureError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.temperature < float("inf"):
            raise SelfcureError(f"temperature must be above 0, not {self.temperature}")
        if not 0 < self.ramp_share <= 1:
            raise SelfcureError(f"ramp_share must be above 0 and at most 1, not {self.ramp_share}")
        if self.branch_width < 1:
            raise SelfcureError(f"branch_width must be at least 1, not {self.branch_width}")


def ramps(epoch: int, num_epochs: int, ramp_share: float) -> tuple[float, float]:
    """Weights (up, down) of the classifier's part and of the branches' in ``epoch`` (1-based).

    >>> [tuple(round(w, 4) for w in ramps(epoch, 40, 0.25)) for epoch in (1, 6, 11, 40)]
    [(0.0067, 1.0), (0.2865, 1.0), (1.0, 1.0), (1.0, 0.5753)]
    """
    passed = (epoch - 1) / (ramp_share * num_epochs)
    up = exp(-5 * (1 - passed) ** 2) if passed < 1 else 1.0
    down = exp(-((1 - 1 / passed) ** 2)) if passed > 1 else 1.0
    return up, down


def without_own_class(branch_logits: Tensor, value: float) -> Tensor:
    """``branch_logits`` [B, C, K] with ``value`` where a branch would speak of the class that it never sees."""
    own = torch.eye(branch_logits.shape[1], dtype=torch.bool, device=branch_logits.device)
    return branch_logits.masked_fill(own, value)


def branch_cross_entropy(branch_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the branches of the mean cross-entropy of the samples that are not of the branch's class.

    Args:
        branch_logits: [B, C, K]; branch c does not know class c: its logit is ignored.
        labels: [B] int64.

    Three classes, equal logits: each branch chooses between two, log 2 = 0.6931.

    >>> branch_cross_entropy(torch.zeros(3, 3, 3), torch.tensor([0, 1, 2]))
    tensor(0.6931)
    """
    foreign = _foreign(branch_logits, labels)  # [B, C]
    log_probs = without_own_class(branch_logits, -torch.inf).log_softmax(dim=2)
    of_label = log_probs.gather(2, labels[:, None, None].expand(-1, branch_logits.shape[1], 1)).squeeze(2)
    losses = torch.where(foreign, -of_label, 0.0)
    return (losses.sum(dim=0) / foreign.sum(dim=0).clamp_min(1)).mean()


def mined_distributions(branch_logits: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """[B, K] what the branch of each sample's own class takes it for; 0 at that class, without gradient.

    >>> logits = torch.tensor([[[9.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]])  # branch 0 cannot decide
    >>> mined_distributions(logits, torch.tensor([0]), temperature=1.2)
    tensor([[0.0000, 0.5000, 0.5000]])
    """
    own_branch = without_own_class(branch_logits.detach(), -torch.inf)[torch.arange(len(labels)), labels]
    return (own_branch / temperature).softmax(dim=1)


def soft_loss(logits: Tensor, labels: Tensor, mined: Tensor) -> Tensor:
    """Mean square, over samples and classes, between the probabilities beside the label and the mined distribution.

    p = (½, ½), label 0, mined (0, 1): (0 + (½ − 1)²) / 2 = 0.125.

    >>> soft_loss(torch.zeros(1, 2), torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
    tensor(0.1250)
    """
    beside = logits.softmax(dim=1).scatter(1, labels[:, None], 0.0)
    return (beside - mined).square().mean()


def class_similarities(features: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """[B, K] mean cosine of each sample to the batch's samples of each class, scaled per sample to 0 … 1; higher is nearer.

    The sample itself counts among its class. A class that is not in the batch counts as the least similar.

    Two classes at right angles; the third sample lies between them:

    >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> class_similarities(features, torch.tensor([0, 1, 1]), 3)
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 1., 0.]])
    """
    directions = F.normalize(features, dim=1)
    members = F.one_hot(labels, num_classes).to(features)  # [B, K]
    present = members.sum(dim=0) > 0
    means = directions @ directions.T @ members / members.sum(dim=0).clamp_min(1)
    low = means.masked_fill(~present, torch.inf).amin(dim=1, keepdim=True)
    high = means.masked_fill(~present, -torch.inf).amax(dim=1, keepdim=True)
    scaled = (means - low) / (high - low).clamp_min(torch.finfo(means.dtype).eps)
    return torch.where(present, scaled, 0.0)


def similarity_loss(branch_logits: Tensor, features: Tensor, labels: Tensor) -> Tensor:
    """Mean over branches and samples of the squared distance between rows of two Gram matrices, each row of length 1.

    One is of the branch's logits, the other of the features; a branch is compared on the samples that are not of its class.
    In 0 … 4, whatever the batch size; lower where a branch finds the same samples alike as the features do.

    Two samples, foreign to branch 2 alone, alike in its logits (rows of (1, 1)/√2) and at right angles in the features
    (rows (1, 0) and (0, 1)): the distance is 2 − 2·√½ = 0.5858. The other two branches see one sample each, a Gram matrix
    of one entry, 1 on both sides: 0. A third of it is 0.1953.

    >>> similarity_loss(torch.ones(2, 3, 3), torch.eye(2), torch.tensor([0, 1]))
    tensor(0.1953)
    """
    foreign = _foreign(branch_logits, labels).T.to(features)  # [C, B]
    logits = without_own_class(branch_logits, 0.0).transpose(0, 1) * foreign[:, :, None]  # [C, B, K]
    branch_gram = logits @ logits.transpose(1, 2)  # [C, B, B]
    feature_gram = features @ features.T * foreign[:, :, None] * foreign[:, None, :]
    difference = F.normalize(branch_gram, dim=2) - F.normalize(feature_gram, dim=2)
    return (difference.square().sum(dim=(1, 2)) / foreign.sum(dim=1).clamp_min(1)).mean()


def _foreign(branch_logits: Tensor, labels: Tensor) -> Tensor:
    """[B, C] bool: the sample is not of the branch's class."""
    return labels[:, None] != torch.arange(branch_logits.shape[1], device=labels.device)


class DmueNet(nn.Module):
    """Backbone and classifier; while training also the branches, and the weighing of similarities that the method applies."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, config: DmueConfig):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=config.bias)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Linear(num_features, config.branch_width),
                nn.ReLU(),
                nn.Linear(config.branch_width, num_classes),
            )
            for _ in range(num_classes)
        )
        self.weighing = nn.Sequential(
            nn.Linear(2 * num_classes, num_classes), nn.PReLU(), nn.Linear(num_classes, 1)
        )

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        outputs = {"logits": self.classifier(features)}
        if self.training:
            outputs["features"] = features
            outputs["branch_logits"] = torch.stack([branch(features) for branch in self.branches], dim=1)
        return outputs


class Dmue(Method):
    """Soft targets from branches that do not know the label's class, and a weight from pairwise similarity.

    Records ``importance``: α in (0, 1); higher is more trusted.

    Raises:
        SelfcureError: fewer than three classes: a branch would have nothing to tell apart.
    """

    Config = DmueConfig
    recipes: ClassVar = {
        "paper": DmueConfig(),
        "reference": DmueConfig(bias=True),
        "modern": DmueConfig(bias=True),
    }

    num_epochs: int

    def __init__(self, config: DmueConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        if num_classes < 3:
            raise SelfcureError(
                f"method dmue needs at least 3 classes, not {num_classes}; use another method"
            )
        self.config, self.backbone, self.num_classes = config, backbone, num_classes
        self.module: DmueNet = DmueNet(backbone, num_features, num_classes, config)

    def start(self, training_set: TrainingSet) -> None:
        self.num_epochs = training_set.num_epochs

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        config, labels = self.config, batch.given_labels
        outputs = forward(batch.images)
        logits, features, branch_logits = (outputs[n] for n in ("logits", "features", "branch_logits"))
        similarities = class_similarities(features, labels, self.num_classes)  # [B, K]
        given = F.one_hot(labels, self.num_classes).to(similarities)
        importance = self.module.weighing(torch.cat([similarities, given], dim=1)).squeeze(1).sigmoid()  # [B]
        mined = mined_distributions(branch_logits, labels, temperature=config.temperature)
        terms = {
            "weighted_ce": F.cross_entropy(importance[:, None] * logits, labels),
            "soft": soft_loss(logits, labels, mined),
            "similarity": similarity_loss(branch_logits, features, labels),
            "branch_ce": branch_cross_entropy(branch_logits, labels),
        }
        up, down = ramps(batch.epoch, self.num_epochs, config.ramp_share)
        main = (
            terms["weighted_ce"]
            + config.soft_weight * terms["soft"]
            + config.similarity_weight * terms["similarity"]
        )
        return StepOutput(
            loss=up * main + down * terms["branch_ce"],
            logits=logits,
            terms=terms,
            scores={"importance": importance},
        )
