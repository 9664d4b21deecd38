"""Wrong labels beyond faces: scikit-learn's digits as 2, 10 and 100 classes, long-tailed, and wrong in two ways.

python benchmarks/digit_sets.py --out data/digit-sets

Makes five dataset folders, a fifth of each rightly labelled for validation, the rest with wrong labels and known true ones:

two      even or odd, 30 % flipped
ten      the digits, 30 % flipped
tail     the digits, the rarest class with a twentieth of the most frequent one's training images, 30 % flipped
pairs    the digits, 30 % of each as the one that looks most like it
hundred  00 to 99, two digits side by side, 60 images of each, 30 % flipped

The networks' results: benchmarks/results/README.md.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import selfcure

LOOKALIKES = "0=6,1=7,2=3,3=8,4=9,5=6,6=0,7=1,8=3,9=4"
TAIL = 20
"""The most frequent class ÷ the rarest."""


def write_pictures(out: Path, name: Callable[[int], str]) -> None:
    digits = load_digits()  # 1,797 of 8 × 8 pixels with values 0 … 16
    for number, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        save(pixels, out / name(int(digit)) / f"{number:04d}.png")


def write_tail(out: Path) -> None:
    """As many of each class that the counts fall by the same factor from 0 to 9."""
    digits = load_digits()
    for digit in range(10):
        rows = np.flatnonzero(digits.target == digit)
        for row in rows[: round(len(rows) * TAIL ** (-digit / 9))]:
            save(digits.images[row], out / str(digit) / f"{row:04d}.png")


def write_numbers(out: Path, each: int = 60) -> None:
    """Two digits drawn at random, side by side on a square."""
    digits, random = load_digits(), np.random.default_rng(0)
    rows = [np.flatnonzero(digits.target == digit) for digit in range(10)]
    for number in range(100):
        for copy in range(each):
            left, right = (digits.images[random.choice(rows[digit])] for digit in divmod(number, 10))
            save(
                np.pad(np.hstack([left, right]), ((4, 4), (0, 0))), out / f"{number:02d}" / f"{copy:02d}.png"
            )


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels * 255 / 16).astype("uint8")).save(path)


def main(out: Path) -> None:
    work = out / "work"
    write_pictures(work / "two", lambda digit: "odd" if digit % 2 else "even")
    write_pictures(work / "ten", str)
    write_tail(work / "tail")
    write_numbers(work / "hundred")
    for name in ("two", "ten", "tail", "pairs", "hundred"):
        pictures = work / ("ten" if name == "pairs" else name)
        selfcure.import_dataset("folder", pictures, out=work / f"{name}-clean")
        selfcure.split(work / f"{name}-clean", out=work / f"{name}-split", validation=0.2)
        noise = {"kind": "pairwise", "pairs": LOOKALIKES} if name == "pairs" else {}
        made = selfcure.add_noise(work / f"{name}-split", out=out / name, rate=0.3, **noise)
        train = made.split("train")
        print(f"{name}: {len(train)} training images, {np.mean(train.labels != train.true_labels):.1%} wrong")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to make them in")
    main(parser.parse_args().out)
