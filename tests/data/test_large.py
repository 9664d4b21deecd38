"""The benchmark of a million rows, on a fiftieth of them: the bounds that it has to keep, and that it runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGES = {"open": 25, "ids": 25, "fingerprint": 25, "images": 40, "info": 40, "noise": 60}
"""Stage → MB that it may take beyond the imports; the libraries alone vary by some 10."""


def test_the_benchmark_of_large_sets(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "large_set.py"),
        f"--work={tmp_path}",
        "--rows=20000",
    ]
    chosen = [f"--stage={stage}" for stage in STAGES]
    done = subprocess.run([*command, *chosen], check=True, capture_output=True, text=True)
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == list(STAGES)
    taken = {row[0]: int(row[5]) - int(row[4]) for row in rows}
    assert all(taken[stage] <= most for stage, most in STAGES.items()), taken
