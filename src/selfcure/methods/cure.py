"""Cure: every label weighed by how likely it is right. Ours.

SCN judges an image by its importance α, which cannot know what label the image bears, and relabels by one prediction
against one margin. Here both are set apart. How far to trust a **label** is a probability, worked out from the
predictions of all epochs so far and from how often labels go wrong; how far an **image** can be read is the importance,
as in SCN a sigmoid on the features.

p̄_i ← β·p̄_i + (1 − β)·p_i                    predictions pooled over epochs and augmented views, each before its step
T[k, y], s                                   noise and sharpness, estimated before an epoch from p̄ and the given labels
q_i(k) ∝ p̄_i(k)^s · T[k, y_i]                the true class, given image and original label
L = Σ_i w_i·CE(p_i, y_i) / Σ_i w_i,  w_i = q_i(y_i)^γ   the original labels, weighed

and before the network is a good enough judge plain cross-entropy. Too early it misjudges, too late it has learned the wrong
labels by heart. So T is kept as it is when network and label seem right for half of the samples and the network errs four fifths
as often as the labels, both estimated; or up to 1.6 times as often, once the estimate of the noise stands still: it falls fast as
long as the network learns the classes, and slowly, but to nothing, when it learns the noise, as it does annotators'. Where the
network errs by a quarter more than the labels, 48 % will do for half: there the estimate has only to lose. Labels are judged and
weighed from the epoch on at which T is kept and the network errs half as often, or after ``start_share`` of the training.

A distrusted label teaches little, so the network does not come to believe it. γ is 1 until the network seems to err a
tenth as often as the labels, then grows up to ``max_trust_power``: to agree with wrong labels so well it must have begun
to learn them, each epoch trusting them more. A high γ from the start would keep a network that is wrong from being told so.

P(label wrong) = 1 − q_i(y_i). A label is changed to arg max q_i where q_i(y_i) is lowest, as far as the expected
number of right labels that this breaks stays within ``budget``; always judged against the original label, so each
epoch may take it back. Training itself uses the original labels alone: learning from its own changes would make the
network sure of its mistakes.

Augmented views blur what the network knows. So before the last epoch it looks once at the images as they are, for one pass
without gradient, and that epoch judges by both: p̄_i then is the geometric mean of the pooled prediction and this one.

The importance is learned on features without gradient, to predict q_i(arg max p_i): how likely the network reads the
image right. It costs the classifier nothing and comes out at inference.

Sources: loss correction by T and anchor points: Patrini et al., CVPR 2017; weights by a posterior: Arazo et al., ICML
2019; counts at per-class confidence: Northcutt et al., JAIR 2021. What was tried and left out: docs/cure.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfcure.core import Batch, RelabelDecisions, StepOutput, TrainingSet
from selfcure.core.pooling import PooledPredictions
from selfcure.core.posterior import (
    change_threshold,
    error_rates,
    label_posterior,
    sharpness,
    transition_matrix,
)
from selfcure.errors import SelfcureError
from selfcure.methods.base import Forward, Method, Outputs

_EPS = 1e-6
_LEARNED = 0.1
"""A network that seems to err less often than this for each error of the labels has begun to learn theirs."""
_AGREES, _AGREES_SHARING, _SHARING = 0.5, 0.48, 1.25
"""Share of the labels for which network and label must seem to be right, before the noise is believed; the same where the
network errs by more than this for each error of the labels; this."""
_STANDING = 0.8
"""An estimate of the noise that is still more than this share of the epoch's before stands still."""
_NUMBERS = ("trust_power", "sharpness", "threshold", "noise_rate", "settled", "judging")
"""What a checkpoint keeps beside the tensors."""


