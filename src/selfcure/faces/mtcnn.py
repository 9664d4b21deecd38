"""MTCNN (Zhang et al. 2016, arXiv:1604.02878), with the networks and weights of facenet-pytorch.

The cascade is that of facenet-pytorch's ``detect_face``, and so is what it finds; it is written anew because that one
averages the whole image again for each scale and each candidate on its own. Here every mean comes from a table of sums
(:mod:`selfcure.faces.area`), images of one size share the calls of the networks, and tensors lie channels-last. Boxes
that overlap are sorted out image by image, as the library does for a single one (in a batch it shifts the images' boxes
apart, at the cost of digits).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from selfcure.errors import SelfcureError
from selfcure.faces.area import AreaTable
from selfcure.faces.detection import Face
from selfcure.faces.networks import SHAPES, CascadeNetwork

THRESHOLDS = (0.6, 0.7, 0.7)
"""A candidate's score to pass each of the three networks, as published."""

_FACTOR = 0.709  # between scales, about 1/√2
_CELL, _STRIDE = 12, 2  # what the first network sees, and how far its next place is
_BATCH_PIXELS = 4_000_000
"""Images of one size worked on together have about so many pixels: each takes 12 bytes in the tables."""
_CROPS_AT_ONCE = 256
_NMS_BLOCK = 512
"""Candidates compared with each other at a time."""


@dataclass
class _Candidates:
    """Boxes of all images of a batch: [M, 4] left, top, right, bottom; [M] scores; [M] number of the image."""

    boxes: Tensor
    scores: Tensor
    images: Tensor

    def __getitem__(self, rows: Tensor) -> "_Candidates":
        return _Candidates(self.boxes[rows], self.scores[rows], self.images[rows])


