"""What moves the outlines: action units and the ways in which people differ, both as sums of soft pulls.

A pull drags every control point near an anchor along a vector, with a Gaussian reach. Pulls are measured on
the average face, so a unit's displacement of all points is one fixed field, and a face is the average plus a
weighted sum of fields: a linear blendshape model.
"""

from typing import NamedTuple

import numpy as np

LIPS = "lip_upper lip_lower moustache"
LOWER_FACE = "head beard goatee chin stubble"


class Pull(NamedTuple):
    """One soft pull, given on the subject's left; unless ``side`` says so, its mirror image acts as well."""

    at: tuple[float, float]
    reach: tuple[float, float]
    by: tuple[float, float]
    on: str
    pinned: bool = False
    """Leave the lip corners where they are: upper and lower lip part between them."""
    side: str = "both"

    def field(self, name: str, points: np.ndarray) -> np.ndarray:
        """Displacement ``[K, 3]`` of an outline's control points ``[K, 4]``."""
        moved = np.zeros((len(points), 3))
        if not name.startswith(tuple(self.on.split())):
            return moved
        sides = {"both": (1, -1), "left": (1,), "right": (-1,)}[self.side] if self.at[0] else (1,)
        x, y = points[:, 0], points[:, 1]
        for sign in sides:
            weight = np.exp(-0.5 * ((x - sign * self.at[0]) / self.reach[0]) ** 2)
            weight *= np.exp(-0.5 * ((y - self.at[1]) / self.reach[1]) ** 2)
            if self.pinned:
                weight *= np.clip(1 - (x / 0.31) ** 2, 0, 1)
            moved[:, 0] += weight * sign * self.by[0]
            moved[:, 1] += weight * self.by[1]
        return moved


def _corner_puller(side: str) -> list[Pull]:
    return [
        Pull((0.29, 0.66), (0.155, 0.5), (0.075, -0.13), LIPS + " lip_shine", side=side),
        Pull((0.33, 0.55), (0.2, 0.14), (0.055, -0.045), "naso dimple mouth_corner", side=side),
        Pull((0.45, 0.3), (0.2, 0.2), (0.01, -0.03), "cheek blush bag", side=side),
        Pull((0.17, 0.38), (0.08, 0.1), (0.02, -0.008), "wing nostril", side=side),
        Pull((0.62, 0.5), (0.2, 0.22), (0.018, -0.01), "head beard_outer", side=side),
    ]


def _dimpler(side: str) -> list[Pull]:
    return [
        Pull((0.29, 0.66), (0.09, 0.5), (0.05, -0.055), "lip_upper lip_lower", side=side),
        Pull((0.38, 0.64), (0.1, 0.15), (0.02, -0.01), "dimple naso mouth_corner", side=side),
        Pull((0.18, 0.66), (0.1, 0.5), (0.0, 0.012), "lip_upper lip_lower_inner", pinned=True, side=side),
    ]