@dataclass(frozen=True, kw_only=True)
class CureConfig:
    """Settings of cure; one for all kinds and rates of noise."""

    momentum: float = 0.8
    """β, share of a sample's pooled prediction that stays at each update."""
    settle_error_ratio: float = 0.8
    """T is kept as soon as the network errs less often than this for each error of the labels, or than twice this while
    the estimated noise stands still; 0: never."""
    start_share: float = 0.6
    """Share of the epochs after which labels are weighed at the latest."""
    start_error_ratio: float = 0.5
    """Labels are weighed as soon as T is kept and the network errs less often than this for each error of theirs; 0: not
    before ``start_share``."""
    max_trust_power: float = 3.0
    """γ at most; 0: labels are not weighed, training stays plain and they are only judged."""
    look: bool = True
    """In the last epoch judge labels by the images as they are too, not by the augmented views of the epochs before alone."""
    budget: float = 0.007
    """Right labels that changing may break, as an expected share of the right ones; 0: change none."""
    top_share: float = 0.1
    """Share of each predicted class, the surest first, whose given labels tell the noise."""
    bias: bool = False
    """Give classifier and importance a bias; as in SCN's recipe of the same name."""

    def __post_init__(self) -> None:
        for name, high in (
            ("momentum", 1),
            ("start_share", 1),
            ("budget", 1),
            ("settle_error_ratio", float("inf")),
            ("start_error_ratio", float("inf")),
            ("max_trust_power", float("inf")),
        ):
            value = getattr(self, name)
            if not 0 <= value < high:
                raise SelfcureError(f"{name} must be at least 0 and below {high}, not {value}")
        if not 0 < self.top_share <= 1:
            raise SelfcureError(f"top_share must be above 0 and at most 1, not {self.top_share}")


class CureNet(nn.Module):
    """Backbone, linear classifier and importance."""

    def __init__(self, backbone: nn.Module, num_features: int, num_classes: int, *, bias: bool):
        super().__init__()
        self.backbone = backbone
        self.classifier = nn.Linear(num_features, num_classes, bias=bias)
        self.attention = nn.Linear(num_features, 1, bias=bias)

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        importance = self.attention(features.detach()).squeeze(1).sigmoid()  # [B]
        return {"logits": self.classifier(features), "importance": importance}


