"""Who is in the picture: shape, skin, hair, glasses, beard and age, from a seed and a number alone."""

from functools import lru_cache

import numpy as np

from selfcure.data.synthetic.geometry import model
from selfcure.data.synthetic.muscles import TRAITS

NUM_FIELDS = len(model()[0])

LOOKS = np.dtype(
    [
        ("weights", "f8", (NUM_FIELDS,)),
        *((colour, "f4", (3,)) for colour in ("skin", "lips", "hair", "brows", "iris", "frame")),
        *((amount, "f4") for amount in ("age", "lashes", "makeup", "brow_width", "iris_radius", "shine")),
        *((amount, "f4") for amount in ("hair_front", "hair_back", "strands", "ears", "earrings")),
        *((amount, "f4") for amount in ("beard", "goatee", "moustache", "glasses", "stubble")),
    ]
)
"""One record per identity: weights of the shape fields, colours in 0…255, and amounts, mostly in [0, 1]."""


def _colours(*hexes: str) -> np.ndarray:
    return np.array([list(bytes.fromhex(text)) for row in hexes for text in row.split()])


SKIN = _colours("f6d8c2 f0cbb0 e9bc9d deac88 cd9670", "b67e5a 996547 7c4f38 684331 57392c")
HAIR = _colours("221d20 2e221f 472f24 68452d 926640", "cea468 e4c48a a4522a 783222")
GREY = _colours("807f80 b0afb0 cccac7")
IRIS = _colours("4a2e1e 3a251b 624226 706438", "527452 5480a0 6e828e")
FRAMES = _colours("222024 543422 967846 78222c 24365c 5c6068")
SCARVES = _colours("406282 964654 587864 c4a88c 5c4e7a 3a3e4c d29660")

# (hair in front, hair behind, least and most curl)
LONG_STYLES = [
    ("long", "long", 0.0, 0.25),
    ("swept", "long", 0.0, 0.25),
    ("swept", "long", 0.4, 0.8),
    ("bob", "bob", 0.0, 0.1),
    ("fringe", "long", 0.0, 0.2),
    ("updo", "bun", 0.0, 0.15),
    ("side", "bob", 0.0, 0.3),
    ("curly", "round", 0.7, 1.0),
    ("afro", "round", 0.5, 0.8),
    ("scarf", "scarf", 0.0, 0.0),
]
SHORT_STYLES = [
    ("short", "none", 0.0, 0.3),
    ("short", "none", 0.0, 0.1),
    ("crop", "none", 0.0, 0.1),
    ("side", "none", 0.0, 0.15),
    ("side", "none", 0.1, 0.4),
    ("quiff", "none", 0.0, 0.3),
    ("fringe", "none", 0.1, 0.3),
    ("curly", "none", 0.7, 1.0),
    ("afro", "none", 0.5, 0.8),
    ("receding", "none", 0.0, 0.1),
    ("bald", "none", 0.0, 0.0),
]