PULLS: dict[str, list[Pull]] = {
    "AU1": [
        Pull((0.13, -0.22), (0.12, 0.2), (0.01, -0.115), "brow furrow"),
        Pull((0.23, -0.1), (0.09, 0.1), (0, -0.035), "crease socket"),
        Pull((0.24, -0.08), (0.08, 0.06), (0, -0.018), "lid_upper"),
        Pull((0, -0.5), (0.25, 0.2), (0, -0.03), "forehead"),
    ],
    "AU2": [
        Pull((0.5, -0.25), (0.15, 0.2), (0.005, -0.115), "brow"),
        Pull((0.47, -0.1), (0.1, 0.1), (0, -0.035), "crease socket"),
        Pull((0.4, -0.5), (0.25, 0.2), (0, -0.03), "forehead"),
    ],
    "AU4": [
        Pull((0.12, -0.21), (0.15, 0.2), (-0.04, 0.1), "brow"),
        Pull((0.45, -0.25), (0.15, 0.2), (-0.015, 0.02), "brow"),
        Pull((0.22, -0.1), (0.1, 0.1), (-0.01, 0.035), "crease socket"),
        Pull((0.06, -0.2), (0.1, 0.1), (-0.015, 0.02), "furrow"),
        Pull((0.25, -0.07), (0.07, 0.05), (0, 0.022), "lid_upper"),
    ],
    "AU5": [
        Pull((0.36, -0.11), (0.12, 0.1), (0, -0.06), "lid_upper"),
        Pull((0.36, -0.16), (0.13, 0.1), (0, -0.035), "crease"),
        Pull((0.36, 0.1), (0.12, 0.05), (0, 0.012), "lid_lower"),
    ],
    "AU6": [
        Pull((0.38, 0.1), (0.13, 0.06), (0, -0.042), "lid_lower"),
        Pull((0.45, -0.08), (0.08, 0.05), (0, 0.02), "lid_upper"),
        Pull((0.36, 0.15), (0.2, 0.08), (0, -0.025), "bag"),
        Pull((0.43, 0.3), (0.2, 0.2), (0, -0.04), "cheek blush"),
    ],
    "AU7": [
        Pull((0.36, 0.1), (0.14, 0.06), (0, -0.036), "lid_lower"),
        Pull((0.36, -0.1), (0.14, 0.06), (0, 0.024), "lid_upper"),
    ],
    "AU9": [
        Pull((0.15, 0.38), (0.1, 0.14), (0.022, -0.06), "wing nostril nose_base nose_tip"),
        Pull((0.1, 0.64), (0.17, 0.2), (0, -0.025), "lip_upper moustache", pinned=True),
        Pull((0.14, -0.2), (0.12, 0.2), (-0.015, 0.065), "brow furrow"),
        Pull((0.3, 0.1), (0.13, 0.06), (0, -0.03), "lid_lower bag"),
        Pull((0.25, -0.08), (0.1, 0.06), (0, 0.025), "lid_upper"),
        Pull((0.2, 0.36), (0.1, 0.1), (0.02, -0.05), "naso"),
    ],
    "AU10": [
        Pull((0.17, 0.6), (0.1, 0.2), (0, -0.066), "lip_upper_outer moustache", pinned=True),
        Pull((0.17, 0.6), (0.1, 0.2), (0, -0.076), "lip_upper_inner", pinned=True),
        Pull((0.15, 0.4), (0.08, 0.1), (0.015, -0.025), "wing nostril"),
        Pull((0.27, 0.45), (0.12, 0.12), (0.025, -0.02), "naso"),
    ],
    "AU12L": _corner_puller("left"),
    "AU12R": _corner_puller("right"),
    "AU14L": _dimpler("left"),
    "AU14R": _dimpler("right"),
    "AU15": [
        Pull((0.29, 0.665), (0.11, 0.5), (0.008, 0.1), LIPS),
        Pull((0.35, 0.66), (0.12, 0.12), (0, 0.05), "naso mouth_corner"),
    ],
    "AU16": [
        Pull((0.12, 0.7), (0.14, 0.2), (0, 0.06), "lip_lower lip_shine", pinned=True),
        Pull((0, 0.84), (0.2, 0.05), (0, 0.02), "chin_crease lip_shade"),
    ],
    "AU17": [
        Pull((0, 0.72), (0.2, 0.2), (0, -0.045), "lip_lower_outer lip_shine", pinned=True),
        Pull((0, 0.66), (0.17, 0.2), (0, -0.02), "lip_upper lip_lower_inner", pinned=True),
        Pull((0.29, 0.665), (0.08, 0.5), (-0.01, 0.02), LIPS),
        Pull((0, 0.9), (0.2, 0.12), (0, -0.03), "chin_crease lip_shade goatee"),
        Pull((0, 1.08), (0.25, 0.15), (0, -0.03), "head chin beard_outer"),
    ],
    "AU20": [
        Pull((0.29, 0.665), (0.14, 0.5), (0.085, 0.055), LIPS),
        Pull((0.35, 0.6), (0.15, 0.15), (0.05, 0.01), "naso mouth_corner"),
    ],
    "AU24": [
        Pull((0, 0.59), (0.22, 0.03), (0, 0.045), "lip_upper_outer", pinned=True),
        Pull((0, 0.75), (0.22, 0.05), (0, -0.05), "lip_lower_outer", pinned=True),
        Pull((0, 0.72), (0.2, 0.05), (0, -0.02), "lip_shine"),
        Pull((0.29, 0.665), (0.1, 0.5), (-0.025, 0), LIPS),
    ],
    "AU25": [
        Pull((0, 0.66), (0.2, 0.2), (0, -0.022), "lip_upper", pinned=True),
        Pull((0, 0.66), (0.35, 0.2), (0, 0.052), "lip_lower lip_shine", pinned=True),
    ],
    "AU26": [
        Pull((0, 0.66), (0.22, 0.2), (0, -0.03), "lip_upper_inner", pinned=True),
        Pull((0, 0.7), (0.5, 0.3), (0, 0.225), "lip_lower lip_shine", pinned=True),
        Pull((0.29, 0.665), (0.1, 0.5), (-0.06, 0.04), LIPS),
        Pull((0.33, 0.6), (0.1, 0.1), (-0.02, 0.02), "naso mouth_corner"),
        Pull((0, 1.08), (0.5, 0.28), (0, 0.17), LOWER_FACE + " lip_shade jaw_shade"),
        Pull((0.45, 0.3), (0.2, 0.2), (-0.01, 0.03), "cheek blush"),
    ],
    "AU43": [
        Pull((0.36, -0.11), (0.14, 0.12), (0, 0.19), "lid_upper"),
        Pull((0.36, -0.16), (0.14, 0.1), (0, 0.03), "crease"),
        Pull((0.36, 0.1), (0.14, 0.05), (0, -0.015), "lid_lower"),
    ],
}
"""The fields of each action unit. Directions: the picture's right and down are positive."""

EYE = "lid crease"
EYE_REGION = "lid crease bag socket inner_corner lens crow"
NOSE = "wing nostril nose_base nose_tip nose_shade nose_side nose_flank"
MOUTH = "lip moustache"

