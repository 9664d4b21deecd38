"""Drawing faces at random, with the three uncertainties of the Self-Cure Network planted in them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from selfcure.data.synthetic.degrade import DEGRADATIONS, OCCLUDERS, degrade
from selfcure.data.synthetic.draw import SCENE, paint
from selfcure.data.synthetic.expressions import ACTION_UNITS, CLASS_NAMES, as_vector, express
from selfcure.data.synthetic.identity import looks
from selfcure.errors import SelfcureError

KINDS = ("clean", "wrong", "ambiguous", "low-quality")
CHUNK = 64
MIN_SIZE_PX, MAX_SIZE_PX = 16, 1024

# Every sample draws the same numbers in the same order, so that its picture depends on nothing but its index
# and a change of one share moves no other choice.
UNIFORM: list[str] = [
    "kind",
    "label",
    "other",
    "blend",
    "degradation",
    "identity",
    "variant",
    "second_variant",
    "intensity",
    "occluder",
    "cover_x",
    "cover_y",
    "cover_turn",
    "side_light",
    "exposure",
    "relief",
    "hue",
    "lightness",
    "saturation",
    "glow_x",
    "glow_y",
    "clothes_hue",
    "clothes_lightness",
    "clothes_saturation",
]
NORMAL: list[str] = [
    "yaw",
    "pitch",
    "roll",
    "shift_x",
    "shift_y",
    "zoom",
    "gaze_x",
    "gaze_y",
    "overhead",
    "warmth",
]


@dataclass(frozen=True)
class SyntheticFaces:
    """Rendered faces and everything that is true about them."""

    images: np.ndarray
    """Pictures, ``[N, S, S, 3]`` uint8 RGB."""
    given_labels: np.ndarray
    """Labels as an annotator gave them, indices into ``CLASS_NAMES``, ``[N]`` int64."""
    true_labels: np.ndarray
    """The expression shown (the dominant one, if two are blended), ``[N]`` int64."""
    kinds: np.ndarray
    """"clean", "wrong", "ambiguous" or "low-quality", ``[N]`` str. They exclude each other."""
    second_labels: np.ndarray
    """The weaker expression of an ambiguous face, -1 for every other, ``[N]`` int64."""
    blend_weights: np.ndarray
    """Weight of the weaker expression: in [0.35, 0.49) where ambiguous, 0 elsewhere, ``[N]`` float32."""
    degradations: np.ndarray
    """What spoilt a low-quality picture, one of ``DEGRADATIONS``; "" for every other, ``[N]`` str."""
    identities: np.ndarray
    """Who is shown, ``[N]`` int64."""

    def __len__(self) -> int:
        return len(self.images)


def synthesize(
    num: int,
    *,
    seed: int = 0,
    size_px: int = 64,
    wrong: float = 0.0,
    ambiguous: float = 0.0,
    low_quality: float = 0.0,
    num_identities: int = 200,
    first_identity: int = 0,
    start: int = 0,
) -> SyntheticFaces:
    """Samples ``start`` to ``start + num - 1`` of an endless series of faces.

    Sample ``i`` depends on ``i`` and the other arguments only: ``synthesize(10, start=5)`` equals the last
    ten of ``synthesize(15)``. Classes are uniform and each sample's kind is drawn on its own, so shares hold
    on average.

    Args:
        num: how many faces, at least 0.
        seed: names the series and the looks of its identities, at least 0.
        size_px: side of a picture, 16 to 1024.
        wrong: share of samples whose given label is another class than the true one, uniformly, in [0, 1].
        ambiguous: share of samples that blend two expressions; the given label is the dominant
            one, in [0, 1].
        low_quality: share of samples that are blurred, covered, dark or of low resolution, in [0, 1].
        num_identities: how many people there are, at least 1.
        first_identity: number of the first of them. Looks depend on ``seed`` and the number alone, so that
            ranges that do not overlap share no person.
        start: index of the first sample, at least 0.

    Raises:
        SelfcureError: an argument outside its range, or shares that sum to more than 1.

    >>> faces = synthesize(3, size_px=32)
    >>> faces.images.shape, faces.images.dtype, set(faces.kinds.tolist())
    ((3, 32, 32, 3), dtype('uint8'), {'clean'})
    """
    for name, number, least in [("num", num, 0), ("seed", seed, 0), ("start", start, 0)]:
        _check_whole(name, number, least)
    _check_whole("num_identities", num_identities, 1)
    _check_whole("first_identity", first_identity, 0)
    _check_whole("size_px", size_px, MIN_SIZE_PX, MAX_SIZE_PX)
    shares = {"wrong": wrong, "ambiguous": ambiguous, "low_quality": low_quality}
    for name, share in shares.items():
        _check_range(name, share, 0, 1)
    if sum(shares.values()) > 1 + 1e-9:
        raise SelfcureError(
            f"wrong + ambiguous + low_quality is {sum(shares.values()):g}; they must sum to 1 or less"
        )

    made = _empty(num, size_px)
    limits = np.cumsum(list(shares.values()))
    for first in range(0, num, CHUNK):
        part = slice(first, min(first + CHUNK, num))
        index = range(start + part.start, start + part.stop)
        for name, values in _chunk(index, seed, size_px, limits, num_identities, first_identity).items():
            getattr(made, name)[part] = values
    return made


def render(
    action_units: Mapping[str, float] | np.ndarray,
    *,
    identity: int = 0,
    yaw_deg: float = 0.0,
    pitch_deg: float = 0.0,
    roll_deg: float = 0.0,
    side_light: float = 0.3,
    exposure: float = 1.0,
    size_px: int = 64,
    seed: int = 0,
) -> np.ndarray:
    """One face, ``[S, S, 3]`` uint8 RGB.

    Args:
        action_units: intensities in [0, 1] by name (see ``ACTION_UNITS``; "AU12" and "AU14" set both sides),
            or an array ``[A]`` in the order of ``ACTION_UNITS``.
        identity: number of the person, at least 0.
        yaw_deg: turn of the head to the right of the picture, -45 to 45.
        pitch_deg: nod downwards, -30 to 30.
        roll_deg: tilt clockwise, -45 to 45.
        side_light: where light comes from, -1 (left of the picture) to 1 (right).
        exposure: brightness, 0 (black) to 2.
        size_px: side of the picture, 16 to 1024.
        seed: which series of identities, at least 0.

    Raises:
        SelfcureError: an unknown action unit or an argument outside its range.

    >>> render({"AU6": 0.8, "AU12": 1.0}, identity=7, size_px=48).shape
    (48, 48, 3)
    """
    units = as_vector(action_units)
    _check_whole("identity", identity, 0)
    _check_whole("seed", seed, 0)
    _check_whole("size_px", size_px, MIN_SIZE_PX, MAX_SIZE_PX)
    for name, angle, most in [
        ("yaw_deg", yaw_deg, 45),
        ("pitch_deg", pitch_deg, 30),
        ("roll_deg", roll_deg, 45),
    ]:
        _check_range(name, angle, -most, most)
    _check_range("side_light", side_light, -1, 1)
    _check_range("exposure", exposure, 0, 2)
    scene = np.zeros(1, dtype=SCENE)
    scene["action_units"] = units
    scene["yaw"], scene["pitch"], scene["roll"] = np.radians([yaw_deg, pitch_deg, roll_deg])
    scene["zoom"] = scene["relief"] = scene["warmth"] = 1
    scene["side_light"], scene["exposure"], scene["overhead"] = side_light, exposure, 0.03
    scene["near"], scene["far"], scene["glow"] = (220, 226, 230), (158, 172, 186), (0.4, 0.3)
    scene["clothes"] = (92, 112, 146)
    return paint(looks(seed, identity), scene, size_px)[0]


def _check_whole(name: str, value: int, least: int, most: int | None = None) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        allowed = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise SelfcureError(f"{name} is {value!r}; give a whole number {allowed}")


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise SelfcureError(f"{name} is {value!r}; give a number from {least:g} to {most:g}")


def _empty(num: int, size_px: int) -> SyntheticFaces:
    return SyntheticFaces(
        images=np.empty((num, size_px, size_px, 3), dtype=np.uint8),
        given_labels=np.empty(num, dtype=np.int64),
        true_labels=np.empty(num, dtype=np.int64),
        kinds=np.empty(num, dtype=f"<U{max(map(len, KINDS))}"),
        second_labels=np.empty(num, dtype=np.int64),
        blend_weights=np.empty(num, dtype=np.float32),
        degradations=np.empty(num, dtype=f"<U{max(map(len, DEGRADATIONS))}"),
        identities=np.empty(num, dtype=np.int64),
    )


def _chunk(
    index: range, seed: int, size_px: int, limits: np.ndarray, num_identities: int, first_identity: int
) -> dict[str, np.ndarray]:
    """The fields of ``SyntheticFaces`` for the samples ``index``."""
    rngs = [np.random.default_rng((seed, 1, i)) for i in index]
    u = dict(zip(UNIFORM, np.stack([rng.random(len(UNIFORM)) for rng in rngs], axis=1), strict=True))
    normal = np.stack([rng.standard_normal(len(NORMAL) + 2 * len(ACTION_UNITS)) for rng in rngs])
    z = dict(zip(NORMAL, np.clip(normal[:, : len(NORMAL)].T, -2, 2), strict=True))
    jitter = 0.15 * normal[:, len(NORMAL) :].reshape(len(rngs), 2, -1)

    wrong, ambiguous, low_quality = (u["kind"] < limits[0], *(_between(u["kind"], limits, k) for k in (1, 2)))
    num_classes = len(CLASS_NAMES)
    true_labels = (u["label"] * num_classes).astype(np.int64)
    others = (true_labels + 1 + (u["other"] * (num_classes - 1)).astype(np.int64)) % num_classes
    blend = np.where(ambiguous, 0.35 + 0.14 * u["blend"], 0.0).astype(np.float32)
    kinds = np.select([wrong, ambiguous, low_quality], KINDS[1:], KINDS[0])
    names = np.array(DEGRADATIONS)[(u["degradation"] * len(DEGRADATIONS)).astype(np.int64)]
    degradations = np.where(low_quality, names, "")

    intensity = 0.72 + 0.28 * u["intensity"]
    shown = express(true_labels, u["variant"], intensity, jitter[:, 0])
    second = express(others, u["second_variant"], intensity, jitter[:, 1])
    scene = _scenes(u, z)
    # Even a relaxed face is never quite still.
    rest = np.clip(0.05 * jitter[:, 1], 0, 0.03)
    scene["action_units"] = np.clip(shown + blend[:, None] * (second - shown) + rest, 0, 1)
    covered = degradations == "occlusion"
    scene["occluder"] = np.where(covered, 1 + (u["occluder"] * len(OCCLUDERS)).astype(np.int64), 0)

    identities = first_identity + (u["identity"] * num_identities).astype(np.int64)
    people = np.concatenate([looks(seed, int(identity)) for identity in identities])
    images = paint(people, scene, size_px)
    for place in np.flatnonzero(low_quality):
        images[place] = degrade(images[place], str(degradations[place]), rngs[place])
    return {
        "images": images,
        "given_labels": np.where(wrong, others, true_labels),
        "true_labels": true_labels,
        "kinds": kinds,
        "second_labels": np.where(ambiguous, others, -1),
        "blend_weights": blend,
        "degradations": degradations,
        "identities": identities,
    }


def _between(values: np.ndarray, limits: np.ndarray, k: int) -> np.ndarray:
    return (values >= limits[k - 1]) & (values < limits[k])


def _scenes(u: dict[str, np.ndarray], z: dict[str, np.ndarray]) -> np.ndarray:
    """Pose, light and surroundings; expression and occluder are left empty."""
    scene = np.zeros(len(u["kind"]), dtype=SCENE)
    for angle, spread in (("yaw", 11.0), ("pitch", 5.5), ("roll", 5.0)):
        scene[angle] = np.radians(spread * z[angle])
    scene["shift"] = 0.035 * np.stack([z["shift_x"], z["shift_y"]], axis=1)
    scene["zoom"] = 1.02 + 0.025 * z["zoom"]
    scene["gaze"] = np.stack([0.35 * z["gaze_x"] - 0.25 * z["yaw"], 0.3 * z["gaze_y"]], axis=1)
    scene["side_light"] = 1.6 * (u["side_light"] - 0.5)
    scene["relief"] = 0.75 + 0.6 * u["relief"]
    scene["exposure"] = 0.86 + 0.24 * u["exposure"]
    scene["overhead"] = 0.03 + 0.03 * z["overhead"]
    scene["warmth"] = 1 + z["warmth"][:, None] * [0.02, 0.0, -0.025]
    light = 120 + 110 * u["lightness"]
    scene["near"] = _colour(u["hue"], 0.05 + 0.2 * u["saturation"] ** 2, light)
    scene["far"] = _colour(u["hue"] + 0.03, 0.08 + 0.26 * u["saturation"] ** 2, light * 0.66)
    scene["glow"] = np.stack([0.2 + 0.6 * u["glow_x"], 0.15 + 0.4 * u["glow_y"]], axis=1)
    scene["clothes"] = _colour(
        u["clothes_hue"], 0.6 * u["clothes_saturation"], 50 + 180 * u["clothes_lightness"]
    )
    scene["cover"] = 2 * np.stack([u["cover_x"], u["cover_y"], u["cover_turn"]], axis=1) - 1
    return scene


def _colour(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """RGB ``[B, 3]`` in the scale of ``value`` from a hue in turns and a saturation in [0, 1]."""
    turns = hue[:, None] + [0, 1 / 3, 2 / 3]
    swing = 0.5 + 0.5 * np.cos(2 * np.pi * turns)
    return value[:, None] * (1 - saturation[:, None] * swing)
