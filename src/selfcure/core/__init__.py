"""SCN for anybody's own loop: pure functions, small modules and the label book. Needs torch only."""

from selfcure.core.functional import (
    Relabeling,
    high_importance_mask,
    logit_weighted_cross_entropy,
    rank_regularization,
    relabel,
    sample_importance,
    self_cure_loss,
)
from selfcure.core.labels import LabelBook, LabelChanges
from selfcure.core.modules import (
    HeadOutput,
    RankRegularization,
    SelfCureHead,
    SelfCureLoss,
    SelfCureLossOutput,
)
from selfcure.core.types import Batch, RelabelDecisions, StepOutput, TrainingSet

__all__ = [
    "Batch",
    "HeadOutput",
    "LabelBook",
    "LabelChanges",
    "RankRegularization",
    "RelabelDecisions",
    "Relabeling",
    "SelfCureHead",
    "SelfCureLoss",
    "SelfCureLossOutput",
    "StepOutput",
    "TrainingSet",
    "high_importance_mask",
    "logit_weighted_cross_entropy",
    "rank_regularization",
    "relabel",
    "sample_importance",
    "self_cure_loss",
]
