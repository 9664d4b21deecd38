"""Published checkpoints into a backbone, with every tensor counted.

The public SCN code loads its pretrained weights with ``strict=False`` into names that differ, matches nothing and says
nothing. Here what matched, what is missing and what was left over is counted and shown, and too little is an error.
"""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfcure.errors import SelfcureError
from selfcure.models import is_packaged, packaged_weights

_NESTS = ("state_dict", "model_state_dict", "state_dict_backbone", "model", "net", "backbone", "weights")
_PREFIXES = ("module/", "module.", "model.", "backbone.", "encoder.", "net.")
# torchvision's ResNet as nn.Sequential(*list(resnet.children())[:-1]), as the public SCN code has it.
_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}


@dataclass(frozen=True)
class WeightsReport:
    """What a checkpoint gave a backbone."""

    matched: tuple[str, ...]
    """Tensors of the backbone that were loaded."""
    missing: tuple[str, ...]
    """Tensors of the backbone that the checkpoint lacks; they keep their fresh values."""
    misshapen: tuple[str, ...]
    """Tensors of the backbone that the checkpoint has in another shape; they keep their fresh values too."""
    unexpected: tuple[str, ...]
    """Tensors of the checkpoint that the backbone has no place for."""
    share: float
    """Share of the backbone's parameters and running statistics, by number of elements, that was loaded."""

    def __str__(self) -> str:
        num = len(self.matched) + len(self.missing) + len(self.misshapen)
        parts = [f"{len(self.matched)} of {num} tensors matched, {100 * self.share:.1f} % of the backbone"]
        for word in ("missing", "misshapen", "unexpected"):
            names = getattr(self, word)
            if names:
                more = f", … {len(names) - 4} more" if len(names) > 4 else ""
                parts.append(f"{len(names)} {word} ({', '.join(names[:4])}{more})")
        return "; ".join(parts)


def load_weights(backbone: nn.Module, source: str | Path, *, min_share: float = 0.9) -> WeightsReport:
    """Load a published checkpoint, or another run's backbone, into ``backbone`` by name and shape.

    Args:
        source: a ``.pth`` (read with ``weights_only``: nothing in it is run) or ``.safetensors`` file, bare or nested
            under ``state_dict``, ``state_dict_backbone`` and the like, its names with or without the prefixes that
            wrappers add, and ResNets also as numbered ``features.N.`` children; or a run folder; or
            ``selfcure:ferplus``, the model in the box.
        min_share: share of the backbone, by number of elements, below which too little matched.

    Raises:
        SelfcureError: the file is missing, damaged or no checkpoint, or too little of it matched; the backbone is
            unchanged then.
    """
    path = packaged_weights(str(source)) if is_packaged(source) else Path(source)
    saved = dict(_read(path))
    wanted = {k: v for k, v in backbone.state_dict().items() if not k.endswith("num_batches_tracked")}
    left = [key for key in saved if not key.endswith("num_batches_tracked")]
    renamed: dict[str, str] = {}
    for fits in (True, False):  # a classifier beside the backbone may bear a layer's name in another shape
        for key in left:
            places = (name for name in _spellings(key) if name in wanted and name not in renamed)
            target = next((n for n in places if not fits or saved[key].shape == wanted[n].shape), None)
            if target is not None:
                renamed[target] = key
        left = [key for key in left if key not in renamed.values()]
    fitting = {name: saved[key] for name, key in renamed.items() if saved[key].shape == wanted[name].shape}
    total = sum(v.numel() for v in wanted.values())
    report = WeightsReport(
        matched=tuple(fitting),
        missing=tuple(name for name in wanted if name not in renamed),
        misshapen=tuple(name for name in renamed if name not in fitting),
        unexpected=tuple(left),
        share=sum(v.numel() for v in fitting.values()) / max(total, 1),
    )
    if report.share < min_share:
        raise SelfcureError(
            f"weights {path} do not fit this backbone: {report}; at least {100 * min_share:.0f} % must match. Choose the "
            "backbone that they were made for, or say --set min_weights_share=0 if this is what you want"
        )
    backbone.load_state_dict({**backbone.state_dict(), **fitting})
    return report


def _spellings(key: str) -> Iterator[str]:
    """The names that a checkpoint's tensor may have in the backbone, most literal first."""
    yield key
    stripped = True
    while stripped:
        stripped = False
        for prefix in _PREFIXES:
            if key.startswith(prefix):
                key, stripped = key.removeprefix(prefix), True
                yield key
    numbered = re.fullmatch(r"(?:features\.)?(\d+)\.(.+)", key)
    if numbered and numbered[1] in _SEQUENTIAL:
        yield f"{_SEQUENTIAL[numbered[1]]}.{numbered[2]}"
    if key.startswith("features."):
        yield key.removeprefix("features.")


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.is_dir() and (path / "config.json").is_file():
        path = path / "model.safetensors"
    if not path.is_file():
        raise SelfcureError(f"weights {path} do not exist")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        # timm's training script saves its arguments beside the weights; a Namespace is a plain record.
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for a broken or unsafe file
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SelfcureError(
            f"weights {path} cannot be read without running code, or are damaged: {first}"
        ) from error
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> Mapping[str, Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _NESTS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)}
            if tensors:
                return tensors
            break
        content = inner
    raise SelfcureError(
        f"weights {path} hold no named tensors; looked for them at the top and under {', '.join(_NESTS)}"
    )
