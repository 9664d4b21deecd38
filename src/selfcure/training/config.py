"""What decides a training, and the two named recipes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from selfcure.data.transforms import AUGMENTATIONS, IMAGENET_MEAN, IMAGENET_STD
from selfcure.errors import SelfcureError, check_choice
from selfcure.methods import METHODS
from selfcure.training.sampling import Sampling


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a training, whatever the method; saved resolved in the run folder."""

    backbone: str = "resnet18"
    """Name of the network: compact, ir50, iresnet50, or any of timm's."""
    weights: str = ""
    """Checkpoint file or run folder that the backbone starts from; empty: fresh weights."""
    min_weights_share: float = 0.9
    """Share of the backbone that ``weights`` must fill, by number of elements; less is an error."""
    image_size_px: int = 224
    """Side of the square images that the network sees."""
    num_epochs: int = 40
    """Passes over the training split."""
    batch_size: int = 1024
    """Largest whole batch: an epoch is cut into equal batches of at most this size, whatever the number of processes."""
    sampling: Sampling = "shuffle"
    """shuffle: every sample once an epoch. balanced: as many, but every class (by its labels now) equally often."""
    frames_per_clip: int = 0
    """Of a set with clips: draw at most so many frames of each in an epoch, other ones every time; 0: all."""
    unit: Literal["sample", "clip"] = "sample"
    """What a label is decided on for: clip: the frames of a clip vote, and all of them get one label and one importance."""
    ranking: Literal["global", "process"] = "global"
    """With several processes: the loss, ranks included, is that of the whole batch, or of each process's part."""
    micro_batch_size: int = 0
    """Compute a batch in pieces of this size: same loss, a second forward, batch norm sees the pieces. 0: the whole batch if
    it fits in memory, else the largest pieces that do; the run folder says which."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD has momentum 0.9; Adam betas 0.9 and 0.999."""
    learning_rate: float = 0.1
    """Of the first epoch. Not scaled with the batch size."""
    weight_decay: float = 1e-4
    """L2, on all parameters."""
    lr_schedule: Literal["step", "cosine"] = "step"
    """step: ``lr_milestones`` and ``lr_decay``. cosine: from batch to batch down to 0 at the last."""
    warmup_epochs: float = 0.0
    """With cosine: epochs in which the learning rate rises in a straight line first."""
    lr_milestones: tuple[int, ...] = (15, 30)
    """With step: epochs after which the learning rate is divided by 10."""
    lr_decay: float = 1.0
    """With step: factor on the learning rate after every epoch."""
    augmentation: str = "flip-shift"
    """Of training images: none, flip-shift, reference or strong."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB in [0, 1]."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides it then."""
    seed: int = 0
    """Fixes weights, order and augmentation; on a CPU with the same threads, every bit."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: Literal["float32", "bf16", "float64"] = "float32"
    """bf16: autocast, parameters stay float32. float64: for checks."""
    channels_last: bool = True
    """Lay images and filters out as most convolutions are fastest; rounding differs."""
    compile: bool = False
    """Train through torch.compile: a slow start, then faster on a GPU; rounding differs."""
    activation_checkpointing: bool = False
    """Compute each block of the backbone again in the backward pass instead of keeping its activations: less memory,
    a second forward."""
    max_cache_gb: float | None = None
    """Memory for decoded images; none: half of what is free. Images that do not fit are decoded batch by batch."""
    num_threads: int = 0
    """CPU threads of each process; 0: torch's default, which --processes shares out. Another number may change the last
    bits."""
    save_every_min: float = 10.0
    """Checkpoint at least this often inside long epochs; every epoch ends with one."""
    select: Literal["last", "validation"] = "last"
    """Keep the weights of the last epoch, or of the one with the best validation accuracy."""


@dataclass(frozen=True)
class Recipe:
    """A published way to train, at its own length. Shorter runs scale its epochs."""

    num_epochs: int
    fields: Mapping[str, Any]


RECIPES: dict[str, Recipe] = {
    # The optimiser's momentum and weight decay, augmentation and normalisation are ours: the paper names none.
    "paper": Recipe(40, {}),
    # The public code starts from ImageNet weights; here the network starts from scratch.
    "reference": Recipe(
        70,
        {
            "batch_size": 64,
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "lr_milestones": (),
            "lr_decay": 0.9,
            "augmentation": "reference",
        },
    ),
    # Ours, for training from scratch in few epochs; chosen with plain training on FERPlus (docs/decisions.md).
    "modern": Recipe(
        40,
        {
            "batch_size": 128,
            "optimizer": "adam",
            "learning_rate": 2e-3,
            "lr_schedule": "cosine",
            "warmup_epochs": 1.0,
            "lr_milestones": (),
        },
    ),
}


@dataclass(frozen=True)
class ResolvedConfig:
    """The whole configuration of a run: ``method`` and ``recipe`` by name, and every field of both parts."""

    method: str
    recipe: str
    train: TrainConfig
    settings: Any
    """The method's own ``Config``."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, flat: field names are unique over both parts."""
        fields = {**dataclasses.asdict(self.train), **dataclasses.asdict(self.settings)}
        return {
            "method": self.method,
            "recipe": self.recipe,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "ResolvedConfig":
        """Back from :meth:`as_dict`.

        Raises:
            SelfcureError: an unknown method, or a field is missing or unknown: another version wrote it.
        """
        check_choice("method", str(saved.get("method")), METHODS)
        expected = {"method", "recipe", *_field_types(saved["method"])}
        if odd := sorted(expected ^ saved.keys()):
            raise SelfcureError(
                f"the saved configuration is of another version of selfcure: missing or unknown: {', '.join(odd)}"
            )
        fields = {k: v for k, v in saved.items() if k not in ("method", "recipe")}
        return _build(saved["method"], saved["recipe"], fields)


def resolve(method: str = "scn", recipe: str = "paper", **overrides: Any) -> ResolvedConfig:
    """The configuration of ``recipe`` for ``method``, with ``overrides`` of any field by name.

    A ``num_epochs`` other than the recipe's scales its milestones, its decay per epoch and the first relabelling epoch,
    unless they are overridden themselves.

    Args:
        overrides: field → value; strings are parsed to the field's type.

    Raises:
        SelfcureError: unknown method, recipe or field, or a value that does not fit its field.

    >>> config = resolve("scn", "paper", num_epochs="16")
    >>> config.train.lr_milestones, config.settings.relabel_epoch
    ((6, 12), 4)
    """
    check_choice("method", method, METHODS)
    check_choice("recipe", recipe, RECIPES)
    chosen = RECIPES[recipe]
    fields: dict[str, Any] = {
        **dataclasses.asdict(TrainConfig(**{"num_epochs": chosen.num_epochs, **chosen.fields})),
        **dataclasses.asdict(METHODS[method].recipes[recipe]),
    }
    types = _field_types(method)
    for name in overrides:
        check_choice("field", name, types)
    parsed = {name: _parse(name, value, types[name]) for name, value in overrides.items()}
    scale = parsed.get("num_epochs", chosen.num_epochs) / chosen.num_epochs
    fields["lr_milestones"] = tuple(max(1, round(m * scale)) for m in fields["lr_milestones"])
    fields["lr_decay"] **= 1 / max(scale, 1e-9)
    if "relabel_epoch" in fields:
        fields["relabel_epoch"] = max(1, round(fields["relabel_epoch"] * scale))
    return _build(method, recipe, fields | parsed)


def _build(method: str, recipe: str, fields: Mapping[str, Any]) -> ResolvedConfig:
    types = _field_types(method)
    typed = {name: _parse(name, value, types[name]) for name, value in fields.items()}
    own = {f.name for f in dataclasses.fields(METHODS[method].Config)}
    train = TrainConfig(**{k: v for k, v in typed.items() if k not in own})
    _check(train)
    return ResolvedConfig(
        method, recipe, train, METHODS[method].Config(**{k: v for k, v in typed.items() if k in own})
    )


def _check(config: TrainConfig) -> None:
    check_choice("augmentation", config.augmentation, AUGMENTATIONS)
    lowest = {
        "num_epochs": 1,
        "batch_size": 2,
        "image_size_px": 8,
        "micro_batch_size": 0,
        "frames_per_clip": 0,
        "learning_rate": 0,
        "weight_decay": 0,
        "warmup_epochs": 0,
        "num_threads": 0,
        "seed": 0,
    }
    for name, low in lowest.items():
        if not low <= getattr(config, name) < float("inf"):
            raise SelfcureError(f"{name} must be at least {low}, not {getattr(config, name)}")
    if config.micro_batch_size == 1:
        raise SelfcureError("micro_batch_size must be 0 or at least 2, not 1: batch norm needs two images")
    if config.compile and config.activation_checkpointing:
        raise SelfcureError(
            "compile and activation_checkpointing do not go together: set one of them to false"
        )
    if not all(milestone >= 1 for milestone in config.lr_milestones):
        raise SelfcureError(f"lr_milestones must be epochs from 1 on, not {config.lr_milestones}")
    for name in ("std", "lr_decay"):
        value = getattr(config, name)
        if not min(value if isinstance(value, tuple) else (value,)) > 0:
            raise SelfcureError(f"{name} must be above 0, not {value}")


def _field_types(method: str) -> dict[str, Any]:
    return {**get_type_hints(TrainConfig), **get_type_hints(METHODS[method].Config)}


def _parse(name: str, value: Any, kind: Any) -> Any:
    """``value`` as ``kind``, from a string or from JSON."""
    if get_origin(kind) is Literal:
        check_choice(name, str(value), get_args(kind))
        return str(value)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if isinstance(value, str):
            parts = [p for p in value.split(",") if p.strip()]
        elif isinstance(value, list | tuple):
            parts = list(value)
        else:
            raise SelfcureError(f"{name} takes numbers separated by commas, not {value!r}")
        if inner[-1] is not Ellipsis and len(parts) != len(inner):
            raise SelfcureError(f"{name} takes {len(inner)} numbers separated by commas, not {value!r}")
        return tuple(_parse(name, part, inner[0]) for part in parts)
    if type(None) in get_args(kind):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return _parse(name, value, next(k for k in get_args(kind) if k is not type(None)))
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() not in words:
            raise SelfcureError(f"{name} takes true or false, not {value!r}")
        return words[str(value).lower()]
    try:
        parsed = kind(value)
        if kind is int and not isinstance(value, str) and parsed != value:
            raise ValueError  # int() would cut 2.5 to 2
    except (TypeError, ValueError, OverflowError):
        noun = {int: "a whole number", float: "a number"}.get(kind, "a text")
        raise SelfcureError(f"{name} takes {noun}, not {value!r}") from None
    return parsed