class Mtcnn:
    """The detector ``mtcnn``; see :func:`~selfcure.faces.detection.build_detector`."""

    def __init__(self, *, min_face_px: int = 40, min_score: float = 0.95, device: str = "cpu"):
        self.min_face_px, self.min_score = min_face_px, min_score
        try:
            self.device = torch.device(device)
            self._pnet, self._rnet, self._onet = (
                CascadeNetwork(name).to(self.device).to(memory_format=torch.channels_last) for name in SHAPES
            )
        except RuntimeError as error:
            raise SelfcureError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error

    def detect(self, images: Sequence[np.ndarray]) -> list[list[Face]]:
        """See :meth:`~selfcure.faces.detection.Detector.detect`."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        found: list[list[Face]] = [[] for _ in images]
        for (height, width, *_), indices in by_size.items():
            step = max(1, _BATCH_PIXELS // (height * width))
            for start in range(0, len(indices), step):
                batch = indices[start : start + step]
                for index, faces in zip(batch, self._detect([images[i] for i in batch]), strict=True):
                    found[index] = faces
        return found

    @torch.inference_mode()
    def _detect(self, images: list[np.ndarray]) -> list[list[Face]]:
        """Of images of one size."""
        tables = [AreaTable(image) for image in images]
        candidates = self._propose(tables)
        candidates = self._refine(tables, candidates)
        candidates, landmarks = self._decide(tables, candidates)
        found: list[list[Face]] = [[] for _ in images]
        rows = zip(
            candidates.boxes.numpy(),
            landmarks.numpy(),
            candidates.scores.tolist(),
            candidates.images.tolist(),
            strict=True,
        )
        for box, points, score, image in rows:
            if score >= self.min_score:
                found[image].append(Face(box, points, score))
        for faces in found:
            faces.sort(key=lambda face: -face.score)
        return found

    def _propose(self, tables: list[AreaTable]) -> _Candidates:
        """The first network, on the whole images at many scales."""
        height, width = tables[0].height, tables[0].width
        levels = []
        for scale in scales(height, width, self.min_face_px):
            shape = int(height * scale + 1), int(width * scale + 1)
            scores, shift = self._run(self._pnet, np.stack([table.resize(*shape) for table in tables]))
            levels.append(_cells(scores, shift, scale))
        if not levels:
            return _Candidates(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        kept: list[tuple[_Candidates, Tensor]] = []
        for found, shift in levels:
            rows = _distinct(found, 0.5)
            kept.append((found[rows], shift[rows]))
        found = _joined([found for found, _ in kept])
        shift = torch.cat([shift for _, shift in kept])
        rows = _distinct(found, 0.7)
        found, shift = found[rows], shift[rows]
        sides = (found.boxes[:, 2:] - found.boxes[:, :2]).repeat(1, 2)
        found.boxes = _squares(found.boxes + shift * sides)
        return found

    def _refine(self, tables: list[AreaTable], found: _Candidates) -> _Candidates:
        """The second network, on each candidate."""
        found, crops = _cut(tables, found, 24)
        if not len(crops):
            return found
        found.scores, shift = self._run(self._rnet, crops)
        rows = (found.scores > THRESHOLDS[1]).nonzero()[:, 0]
        found, shift = found[rows], shift[rows]
        rows = _distinct(found, 0.7)
        found, shift = found[rows], shift[rows]
        found.boxes = _squares(_shifted(found.boxes, shift))
        return found

    def _decide(self, tables: list[AreaTable], found: _Candidates) -> tuple[_Candidates, Tensor]:
        """The third network, on each that is left: candidates and their landmarks [M, 5, 2]."""
        found, crops = _cut(tables, found, 48)
        if not len(crops):
            return found, torch.zeros(0, 5, 2)
        found.scores, shift, points = self._run(self._onet, crops)
        rows = (found.scores > THRESHOLDS[2]).nonzero()[:, 0]
        found, shift, points = found[rows], shift[rows], points[rows]
        sides = found.boxes[:, 2:] - found.boxes[:, :2] + 1
        landmarks = points.view(-1, 2, 5).transpose(1, 2)  # first all x, then all y
        landmarks = sides[:, None] * landmarks + found.boxes[:, None, :2] - 1
        found.boxes = _shifted(found.boxes, shift)
        rows = _distinct(found, 0.7, of_smaller=True)
        return found[rows], landmarks[rows].contiguous()

    def _run(self, network: nn.Module, pixels: np.ndarray) -> tuple[Tensor, ...]:
        """A network's outputs for pixels [N, H, W, 3], on the CPU."""
        # Seen as [N, 3, H, W] this is channels-last, where convolution and pooling are fastest.
        batch = ((torch.from_numpy(pixels) - 127.5) * 0.0078125).permute(0, 3, 1, 2)
        parts = [network(part.to(self.device)) for part in batch.split(_CROPS_AT_ONCE)]
        return tuple(torch.cat(output).cpu() for output in zip(*parts, strict=True))


def scales(height: int, width: int, min_face_px: int) -> list[float]:
    """By how much the image is shrunk so that faces from ``min_face_px`` up to all of it fill the first network's view.

    >>> [round(scale, 3) for scale in scales(100, 60, 40)]
    [0.3, 0.213]
    """
    scale = _CELL / min_face_px
    shorter = min(height, width) * scale
    found = []
    while shorter >= _CELL:
        found.append(scale)
        scale *= _FACTOR
        shorter *= _FACTOR
    return found


def _cells(scores: Tensor, shift: Tensor, scale: float) -> tuple[_Candidates, Tensor]:
    """Candidates of one scale, from [N, h, w] and [N, 4, h, w], and by how much each is to be shifted [M, 4]."""
    images, rows, columns = (scores >= THRESHOLDS[0]).nonzero(as_tuple=True)
    corner = torch.stack([columns, rows], 1).to(torch.float32) * _STRIDE  # x, y
    boxes = torch.cat([((corner + 1) / scale).floor(), ((corner + _CELL) / scale).floor()], 1)
    return _Candidates(boxes, scores[images, rows, columns], images), shift[images, :, rows, columns]


