"""Images per second of two gloo processes beside one process on the same cores. Prints a table.

    uv run python benchmarks/processes.py

The bound is 1: the cores are shared, so what a second process adds (gathered outputs, one message with all gradients a
step, a second interpreter) can only cost. Each pair of trainings is taken one after the other, in alternating order; the
first epoch of each, which warms up, is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from selfcure.data.synthetic_folder import write_synthetic


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, choices=(1024, 128), help="only this row")
    parser.add_argument(
        "--num", type=int, default=3072, help="images an epoch; a batch or two would time its ends"
    )
    arguments = parser.parse_args()
    print(
        f"resnet18, SCN, {os.cpu_count()} cores, {arguments.processes} processes, {arguments.num} images an epoch"
    )
    print("| size | batch | median ratio | lowest | highest | images/s of one process |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_synthetic(data, arguments.num, num_validation=0, size_px=48)
        for size, batch in ((48, 1024), (48, 128)):
            if arguments.batch not in (None, batch):
                continue
            rates: dict[int, list[float]] = {1: [], arguments.processes: []}
            for pair in range(arguments.pairs):
                for count in sorted(rates, reverse=bool(pair % 2)):
                    out = Path(folder) / f"{size}-{batch}-{count}-{pair}"
                    rates[count].append(images_per_second(data, out, size, batch, count))
            one, several = rates.values()
            ratios = [b / a for a, b in zip(one, several, strict=True)]
            print(
                f"| {size} px | {batch} | {statistics.median(ratios):.3f} | {min(ratios):.3f} | {max(ratios):.3f} | "
                f"{statistics.median(one):.0f} |",
                flush=True,
            )


def images_per_second(data: Path, out: Path, size: int, batch: int, processes: int) -> float:
    command = [sys.executable, "-m", "selfcure", "train", data, "--out", out, "--epochs", "3", "--size", size]
    settings = [f"batch_size={batch}", "learning_rate=1e-4", f"micro_batch_size={batch}"]
    command += [word for setting in settings for word in ("--set", setting)]
    subprocess.run(
        [*map(str, command), "--processes", str(processes)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return statistics.median(json.loads(line)["images_per_second"] for line in lines[1:])


if __name__ == "__main__":
    main()
