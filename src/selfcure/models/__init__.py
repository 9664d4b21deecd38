"""The model in the box: read by ``selfcure predict`` when no model is named, and a start for training (docs/model.md)."""

from pathlib import Path

from selfcure.errors import SelfcureError

FERPLUS = "selfcure:ferplus"
"""Its name wherever a model or weights can be given."""

ONNX = Path(__file__).with_name("ferplus.onnx")
WEIGHTS = Path(__file__).with_name("ferplus.safetensors")


def packaged_model(name: str = FERPLUS) -> Path:
    """The exported file of the model in the box.

    Raises:
        SelfcureError: there is no such model, or this installation has none.
    """
    return _packaged(name, ONNX)


def packaged_weights(name: str) -> Path:
    """The weights of the model in the box, for the backbone ``small``.

    Raises:
        SelfcureError: there is no such model, or this installation has none.
    """
    return _packaged(name, WEIGHTS)


def is_packaged(name: str | Path) -> bool:
    """Whether ``name`` means a model in the box, and not a file."""
    return str(name).startswith("selfcure:")


def _packaged(name: str, file: Path) -> Path:
    if name != FERPLUS:
        raise SelfcureError(f"there is no {name}; the model that comes with the installation is {FERPLUS}")
    if not file.is_file():
        raise SelfcureError(
            f"this installation brings no {FERPLUS}: {file.name} is missing; name a run folder or an exported file, or "
            "install selfcure again"
        )
    return file
