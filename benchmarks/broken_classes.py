"""Which classes pay for a cure: right labels broken, class by class, in finished runs.

python benchmarks/broken_classes.py bench/data/ferplus-8000-sym30-draw0 bench/noise/ferplus-8000-sym30-draw0-cure-modern-seed0/run
"""

import argparse
from pathlib import Path

from selfcure.data.folder import Dataset
from selfcure.runs import RunFolder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, nargs="+")
    args = parser.parse_args()
    train = Dataset(args.dataset).split("train")
    print("| run | class | labels that say so | of these right, % | right ones broken |")
    print("| --- | --- | --: | --: | --: |")
    for run in args.run:
        current = train.labels.copy()
        changes = RunFolder(run).changes(["row", "to"])
        current[changes["row"].to_numpy()] = changes[
            "to"
        ].to_numpy()  # in order of epochs: the last one stays
        for label, name in enumerate(train.dataset.class_names):
            says = train.labels == label
            right = says & (train.true_labels == label)
            broken = right & (current != label)
            share = 100 * right.sum() / says.sum()
            print(
                f"| {run.parent.name} | {name} | {says.sum():,} | {share:.0f} | {broken.sum():,} of {right.sum():,} |"
            )


if __name__ == "__main__":
    main()
