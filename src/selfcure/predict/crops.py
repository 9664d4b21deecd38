"""How the faces that a run was trained on were cut out, as far as its dataset folder remembers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfcure.data.folder import MANIFEST
from selfcure.errors import SelfcureError, check_choice
from selfcure.faces.alignment import MODES
from selfcure.predict.model_info import Crop

if TYPE_CHECKING:
    from selfcure.runs import RunFolder

DEFAULT_CROP = Crop("box", 0.0)
"""Where nobody knows: the upright square around the face, which is how most published sets are cut."""


def crop_of(run: "RunFolder") -> Crop | None:
    """The crop of a run's training images; None if its dataset is gone, or was not made by ``selfcure faces``."""
    return crop_of_dataset(Path(run.document["dataset"]["path"]))


def crop_of_dataset(folder: Path) -> Crop | None:
    """The same of a dataset folder, or of the one it was derived from."""
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # a run outlives its data
    while isinstance(manifest, Mapping):
        options = manifest.get("options")
        if manifest.get("layout") == "faces" and isinstance(options, Mapping):
            return Crop(options["align"], options["margin"], options["size"])
        manifest = manifest.get("parent")
    return None


def choose_crop(known: Crop | None, mode: str | None, margin: float | None) -> Crop:
    """``known``, else :data:`DEFAULT_CROP`, with what the user asked for.

    Raises:
        SelfcureError: ``mode`` or ``margin`` is out of range.
    """
    crop = known or DEFAULT_CROP
    if mode is not None:
        check_choice("align", mode, MODES)
        # A margin belongs to its mode.
        crop = Crop(mode, crop.margin if mode == crop.mode else 0.0, crop.size_px)
    if margin is not None:
        if not -0.5 < margin <= 4:
            raise SelfcureError(f"margin must be above -0.5 and at most 4, not {margin}")
        crop = Crop(crop.mode, margin, crop.size_px)
    return crop
