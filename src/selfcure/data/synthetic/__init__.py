"""Synthetic faces with known truth: the embedded data of the demo, the examples and the tests.

A parametric portrait: named outlines in two and a half dimensions, moved linearly by who somebody is and by
facial action units (``muscles``), turned, projected, painted and softly lit. Eight expressions in the order
of FERPlus are combinations of action units after EMFACS (``expressions``). ``synthesize`` draws samples and
plants the three uncertainties of the Self-Cure Network's paper: wrong labels, ambiguous faces (two
expressions blended, with the weight) and low quality (blur, occlusion, darkness, low resolution). Nothing
here is a photograph and nobody is shown.

>>> faces = synthesize(4, seed=1, wrong=1.0)
>>> bool((faces.given_labels != faces.true_labels).all())
True
"""

from selfcure.data.synthetic.degrade import DEGRADATIONS
from selfcure.data.synthetic.expressions import ACTION_UNITS, CLASS_NAMES, PROTOTYPES
from selfcure.data.synthetic.sample import KINDS, SyntheticFaces, render, synthesize

__all__ = [
    "ACTION_UNITS",
    "CLASS_NAMES",
    "DEGRADATIONS",
    "KINDS",
    "PROTOTYPES",
    "SyntheticFaces",
    "render",
    "synthesize",
]
