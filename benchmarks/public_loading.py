"""The public SCN code's way of loading, to measure against: each sample is decoded, augmented and resized on its own.

As in its ``RafDataSet``: read from disk every epoch; with probability ½ a flip or Gaussian noise; Pillow resize to the
network's size; tensor, normalisation, random erasing; a ``DataLoader`` with 4 workers and batches of 64 by default.
"""

import io
import random

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from selfcure.data.folder import Split
from selfcure.data.transforms import IMAGENET_MEAN, IMAGENET_STD


class PerSample(TorchDataset):
    """Encoded images in memory (a disk would only be slower), everything else sample by sample."""

    def __init__(self, split: Split, size_px: int):
        self.encoded = [record["bytes"] for record in split.column("image").to_pylist()]
        self.labels = split.labels
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.Resize((size_px, size_px)),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
                transforms.RandomErasing(scale=(0.02, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        image = np.asarray(Image.open(io.BytesIO(self.encoded[index])).convert("RGB"))
        if random.random() > 0.5:
            if random.random() < 0.5:
                image = np.ascontiguousarray(image[:, ::-1])
            else:
                noisy = image + np.random.normal(0, 30**0.5, image.shape)
                image = noisy.clip(0, 255).astype(np.uint8)
        return self.transform(image), int(self.labels[index]), index


def loader(split: Split, size_px: int, *, batch_size: int, num_workers: int) -> DataLoader:
    return DataLoader(
        PerSample(split, size_px),
        batch_size=batch_size,
        num_workers=num_workers,
        shuffle=True,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=num_workers > 0,
    )
