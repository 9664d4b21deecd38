"""Facial action units, and the eight expressions as combinations of them.

The units are those of the Facial Action Coding System: P. Ekman and W. V. Friesen, "Facial Action Coding
System", Consulting Psychologists Press, 1978. Which units make up which emotion follows EMFACS, their
selection for the emotions (W. V. Friesen and P. Ekman, "EMFACS-7: Emotional Facial Action Coding System",
1983). Contempt is one-sided: units 12 and 14 of one half of the face.
"""

from collections.abc import Mapping

import numpy as np

from selfcure.errors import SelfcureError

CLASS_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
"""The expressions, in the order of FERPlus: label ``k`` means ``CLASS_NAMES[k]``."""

ACTION_UNITS: dict[str, str] = {
    "AU1": "inner brow raiser",
    "AU2": "outer brow raiser",
    "AU4": "brow lowerer (furrow)",
    "AU5": "upper lid raiser",
    "AU6": "cheek raiser",
    "AU7": "lid tightener",
    "AU9": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12L": "lip corner puller, the subject's left (on the right of the picture)",
    "AU12R": "lip corner puller, the subject's right",
    "AU14L": "dimpler, the subject's left",
    "AU14R": "dimpler, the subject's right",
    "AU15": "lip corner depressor",
    "AU16": "lower lip depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU24": "lip presser",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU43": "eyes closed",
}
"""Every action unit the renderer knows and what it does; intensities run from 0 (absent) to 1 (full)."""

_BOTH_SIDES = {"AU12": ("AU12L", "AU12R"), "AU14": ("AU14L", "AU14R")}
_COLUMN = {name: column for column, name in enumerate(ACTION_UNITS)}

PROTOTYPES: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({}, {"AU43": 0.12}, {"AU25": 0.12}),
    "happiness": (
        {"AU6": 0.8, "AU12": 1.0, "AU25": 0.9, "AU26": 0.15},
        {"AU6": 1.0, "AU12": 1.0, "AU25": 1.0, "AU26": 0.45},
        {"AU6": 0.9, "AU12": 1.0},
    ),
    "surprise": (
        {"AU1": 1.0, "AU2": 1.0, "AU5": 0.9, "AU25": 0.6, "AU26": 1.0},
        {"AU1": 1.0, "AU2": 1.0, "AU5": 0.7, "AU25": 0.4, "AU26": 0.8},
    ),
    "sadness": (
        {"AU1": 1.0, "AU4": 0.45, "AU15": 0.9, "AU17": 0.5, "AU43": 0.3},
        {"AU1": 0.9, "AU4": 0.55, "AU7": 0.3, "AU15": 1.0, "AU17": 0.9, "AU43": 0.15},
    ),
    "anger": (
        {"AU4": 1.0, "AU5": 0.5, "AU7": 0.7, "AU24": 0.9, "AU17": 0.3},
        {"AU4": 1.0, "AU5": 0.5, "AU7": 0.7, "AU10": 0.5, "AU15": 0.35, "AU16": 0.9, "AU25": 0.8},
    ),
    "disgust": (
        {"AU4": 0.5, "AU6": 0.4, "AU7": 0.7, "AU9": 1.0, "AU10": 0.9, "AU15": 0.35, "AU17": 0.6},
        {
            "AU4": 0.4,
            "AU7": 0.6,
            "AU9": 1.0,
            "AU10": 1.0,
            "AU15": 0.35,
            "AU17": 0.3,
            "AU25": 0.35,
            "AU43": 0.1,
        },
    ),
    "fear": (
        {"AU1": 1.0, "AU2": 0.45, "AU4": 0.6, "AU5": 1.0, "AU20": 1.0, "AU16": 0.5, "AU25": 0.8},
        {"AU1": 1.0, "AU2": 0.4, "AU4": 0.7, "AU5": 1.0, "AU20": 0.8, "AU16": 0.4, "AU25": 0.7, "AU26": 0.4},
    ),
    "contempt": (
        {"AU12L": 0.85, "AU14L": 1.0, "AU7": 0.25, "AU43": 0.18},
        {"AU12R": 0.85, "AU14R": 1.0, "AU7": 0.25, "AU43": 0.18},
    ),
}
"""The variants of every expression at full intensity. A two-sided name ("AU12") sets both sides."""


def as_vector(action_units: Mapping[str, float] | np.ndarray) -> np.ndarray:
    """Action units as a float64 vector in the order of ``ACTION_UNITS``, shape ``[A]``.

    Args:
        action_units: intensities in [0, 1] by name; "AU12" and "AU14" set both sides. Or the vector itself.

    Raises:
        SelfcureError: an unknown unit, a wrong shape, or an intensity outside [0, 1].
    """
    if isinstance(action_units, Mapping):
        vector = np.zeros(len(ACTION_UNITS))
        for name, intensity in action_units.items():
            sides = _BOTH_SIDES.get(name, (name,))
            if sides[0] not in _COLUMN:
                allowed = ", ".join([*ACTION_UNITS, *_BOTH_SIDES])
                raise SelfcureError(f"unknown action unit {name!r} in action_units (allowed: {allowed})")
            vector[[_COLUMN[side] for side in sides]] = intensity
    else:
        vector = np.asarray(action_units, dtype=np.float64)
    if vector.shape != (len(ACTION_UNITS),):
        raise SelfcureError(
            f"action_units has shape {vector.shape}; give {len(ACTION_UNITS)} intensities or a dict"
        )
    if not ((vector >= 0) & (vector <= 1)).all():
        raise SelfcureError(f"action_units must lie in [0, 1]; got {vector.min():g} to {vector.max():g}")
    return vector


def _prototype_table() -> tuple[np.ndarray, np.ndarray]:
    most = max(map(len, PROTOTYPES.values()))
    table = np.zeros((len(CLASS_NAMES), most, len(ACTION_UNITS)))
    counts = np.array([len(PROTOTYPES[name]) for name in CLASS_NAMES])
    for label, name in enumerate(CLASS_NAMES):
        for variant, units in enumerate(PROTOTYPES[name]):
            table[label, variant] = as_vector(units)
    return table, counts


PROTOTYPE_TABLE, NUM_VARIANTS = _prototype_table()
"""``PROTOTYPES`` as an array ``[class, variant, action unit]``, and each class's number of variants."""


def express(labels: np.ndarray, variant: np.ndarray, intensity: np.ndarray, jitter: np.ndarray) -> np.ndarray:
    """Action units of a batch of expressions, ``[B, A]`` in [0, 1].

    Args:
        labels: class of each face, ``[B]``.
        variant: which variant of its class, in [0, 1), ``[B]``.
        intensity: how strongly it is shown, in [0, 1], ``[B]``.
        jitter: relative change of each unit, around 0, ``[B, A]``.
    """
    row = (variant * NUM_VARIANTS[labels]).astype(np.int64)
    return np.clip(PROTOTYPE_TABLE[labels, row] * intensity[:, None] * (1 + jitter), 0, 1)
