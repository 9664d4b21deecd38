"""What a program must know of a network to use it; an exported file carries it in its metadata."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from selfcure.errors import SelfcureError

METADATA_KEY = "selfcure"
"""Name of the metadata entry, one JSON object."""

RESIZE = "bilinear"
"""How an image comes to its size: stretched to a square with Pillow's bilinear filter, as in training."""

_FORMAT = 1


@dataclass(frozen=True)
class Crop:
    """How a face is cut out of a photograph, in the words of :func:`selfcure.faces.alignment.align`."""

    mode: str = "box"
    """``similarity`` (turned and scaled by the landmarks) or ``box``."""
    margin: float = 0.0
    """How much more to show on each side, as a share of the side."""
    size_px: int | None = None
    """Side at which the crop is taken before it is resized; None: that of the network."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A network's input and output in words and numbers.

    The input is [B, 3, S, S] float32: RGB in [0, 1] (the luminance three times if ``grey``), less ``mean``, divided by
    ``std``. The outputs are ``logits``
    [B, K] and perhaps ``importance`` [B] in (0, 1).
    """

    class_names: tuple[str, ...]
    """[K] in the order of the logits."""
    image_size_px: int
    """S."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    method: str
    recipe: str
    backbone: str
    dataset: str
    """Name of the dataset folder it was trained on."""
    crop: Crop | None = None
    """How the training images were cut out; None: not known."""
    resize: str = RESIZE
    grey: bool = False
    """It was trained on grey images alone, so colour is taken out of what it is shown (ITU-R 601 luminance)."""
    quantization: str | None = None
    """``float16`` (of the weights as they are stored) or ``int8``; None: float32."""
    selfcure: str = ""
    """Version that wrote the file."""

    @classmethod
    def of_run(cls, document: Mapping[str, Any], crop: Crop | None = None) -> "ModelInfo":
        """Of a run folder's ``config.json``."""
        config = document["config"]
        return cls(
            class_names=tuple(document["class_names"]),
            image_size_px=config["image_size_px"],
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            method=config["method"],
            recipe=config["recipe"],
            backbone=config["backbone"],
            dataset=Path(document["dataset"]["path"]).name,
            crop=crop,
            grey=document["dataset"].get("grey", False),
            selfcure=version("selfcure"),
        )

    def to_json(self) -> str:
        """One JSON object, for the metadata of a file."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, path: Path) -> "ModelInfo":
        """Back from :meth:`to_json`.

        Raises:
            SelfcureError: it is not one, or of a version that this one does not know; ``path`` is named.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            if fields.pop("format") != _FORMAT or fields["resize"] != RESIZE:
                raise ValueError("of another version")
            if crop := fields.pop("crop"):
                fields["crop"] = Crop(**crop)
            info = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})  # type: ignore[arg-type]
            if not info.class_names or info.image_size_px < 1 or len(info.mean) != 3 or len(info.std) != 3:
                raise ValueError("incomplete")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SelfcureError(
                f"{path}: its metadata are not those of this version of selfcure ({error}); export the run again"
            ) from error
        return info
