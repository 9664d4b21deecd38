"""Images in, readings out."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image, ImageOps

from selfcure.errors import SelfcureError
from selfcure.faces.alignment import align
from selfcure.faces.detection import Detector, Face, build_detector
from selfcure.faces.photos import MAX_PIXELS, read_upright
from selfcure.models import packaged_model
from selfcure.predict.crops import choose_crop
from selfcure.predict.engines import EngineOutputs, open_engine
from selfcure.predict.preprocess import prepare, softmax
from selfcure.predict.results import FaceReading, ImageReading

ImageLike = np.ndarray | str | Path | Image.Image
"""[H, W, 3] uint8 RGB, a file, or a Pillow image."""

_DETECT_PIXELS = 8_000_000
"""Of the images that are looked through together: enough for the networks, little for the memory."""


class Predictor:
    """Finds the faces in images and says what a network reads from each.

    Args:
        model: run folder or exported ``.onnx`` file; by default the model that comes with the installation.
        faces: look for faces. False: each image is one face already, or no face at all, and is read whole.
        detector: a name of :data:`selfcure.faces.detection.DETECTORS`, or any object with a ``detect`` as theirs.
            ``mtcnn`` imports torch; ``yunet`` and whole images with an exported model do not.
        align, margin: how faces are cut out, see :func:`selfcure.faces.alignment.align`; by default as they were
            for the training where the model knows, else the square around the box.
        engine, device, num_threads: see :func:`selfcure.predict.engines.open_engine`.
        batch_size: faces computed at once, at most.
        max_pixels: larger image files are refused.

    Raises:
        SelfcureError: no such model, or an argument is out of range.

    Example::

        predictor = Predictor("run")
        for face in predictor("photo.jpg").faces:
            print(face.expression, face.probability, face.box)
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        faces: bool = True,
        detector: str | Detector = "mtcnn",
        align: str | None = None,
        margin: float | None = None,
        engine: str = "auto",
        device: str = "auto",
        num_threads: int = 0,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
    ):
        if batch_size < 1:
            raise SelfcureError(f"batch_size must be at least 1, not {batch_size}")
        if max_pixels < 1:
            raise SelfcureError(f"max_pixels must be positive, not {max_pixels}")
        self.model = Path(model) if model is not None else packaged_model()
        self.engine = open_engine(self.model, engine=engine, device=device, num_threads=num_threads)
        self.info = self.engine.info
        self.crop = choose_crop(self.info.crop, align, margin)
        self.detector: Detector | None = None
        if faces:
            self.detector = build_detector(detector) if isinstance(detector, str) else detector
        self._batch_size, self._max_pixels = batch_size, max_pixels

    # A str is a sequence of str; as an image it is the name of a file.
    @overload
    def __call__(self, images: ImageLike) -> ImageReading: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Sequence[ImageLike]) -> list[ImageReading]: ...

    def __call__(self, images: ImageLike | Sequence[ImageLike]) -> ImageReading | list[ImageReading]:
        """Read one image, or several.

        Raises:
            SelfcureError: an image is none, or cannot be read.
            OSError: a file is not there.
        """
        if isinstance(images, np.ndarray | str | Path | Image.Image):
            return self([images])[0]
        sources = [str(image) if isinstance(image, str | Path) else None for image in images]
        readings: list[ImageReading] = []
        for group in _groups(self.pixels(image) for image in images):
            names = sources[len(readings) : len(readings) + len(group)]
            readings += self.read(group, names)
        return readings

    def pixels(self, image: ImageLike) -> np.ndarray:
        """[H, W, 3] uint8 RGB of an image, upright.

        Raises:
            SelfcureError: it is none, or cannot be read.
            OSError: the file is not there.
        """
        if isinstance(image, str | Path):
            return read_upright(image, max_pixels=self._max_pixels)
        if isinstance(image, Image.Image):
            if image.mode.startswith(("I", "F")):
                raise SelfcureError(
                    f"a Pillow image must have 8 bits, not mode {image.mode}; give its file instead"
                )
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise SelfcureError(
                f"an image must be [H, W, 3] uint8 in RGB, not {list(image.shape)} {image.dtype}"
            )
        return image

    def read(
        self, images: Sequence[np.ndarray], sources: Sequence[str | None] | None = None
    ) -> list[ImageReading]:
        """Read images [H, W, 3] uint8 RGB together; ``sources`` become the readings' names."""
        found = self.detector.detect(images) if self.detector else [[_whole(image)] for image in images]
        crops = [self._cut(image, face) for image, faces in zip(images, found, strict=True) for face in faces]
        outputs = self._outputs(crops)
        readings = []
        for image, faces, name in zip(images, found, sources or [None] * len(images), strict=True):
            height, width = image.shape[:2]
            faces_read = tuple(self._reading(face, *next(outputs)) for face in faces)
            readings.append(ImageReading(name, width, height, faces_read))
        return readings

    def _cut(self, image: np.ndarray, face: Face) -> np.ndarray:
        if self.detector is None:
            return image
        size = self.crop.size_px or self.info.image_size_px
        return align(image, face, size=size, margin=self.crop.margin, mode=self.crop.mode)

    def _outputs(self, crops: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, float | None]]:
        """Probabilities [K] and importance of each."""
        for start in range(0, len(crops), self._batch_size):
            outputs: EngineOutputs = self.engine.run(
                prepare(crops[start : start + self._batch_size], self.info)
            )
            importance = outputs.importance
            for row, probs in enumerate(softmax(outputs.logits.astype(np.float64))):
                yield probs, None if importance is None else float(importance[row])

    def _reading(self, face: Face, probs: np.ndarray, importance: float | None) -> FaceReading:
        names, whole = self.info.class_names, self.detector is None
        left, top, right, bottom = face.box.tolist()
        return FaceReading(
            box=(left, top, right, bottom),
            landmarks=None if whole else tuple((x, y) for x, y in face.landmarks.tolist()),
            score=None if whole else face.score,
            expression=names[int(probs.argmax())],
            probabilities=dict(zip(names, probs.tolist(), strict=True)),
            importance=importance,
        )


def _whole(image: np.ndarray) -> Face:
    height, width = image.shape[:2]
    return Face(np.array([0, 0, width, height], np.float32), np.zeros((5, 2), np.float32), 1.0)


def _groups(images: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Neighbours, to be looked through together."""
    group: list[np.ndarray] = []
    size = 0
    for image in images:
        num_pixels = image.shape[0] * image.shape[1]
        if group and size + num_pixels > _DETECT_PIXELS:
            yield group
            group, size = [], 0
        group.append(image)
        size += num_pixels
    if group:
        yield group
