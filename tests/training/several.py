"""One of several processes: trains each of the jobs of a JSON file, [{data, out, settings}], one after the other.

``steady`` is a backbone without batch norm, so that a batch may be cut anywhere without changing a result.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import nn

import selfcure
from selfcure.backbones.registry import BACKBONES
from selfcure.training.workers import RENDEZVOUS


class Steady(nn.Module):
    num_features = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3), nn.Tanh()
        )

    def forward_features(self, images):
        return self.layers(images)

    def forward_head(self, features, pre_logits: bool = False):
        return 3 * features.mean((2, 3))

    def forward(self, images):
        return self.forward_head(self.forward_features(images))


def main(jobs: str) -> None:
    BACKBONES["steady"] = Steady
    meeting = os.environ.get(RENDEZVOUS)
    for number, job in enumerate(json.loads(Path(jobs).read_text())):
        if meeting:
            os.environ[RENDEZVOUS] = f"{meeting}-{number}"
        selfcure.train(job["data"], out=job["out"], resume=job.get("resume", False), **job["settings"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
