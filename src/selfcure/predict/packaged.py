"""The model that comes with the installation."""

from pathlib import Path

from selfcure.errors import SelfcureError

PACKAGED_MODEL = Path(__file__).parents[1] / "models" / "ferplus.onnx"


def packaged_model() -> Path:
    """The file that ``selfcure predict`` uses when no model is named.

    Raises:
        SelfcureError: this installation has none.
    """
    if not PACKAGED_MODEL.is_file():
        raise SelfcureError(
            "no model was named and this installation brings none; name a run folder or an exported file first: "
            "selfcure predict RUN SOURCE"
        )
    return PACKAGED_MODEL
