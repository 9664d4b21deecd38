"""Thousands of classes: 2,000 synthetic people, a fifth of the pictures under another one's name, and which these are.

python examples/identities.py --work runs/identities
"""

import argparse
from pathlib import Path

from PIL import Image
from sklearn.metrics import roc_auc_score

import selfcure
from selfcure.data.synthetic import synthesize

PICTURES_EACH = 10  # on average; expression, pose, light, clothes and background differ


def write_pictures(out: Path, num_people: int, size_px: int) -> None:
    """A folder for each person; every tenth picture is for validation."""
    num = num_people * PICTURES_EACH
    for start in range(0, num, 1000):
        faces = synthesize(min(1000, num - start), start=start, num_identities=num_people, size_px=size_px)
        for number, (pixels, person) in enumerate(zip(faces.images, faces.identities, strict=True), start):
            split = "validation" if number % 10 == 0 else "train"
            path = out / split / f"person {person:04d}" / f"{number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def main(work: Path, num_people: int = 2000, size_px: int = 32, num_epochs: int = 12) -> dict[str, float]:
    """Accuracy on the validation pictures, and AUROC of what the run says of the training labels."""
    write_pictures(work / "pictures", num_people, size_px)
    selfcure.import_dataset("folder", work / "pictures", out=work / "clean")
    noisy = selfcure.add_noise(work / "clean", out=work / "noisy", rate=0.2)
    run = selfcure.train(
        noisy.path,
        out=work / "run",
        method="plain",
        backbone="compact",
        image_size_px=size_px,
        num_epochs=num_epochs,
        batch_size=64,
        optimizer="adam",
        learning_rate=0.004,
        lr_milestones=(num_epochs * 2 // 3,),
        num_threads=1,
    )
    train, record = noisy.split("train"), run.metrics()[-1]
    labels = selfcure.export_labels(run, work / "labels.csv")
    suggested = labels["suggested"].combine_chunks().indices.to_numpy()
    figures = {
        "pictures": len(train),
        "people": len(noisy.class_names),
        "validation accuracy": record["validation"]["accuracy"],
        "training accuracy, true labels": record["accuracy_true"],
        "AUROC of wrong labels": roc_auc_score(train.labels != train.true_labels, labels["suspicion"]),
        "suggested label is the true one": (suggested == train.true_labels).mean(),
    }
    print(
        " · ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value:.3f}"
            for name, value in figures.items()
        )
    )
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder to make everything in")
    main(parser.parse_args().work)