TRAITS: dict[str, list[Pull]] = {
    "wide_face": [Pull((0.8, 0.0), (0.33, 0.9), (0.055, 0), "head hair ear beard temple jaw_side")],
    "wide_jaw": [Pull((0.62, 0.72), (0.3, 0.3), (0.075, 0.02), "head beard jaw_side")],
    "full_cheeks": [Pull((0.75, 0.4), (0.2, 0.25), (0.05, 0.01), "head beard jaw_side")],
    "long_chin": [Pull((0, 1.1), (0.35, 0.25), (0, 0.085), LOWER_FACE + " jaw_shade")],
    "square_chin": [Pull((0.3, 1.04), (0.14, 0.2), (0.07, 0.02), "head beard_outer")],
    "high_forehead": [Pull((0, -1.1), (0.9, 0.4), (0, -0.06), "head hair hair_shade")],
    "wide_eyes_apart": [Pull((0.36, 0), (0.3, 0.5), (0.028, 0), EYE_REGION + " brow")],
    "large_eyes": [
        Pull((0.36, -0.11), (0.13, 0.1), (0, -0.014), "lid_upper crease"),
        Pull((0.36, 0.1), (0.13, 0.1), (0, 0.012), "lid_lower"),
        Pull((0.54, 0), (0.06, 0.2), (0.018, 0), EYE),
        Pull((0.18, 0), (0.06, 0.2), (-0.012, 0), EYE),
    ],
    "tilted_eyes": [
        Pull((0.54, 0), (0.12, 0.2), (0, -0.022), EYE + " brow"),
        Pull((0.18, 0), (0.1, 0.2), (0, 0.014), EYE),
    ],
    "hooded_lids": [
        Pull((0.4, -0.1), (0.14, 0.06), (0, 0.018), "lid_upper"),
        Pull((0.4, -0.16), (0.14, 0.06), (0, 0.035), "crease"),
    ],
    "low_brows": [Pull((0.35, -0.25), (0.4, 0.3), (0, 0.03), "brow")],
    "arched_brows": [
        Pull((0.43, -0.27), (0.1, 0.2), (0, -0.028), "brow"),
        Pull((0.58, -0.2), (0.07, 0.2), (0, 0.02), "brow"),
    ],
    "long_nose": [Pull((0, 0.43), (0.3, 0.12), (0, 0.04), "wing nostril nose_base nose_tip nose_shade")],
    "wide_nose": [
        Pull((0.16, 0.38), (0.07, 0.2), (0.034, 0), "wing naso"),
        Pull((0.08, 0.43), (0.05, 0.1), (0.014, 0), "nostril nose_base"),
        Pull((0.08, 0.1), (0.1, 0.3), (0.012, 0), "nose_side nose_flank"),
    ],
    "wide_mouth": [Pull((0.29, 0.66), (0.16, 0.5), (0.03, 0), MOUTH)],
    "low_mouth": [Pull((0, 0.66), (0.6, 0.4), (0, 0.022), MOUTH + " mouth_corner dimple")],
    "full_lips": [
        Pull((0.05, 0.58), (0.24, 0.05), (0, -0.018), "lip_upper_outer", pinned=True),
        Pull((0, 0.76), (0.19, 0.06), (0, 0.032), "lip_lower_outer lip_shine", pinned=True),
    ],
    "cupids_bow": [
        Pull((0.075, 0.58), (0.05, 0.04), (0, -0.008), "lip_upper_outer"),
        Pull((0, 0.6), (0.03, 0.04), (0, 0.007), "lip_upper_outer"),
    ],
    "large_ears": [
        Pull((0.9, 0.1), (0.12, 0.4), (0.028, 0), "ear"),
        Pull((0.82, 0.3), (0.1, 0.1), (0, 0.04), "ear"),
    ],
    "young": [
        Pull((0.36, -0.11), (0.14, 0.1), (0, -0.016), "lid_upper crease"),
        Pull((0.36, 0.1), (0.14, 0.1), (0, 0.014), "lid_lower"),
        Pull((0, 1.1), (0.5, 0.25), (0, -0.07), LOWER_FACE + " jaw_shade"),
        Pull((0.72, 0.45), (0.2, 0.3), (0.045, 0), "head"),
        Pull((0.16, 0.38), (0.07, 0.2), (-0.02, -0.02), NOSE),
        Pull((0, 0.66), (0.6, 0.4), (0, -0.025), MOUTH),
        Pull((0.29, 0.66), (0.16, 0.5), (-0.02, 0), MOUTH),
    ],
    "old": [
        Pull((0.45, -0.1), (0.1, 0.06), (0, 0.026), "lid_upper"),
        Pull((0.66, 0.62), (0.15, 0.18), (0.03, 0.03), "head beard_outer"),
        Pull((0, 0.43), (0.3, 0.12), (0, 0.02), "wing nostril nose_base nose_tip nose_shade"),
        Pull((0, 0.58), (0.17, 0.04), (0, 0.012), "lip_upper_outer", pinned=True),
        Pull((0.9, 0.3), (0.15, 0.2), (0.01, 0.04), "ear"),
    ],
}
"""How people differ. A trait's weight is about standard normal, "young" and "old" lie in [0, 1]."""
