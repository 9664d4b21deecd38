"""SCN in a plain PyTorch loop on any backbone. Lines marked # SCN are all that it adds.

python examples/plain_loop.py
"""

import torch
from torch import nn

from selfcure.core import LabelBook, SelfCureHead, SelfCureLoss, relabel  # SCN
from selfcure.data.synthetic import CLASS_NAMES, synthesize

NUM_EPOCHS, RELABEL_FROM = 8, 6


def main(num_images: int = 1000) -> LabelBook:
    torch.manual_seed(0)
    faces = synthesize(num_images, seed=0, size_px=32, wrong=0.2)
    images = torch.from_numpy(faces.images).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(faces.given_labels)

    backbone = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()),
    )
    head = SelfCureHead(512, len(CLASS_NAMES))  # SCN, was nn.Linear(512, len(CLASS_NAMES))
    criterion = SelfCureLoss()  # SCN, was nn.CrossEntropyLoss()
    book = LabelBook(labels)  # SCN
    optimizer = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=2e-3)

    for epoch in range(1, NUM_EPOCHS + 1):
        total = 0.0
        for ids in torch.randperm(num_images).split(128):
            logits, importance = head(backbone(images[ids]))
            loss = criterion(
                logits, importance, book.current(ids)
            ).total  # SCN, was criterion(logits, labels[ids])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(ids)
            if epoch >= RELABEL_FROM:  # SCN
                new = relabel(
                    logits.softmax(dim=1),
                    importance,
                    original_labels=book.original(ids),
                    current_labels=book.current(ids),
                )
                book.note_labels(ids[new.considered], new.labels[new.considered], new.margins[new.considered])
        changes = book.close_epoch(epoch)  # SCN
        print(f"epoch {epoch}: loss {total / num_images:.3f}, {len(changes.ids)} labels changed")
    return book


if __name__ == "__main__":
    main()
