"""What finished cure runs made of the labels, class by class, and what another budget would have; the truth at hand.

python benchmarks/budgets.py bench/data/ferplus-8000-sym30-draw0 bench/noise/ferplus-8000-sym30-draw0-cure-modern-seed0/run

Suggested labels are put in place, the surest first, for as long as the share of right labels that this breaks stays within
each bound: the most that the run's evidence, in its order, can do. *All* takes every suggestion, *network* every prediction.
The second table tells which classes pay: the right labels broken of each.
"""

import argparse
from pathlib import Path

import numpy as np

from selfcure.data.folder import Dataset
from selfcure.runs import RunFolder

BOUNDS = (0.005, 0.01, 0.02, 0.05)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, nargs="+")
    args = parser.parse_args()
    train = Dataset(args.dataset).split("train")
    given, truth = train.labels, train.true_labels
    print("| run | right labels broken, at most | labels changed | wrong at the end, % | wrong repaired, % |")
    print("| --- | --: | --: | --: | --: |")
    for path in args.run:
        run = RunFolder(path)
        last = run.metrics()[-1]["epoch"]
        evidence = run.evidence(last, ["wrong_prob", "suggested_label", "prediction"]).to_pandas()
        suggested = evidence["suggested_label"].to_numpy()
        order = np.argsort(-evidence["wrong_prob"].to_numpy(), kind="stable")
        order = order[suggested[order] != given[order]]
        broken = np.cumsum(given[order] == truth[order]) / (given == truth).sum()
        for bound in BOUNDS:
            changed = order[: np.searchsorted(broken, bound, side="right")]
            row(path, f"{100 * bound:g} %", given, truth, changed, suggested)
        row(path, "all", given, truth, order, suggested)
        row(path, "network", given, truth, np.arange(len(given)), evidence["prediction"].to_numpy())
    print("\n| run | class | labels that say so | of these right, % | right ones broken |")
    print("| --- | --- | --: | --: | --: |")
    for path in args.run:
        classes(path, given, truth, train.dataset.class_names)


def classes(path: Path, given: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> None:
    changes = RunFolder(path).changes(["row", "to"])
    after = given.copy()
    after[changes["row"].to_numpy()] = changes["to"].to_numpy()  # oldest first: the last one stays
    for label, name in enumerate(names):
        says = given == label
        right = says & (truth == label)
        broken = right & (after != label)
        share = f"{100 * right.sum() / says.sum():.0f}" if says.any() else "–"
        print(
            f"| {path.parent.name} | {name} | {says.sum():,} | {share} | {broken.sum():,} of {right.sum():,} |"
        )


def row(
    path: Path, name: str, given: np.ndarray, truth: np.ndarray, changed: np.ndarray, to: np.ndarray
) -> None:
    after = given.copy()
    after[changed] = to[changed]
    wrong = given != truth
    repaired = (wrong & (after == truth)).sum() / wrong.sum()
    print(
        f"| {path.parent.name} | {name} | {(after != given).sum():,} | {100 * (after != truth).mean():.1f} | {100 * repaired:.1f} |"
    )


if __name__ == "__main__":
    main()