class Cure(Method):
    """Cross-entropy on the original labels, each weighed by the probability that it is right.

    Scores, all but the first from the first weighed epoch on: ``importance``, how likely the image is read right;
    ``wrong_prob``, P(label wrong) of the original label; ``wrong_prob_after``, that of the label after the cure, changed or
    not; ``suggested_label``, the most probable class; each in 0 … 1 but the last.
    """

    Config = CureConfig
    recipes: ClassVar = {
        "paper": CureConfig(),
        "reference": CureConfig(bias=True),
        "modern": CureConfig(bias=True),
    }

    transition: Tensor
    """[K, K] T, in use once labels are judged."""
    noise_rate = 1.0
    """Share of wrong labels by T, before this epoch."""
    settled = False
    """T is kept from now on."""
    judging = False
    """Labels are judged and weighed."""
    trust_power = 1.0
    """γ, before weighing starts without effect."""
    sharpness = 1.0
    """s."""
    threshold = 0.0
    """A label is changed where its probability is below."""
    look: Tensor | None = None
    """[N, K] in the last epoch: what was pooled before it and the prediction of the images as they are, as one."""

    def __init__(self, config: CureConfig, *, backbone: nn.Module, num_features: int, num_classes: int):
        self.config, self.backbone = config, backbone
        self.module = CureNet(backbone, num_features, num_classes, bias=config.bias)

    def start(self, training_set: TrainingSet) -> None:
        self.labels = training_set.original_labels
        self.num_epochs = num_epochs = training_set.num_epochs
        if num_epochs < 2:
            raise SelfcureError(
                "cure judges labels by the epochs before and needs at least 2 epochs; set --epochs"
            )
        self.latest_start = min(max(2, 1 + round(self.config.start_share * num_epochs)), num_epochs)
        values = torch.zeros(len(training_set), training_set.num_classes)
        self.transition = torch.eye(training_set.num_classes)
        self.pool = PooledPredictions(values, momentum=self.config.momentum)

    def begin_epoch(self, epoch: int, outputs: Callable[[], Outputs]) -> None:
        if epoch == 1:
            return
        probs = self.pool.mean()
        labels = self.labels.to(probs.device)
        self._estimate(probs, labels)
        self.judging |= epoch >= self.latest_start
        if not self.judging:
            return
        if self.config.look and epoch == self.num_epochs:
            seen = outputs()["logits"].softmax(dim=1).to(probs)
            probs = self.look = F.normalize((probs * seen).sqrt(), p=1, dim=1)
        self.sharpness = sharpness(probs, labels, self.transition)
        posterior = label_posterior(probs, labels, self.transition, self.sharpness)
        self.threshold = change_threshold(posterior, labels, self.config.budget)

    def _estimate(self, probs: Tensor, labels: Tensor) -> None:
        """T, until it is kept; and whether the network is judge enough."""
        if not self.settled:
            self.transition = transition_matrix(probs, labels, top_share=self.config.top_share)
        network, noise = error_rates(probs, labels, self.transition)
        # A network that knows nothing is no surer where it is right: all disagreement would pass for noise. One that errs more
        # than the labels and is yet sure of a noise that stands still shares some of it, and will share more.
        sharing = network > _SHARING * noise
        agrees = (1 - network) * (1 - noise) > (_AGREES_SHARING if sharing else _AGREES)
        stands_still = noise > _STANDING * self.noise_rate
        self.noise_rate = noise
        limit = self.config.settle_error_ratio * (2 if stands_still else 1)
        self.settled |= agrees and network < limit * noise
        self.judging |= self.settled and network < self.config.start_error_ratio * noise
        learned = _LEARNED * noise / max(network, _EPS)
        self.trust_power = min(max(1.0, learned), self.config.max_trust_power)

    def step(self, batch: Batch, forward: Forward) -> StepOutput:
        outputs = forward(batch.images)
        logits, importance = outputs["logits"], outputs["importance"]  # [B, K], [B]
        labels = batch.original_labels
        trust = self._posterior(self._probs(batch.ids).to(logits), labels)  # of the epochs before
        self.pool.update(batch.ids, logits.detach().softmax(dim=1))
        belief = self._posterior(self._probs(batch.ids), labels)  # and of this one

        losses = F.cross_entropy(logits, labels, reduction="none")
        weights = trust.gather(1, labels[:, None]).squeeze(1) ** self.trust_power
        weighted = (weights * losses).sum() / weights.sum().clamp(min=_EPS)
        read_right = belief.gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1)
        reading = F.binary_cross_entropy(importance.float(), read_right.float())
        right = belief.gather(1, labels[:, None]).squeeze(1)  # P(label right), as it came
        wanted = torch.where(right < self.threshold, belief.argmax(dim=1), labels)
        terms = {"weighted_ce": weighted, "reading": reading}
        scores = {"importance": importance}
        if self.judging:
            terms |= {"noise_rate": 1 - right.mean(), "sharpness": right.new_tensor(self.sharpness)}
            scores |= {
                "wrong_prob": 1 - right,
                "wrong_prob_after": 1 - belief.gather(1, wanted[:, None]).squeeze(1),
                "suggested_label": belief.argmax(dim=1),
            }
        return StepOutput(
            loss=weighted + reading,
            logits=logits,
            terms=terms,
            scores=scores,
            relabels=self._relabels(batch, wanted, belief.amax(dim=1) - right),
        )

    def _probs(self, ids: Tensor) -> Tensor:
        """[B, K] what the labels are judged by."""
        return self.pool.mean(ids) if self.look is None else self.look[ids]

    def _posterior(self, probs: Tensor, labels: Tensor) -> Tensor:
        """[B, K] q; the labels themselves before they are weighed."""
        if not self.judging:
            return F.one_hot(labels, probs.shape[1]).to(probs)
        return label_posterior(probs, labels, self.transition.to(probs), self.sharpness)

    def _relabels(self, batch: Batch, wanted: Tensor, margins: Tensor) -> RelabelDecisions | None:
        """Changes from the labels in use: new ones, and those taken back."""
        if not self.judging:
            return None
        changed = wanted != batch.given_labels
        return RelabelDecisions(batch.ids[changed], wanted[changed], margins[changed])

    def label_confusion(self) -> Tensor | None:
        if not self.judging:
            return None
        probs = self.pool.mean() if self.look is None else self.look
        labels = self.labels.to(probs.device)
        posterior = self._posterior(probs, labels)
        return torch.zeros_like(self.transition).to(posterior).index_add(0, labels, posterior)

    def state_dict(self) -> dict[str, Tensor]:
        numbers = [float(getattr(self, name)) for name in _NUMBERS]
        state = {
            "pooled": self.pool.values.cpu(),
            "transition": self.transition.cpu(),
            "numbers": torch.tensor(numbers, dtype=torch.float64),
        }
        if self.look is not None:
            state["look"] = self.look.cpu()
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.pool.values = state["pooled"].clone()
        self.transition = state["transition"].clone()
        for name, value in zip(_NUMBERS, state["numbers"].tolist(), strict=True):
            setattr(self, name, type(getattr(Cure, name))(value))
        if "look" in state:
            self.look = state["look"].clone()