@lru_cache(maxsize=8192)
def looks(seed: int, identity: int) -> np.ndarray:
    """The looks of one identity, a read-only record array of shape ``[1]`` and type ``LOOKS``."""
    rng = np.random.default_rng((seed, 0, identity))
    rows, *_ = model()
    made = np.zeros(1, dtype=LOOKS)
    me = made[0]
    weights = me["weights"]
    weights[rows["mean"]] = 1
    for trait in TRAITS:
        weights[rows[trait]] = np.clip(rng.normal(), -1.5, 1.5) * 0.85
    long_haired = rng.random() < 0.5
    stage, degree = rng.random(), rng.random()
    weights[rows["young"]] = young = 0.5 + 0.5 * degree if stage < 0.16 else 0.3 * degree * (stage < 0.6)
    weights[rows["old"]] = old = 0.45 + 0.55 * degree if stage > 0.8 else 0.0
    me["age"] = old if old else 0.25 * degree * (stage >= 0.5)
    if long_haired:
        weights[rows["wide_jaw"]] -= 0.4
        weights[rows["square_chin"]] -= 0.6
        weights[rows["full_lips"]] += 0.6
        weights[rows["large_eyes"]] += 0.4
        weights[rows["low_brows"]] -= 0.5
    else:
        weights[rows["wide_jaw"]] += 0.35
        weights[rows["low_brows"]] += 0.2
        weights[rows["full_lips"]] -= 0.2

    tone = rng.random() * (len(SKIN) - 1)
    me["skin"] = _between(SKIN, tone) + rng.normal(size=3) * [2.5, 2.5, 3]
    dark = tone / (len(SKIN) - 1)
    weights[rows["full_lips"]] += 0.5 * dark
    weights[rows["wide_nose"]] += 0.9 * (dark - 0.45)
    natural = HAIR[int(rng.integers(2 if dark > 0.62 else 5 if dark > 0.4 else len(HAIR)))].astype(float)
    grey = np.clip(1.6 * (old - 0.35) + 0.3 * rng.normal(), 0, 1) if old else 0.0
    me["hair"] = natural + (GREY[int(rng.integers(len(GREY)))] - natural) * grey
    me["brows"] = 0.82 * natural + (me["hair"] - natural) * 0.7
    me["iris"] = IRIS[int(rng.integers(3 if dark > 0.45 else len(IRIS)))] * rng.uniform(0.9, 1.1)
    me["frame"] = FRAMES[int(rng.integers(len(FRAMES)))]

    styles = LONG_STYLES if long_haired else SHORT_STYLES[: 9 if old < 0.3 else None]
    front, back, least_curl, most_curl = styles[int(rng.integers(len(styles)))]
    if front == "scarf":
        me["hair"] = SCARVES[int(rng.integers(len(SCARVES)))]
    weights[rows["curls"]] = rng.uniform(least_curl, most_curl)
    if front != "bald":
        weights[rows[f"front:{front}"]] = 1
    weights[rows[f"back:{back}"]] = 1
    me["hair_front"], me["hair_back"] = front != "bald", back != "none"
    me["strands"] = front not in ("bald", "crop")
    me["ears"] = front not in ("long", "swept", "bob", "scarf")

    me["makeup"] = rng.random() if long_haired and young < 0.5 and rng.random() < 0.6 else 0.0
    me["lashes"] = (0.55 + 0.45 * rng.random()) if long_haired else 0.2 * rng.random()
    me["earrings"] = long_haired and me["ears"] and rng.random() < 0.6
    rouge = np.array([(176, 52, 66), (190, 78, 84), (150, 44, 58), (204, 96, 96)][int(rng.integers(4))])
    lips = me["skin"] * [0.9, 0.64, 0.63] + [8, 2, 6]
    me["lips"] = lips + (rouge - lips) * 0.75 * me["makeup"]
    me["brow_width"] = np.clip(rng.normal(1.0, 0.16) * (0.85 if long_haired else 1.12), 0.6, 1.5)
    me["iris_radius"] = 0.095 + 0.008 * young + 0.008 * weights[rows["large_eyes"]]
    me["shine"] = rng.uniform(0.6, 1.2)
    me["glasses"] = rng.random() < (0.4 if old else 0.2)
    weights[rows[f"lens:{['round', 'square', 'cat', 'large'][int(rng.integers(4))]}"]] = 1
    hairy = not long_haired and young < 0.4
    growth = rng.random()
    me["stubble"] = 0.0 if not hairy else 1.0 if growth > 0.62 else growth
    me["beard"] = hairy and 0.62 < growth < 0.8
    me["goatee"] = hairy and growth > 0.9
    me["moustache"] = me["beard"] or (hairy and growth > 0.83)
    made.flags.writeable = False
    return made


def _between(palette: np.ndarray, place: float) -> np.ndarray:
    first = min(int(place), len(palette) - 2)
    return palette[first] + (palette[first + 1] - palette[first]) * (place - first)