def _joined(parts: list[_Candidates]) -> _Candidates:
    return _Candidates(
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("boxes", "scores", "images"))
    )


def _distinct(found: _Candidates, overlap: float, *, of_smaller: bool = False) -> Tensor:
    """Rows of the surest of each group of candidates of one image that overlap by more, image after image."""
    kept = []
    for image in found.images.unique().tolist():
        rows = (found.images == image).nonzero()[:, 0]
        chosen = suppress(
            found.boxes[rows].numpy(), found.scores[rows].numpy(), overlap, of_smaller=of_smaller
        )
        kept.append(rows[torch.from_numpy(chosen)])
    return torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64)


def suppress(
    boxes: np.ndarray, scores: np.ndarray, overlap: float, *, of_smaller: bool = False
) -> np.ndarray:
    """Greedy non-maximum suppression: the best box stays and those that overlap it by more go, then the next best.

    Args:
        boxes: [N, 4] left, top, right, bottom.
        scores: [N].
        overlap: of two boxes, shared area by that of both together.
        of_smaller: shared area by that of the smaller one instead, in whole pixels: of a face in a face one goes.

    Returns:
        Rows that stay, the best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept = [order[:0]]
    while len(order):
        best, order = order[:_NMS_BLOCK], order[_NMS_BLOCK:]
        clash = _overlaps(boxes[best], boxes[best], of_smaller) > overlap
        stays = np.ones(len(best), bool)
        for row in range(len(best)):
            if stays[row]:
                stays[row + 1 :] &= ~clash[row, row + 1 :]
        kept.append(best[stays])
        if len(order):
            order = order[~(_overlaps(boxes[kept[-1]], boxes[order], of_smaller) > overlap).any(0)]
    return np.concatenate(kept)


def _overlaps(some: np.ndarray, others: np.ndarray, of_smaller: bool) -> np.ndarray:
    """[N, M] by how much boxes [N, 4] and [M, 4] overlap."""
    one = np.float32(of_smaller)  # where a box ends the pixel counts, or not
    shared: np.ndarray | float = 1.0
    for low, high in ((0, 2), (1, 3)):  # across, then down; whole tables one after the other are fastest
        side = np.minimum(some[:, None, high], others[None, :, high])
        side -= np.maximum(some[:, None, low], others[None, :, low])
        shared = shared * np.maximum(side + one, 0)
    area, other = ((b[:, 2] - b[:, 0] + one) * (b[:, 3] - b[:, 1] + one) for b in (some, others))
    if of_smaller:
        return shared / np.minimum(area[:, None], other[None])
    return shared / (area[:, None] + other[None] - shared)


def _squares(boxes: Tensor) -> Tensor:
    """Around the same middles, with the longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longer = sides.amax(1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longer * 0.5
    return torch.cat([corner, corner + longer], 1)


def _shifted(boxes: Tensor, shift: Tensor) -> Tensor:
    """Each side moved by ``shift`` times the box's width or height."""
    return boxes + shift * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _cut(tables: list[AreaTable], found: _Candidates, size: int) -> tuple[_Candidates, np.ndarray]:
    """The candidates that lie in their images, image by image, and their pixels [M, size, size, 3]."""
    height, width = tables[0].height, tables[0].width
    # The first pixel counts as 1, so boxes reach from left - 1 to right.
    whole = found.boxes.trunc().to(torch.int64)
    whole[:, :2] = whole[:, :2].clamp(min=1) - 1
    whole[:, 2:] = torch.minimum(whole[:, 2:], torch.tensor([width, height]))
    inside = (whole[:, 2:] > whole[:, :2]).all(1)
    order = inside.nonzero()[:, 0]
    order = order[found.images[order].argsort(stable=True)]
    found, whole = found[order], whole[order]
    crops = [
        table.crops(whole[found.images == image].numpy(), size)
        for image, table in enumerate(tables)
        if (found.images == image).any()
    ]
    return found, np.concatenate(crops) if crops else np.zeros((0, size, size, 3), np.float32)
