"""Training methods: one file each, named here."""

from selfcure.methods.base import Forward, Method, Outputs
from selfcure.methods.confident_learning import ConfidentLearning
from selfcure.methods.coteaching import Coteaching
from selfcure.methods.cure import Cure
from selfcure.methods.curriculumnet import CurriculumNet
from selfcure.methods.dmue import Dmue
from selfcure.methods.eac import Eac
from selfcure.methods.elr import Elr
from selfcure.methods.gce import Gce
from selfcure.methods.label_smoothing import LabelSmoothing
from selfcure.methods.metacleaner import MetaCleaner
from selfcure.methods.plain import Plain
from selfcure.methods.rul import Rul
from selfcure.methods.scn import Scn

METHODS: dict[str, type[Method]] = {
    "plain": Plain,
    "scn": Scn,
    "cure": Cure,
    "curriculumnet": CurriculumNet,
    "metacleaner": MetaCleaner,
    "rul": Rul,
    "eac": Eac,
    "dmue": Dmue,
    "coteaching": Coteaching,
    "elr": Elr,
    "gce": Gce,
    "label-smoothing": LabelSmoothing,
    "confident-learning": ConfidentLearning,
}

__all__ = ["METHODS", "Forward", "Method", "Outputs"]
