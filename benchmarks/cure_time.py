"""What cure costs over plain training, whole trainings with everything that an epoch does: prints the ratios.

    uv run python benchmarks/cure_time.py

The bound: cure's network, loss and images are those of plain training, so whatever the ratio is above 1 pays for the pooled
predictions, the estimates before each epoch and the one look before the last: a forward pass, about a third of an epoch.
Processor seconds of one thread, so that other work on the machine counts little; pairs in alternating order.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import selfcure


def seconds(data: Path, out: Path, method: str, num_epochs: int) -> float:
    started = time.process_time()
    selfcure.train(
        data,
        out=out,
        method=method,
        recipe="modern",
        backbone="small",
        image_size_px=48,
        augmentation="strong",
        num_epochs=num_epochs,
        num_threads=1,
    )
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--num", type=int, default=1500, help="images")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        selfcure.write_synthetic(root / "faces", arguments.num, num_validation=100, size_px=48, wrong=0.3)
        seconds(root / "faces", root / "warm", "cure", 2)
        for pair in range(arguments.pairs):
            order = ("plain", "cure") if pair % 2 else ("cure", "plain")
            took = {
                method: seconds(root / "faces", root / f"{method}{pair}", method, arguments.epochs)
                for method in order
            }
            ratios.append(took["cure"] / took["plain"])
            print(f"plain {took['plain']:.1f} s, cure {took['cure']:.1f} s: {ratios[-1]:.3f}", flush=True)
    print(
        f"cure ÷ plain, {arguments.epochs} epochs of {arguments.num:,} images: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f}–{max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
