"""Labels are just classes: handwritten digits of 8 × 8 pixels, a fifth of them labelled wrong, and which these are.

python examples/digits.py --work runs/digits
"""

import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import selfcure


def write_pictures(out: Path, num: int) -> None:
    """A folder for each class, as any labelled pictures may lie on a disk."""
    digits = load_digits()  # 1,797 handwritten digits, part of scikit-learn
    for number, (pixels, digit) in enumerate(zip(digits.images[:num], digits.target[:num], strict=True)):
        path = out / str(digit) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 255 / 16).astype("uint8")).save(path)


def main(work: Path, num: int = 1797, num_epochs: int = 20) -> dict[str, dict[str, float]]:
    """Method → accuracy on the validation digits, and AUROC of what it says of the training labels."""
    write_pictures(work / "pictures", num)
    selfcure.import_dataset("folder", work / "pictures", out=work / "clean")
    selfcure.split(work / "clean", out=work / "split", validation=0.2)
    noisy = selfcure.add_noise(work / "split", out=work / "noisy", rate=0.2)
    train = noisy.split("train")
    figures = {}
    for method in ("plain", "scn"):
        run = selfcure.train(
            noisy.path,
            out=work / method,
            method=method,
            backbone="compact",
            image_size_px=16,
            num_epochs=num_epochs,
            batch_size=64,
            optimizer="adam",
            learning_rate=0.002,
            num_threads=1,  # a tiny network gains nothing from a second one
            augmentation="none",  # the usual one mirrors, and a mirrored 2 is no 2
        )
        labels = selfcure.export_labels(run, work / f"{method}.csv")
        record = run.metrics()[-1]
        figures[method] = {
            "validation accuracy": record["validation"]["accuracy"],
            "AUROC of wrong labels": roc_auc_score(train.labels != train.true_labels, labels["suspicion"]),
            "labels wrong before": record["cure"]["noise_before"],
            "labels wrong after": record["cure"]["noise_after"],
        }
        print(
            method, *(f"{name} {value:.3f}" for name, value in figures[method].items()), sep=" · ", flush=True
        )
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder to make everything in")
    main(parser.parse_args().work)
