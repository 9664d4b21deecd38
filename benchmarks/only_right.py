"""The training images whose label is right, as a new dataset folder: what a perfect judge of labels would leave.

python benchmarks/only_right.py bench/data/ferplus-8000-sym30-draw0 --out data/only-right

Plain training on it bounds what any method can gain that only weighs or drops labels; on `--rates 0` cells, what one can
gain that repairs them all.
"""

import argparse
from pathlib import Path

from selfcure.data.folder import Dataset
from selfcure.data.rewrite import keep


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, help="a dataset folder that knows true labels")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    parent = Dataset(args.dataset)
    splits = {name: parent.split(name) for name in parent.splits}
    train = splits["train"]
    if (train.true_labels < 0).any():
        raise SystemExit(f"{args.dataset} does not know all true labels")
    right = train.labels == train.true_labels
    keep(splits, args.out, right, kind="only_right", settings={"split": "train"})
    print(f"{right.sum():,} of {len(right):,} training labels are right and kept")


if __name__ == "__main__":
    main()
