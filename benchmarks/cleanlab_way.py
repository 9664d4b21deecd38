"""How well cleanlab's way finds wrong labels: probabilities of networks that have not seen the label, by cross-validation.

python benchmarks/cleanlab_way.py bench/data/ferplus-8000-sym30-draw0 --work cleanlab-way --epochs 12

Trains plainly five times on four fifths of a dataset folder that knows true labels, with the settings of
benchmarks/results/README.md; what is finished in ``--work`` is not done again. Prints the AUROC of every score of
`selfcure.detect`, cleanlab's two among them. With ``--folds 2`` each half is judged by a network of the other half.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

import selfcure
from selfcure.data.folder import Dataset
from selfcure.data.rewrite import keep
from selfcure.faces.photos import read_upright
from selfcure.predict.engines import open_engine
from selfcure.predict.preprocess import prepare, softmax
from selfcure.runs import RunFolder

BATCH = 64
SETTINGS = {
    "recipe": "modern",
    "backbone": "small",
    "augmentation": "strong",
    "image_size_px": 48,
    "precision": "bf16",
    "num_threads": 1,
}
SCORES = {
    "given_prob": "probability of the given label",
    "margin": "margin to the best other class",
    "cleanlab_self_confidence": "cleanlab, self-confidence",
    "cleanlab_normalized_margin": "cleanlab, normalized margin",
}


def held_out(
    data: Dataset, seen: np.ndarray, work: Path, epochs: int, seed: int, precision: str
) -> np.ndarray:
    """Probabilities [n, K] of the training images that are not ``seen`` [N] bool, by a network trained on the others."""
    folder, run = work / "data", work / "run"
    if not folder.exists():
        splits = {name: data.split(name) for name in data.splits}
        keep(splits, folder, seen, kind="fold", settings={"split": "train"})
    if not (run.exists() and RunFolder(run).finished):
        settings = {**SETTINGS, "precision": precision, "num_epochs": epochs, "seed": seed}
        selfcure.train(folder, out=run, method="plain", resume=run.exists(), **settings)
    engine, images, logits = open_engine(run), data.split("train").images(), []
    rows = np.flatnonzero(~seen)
    for start in range(0, len(rows), BATCH):
        pixels = [read_upright(file) for file in images.read(rows[start : start + BATCH])]
        logits.append(engine.run(prepare(pixels, engine.info)).logits)
    return softmax(np.concatenate(logits))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--precision", default=SETTINGS["precision"])
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    data = Dataset(args.dataset)
    train = data.split("train")
    if (train.true_labels < 0).any():
        raise SystemExit(f"{args.dataset} does not know all true labels")
    probs = np.zeros((len(train), len(data.class_names)))
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    for fold, (_, rows) in enumerate(folds.split(train.labels, train.labels)):
        seen = np.ones(len(train), dtype=bool)
        seen[rows] = False
        probs[rows] = held_out(data, seen, args.work / f"fold{fold}", args.epochs, args.seed, args.precision)
        print(
            f"fold {fold}: {(probs[rows].argmax(1) == train.true_labels[rows]).mean():.1%} right", flush=True
        )
    found = selfcure.detect(train.labels, probs)
    wrong = train.labels != train.true_labels
    print("| score | AUROC |\n| --- | --: |")
    for name, text in SCORES.items():
        print(f"| {text} | {roc_auc_score(wrong, -getattr(found, name)):.3f} |")


if __name__ == "__main__":
    main()
