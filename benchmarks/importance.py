"""What SCN's importance α knows, read off finished runs on FERPlus: of the label, of the prediction, of the crowd.

python benchmarks/importance.py DATA RUN…

DATA is a dataset folder with the runs' training images, their true labels and the crowd's votes; each RUN needs its last
epoch's evidence. For every run, of all training images with α in the last epoch:

wrong label    AUROC of 1 − α for the given labels that differ from the true ones (0.5: it knows nothing of them)
misread        AUROC of 1 − α for the images whose prediction differs from the true label
crowd          Spearman's correlation of α with the share of the crowd's votes for its first choice (0: none)
classes        share of α's variance that lies between the predicted classes
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

import selfcure
from selfcure.runs import RunFolder


def votes_of(dataset: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Id → share of the votes for the first choice, and true label."""
    train = selfcure.Dataset(dataset).split("train")
    names = [name for name in train.extra_columns if name.startswith("votes_")]
    votes = np.stack([train.column(name).to_numpy() for name in names], axis=1).astype(float)  # [N, votes]
    ids = train.ids.tolist()
    share = votes.max(axis=1) / votes.sum(axis=1)
    return dict(zip(ids, share, strict=True)), dict(zip(ids, train.true_labels.tolist(), strict=True))


def figures(run: RunFolder, share: dict[str, float], truth: dict[str, int]) -> dict[str, float]:
    samples, record = run.samples(), run.metrics()[-1]
    ids, given = samples["id"].to_pylist(), samples["original"].to_numpy()
    evidence = run.evidence(record["epoch"])
    alpha, prediction = evidence["importance"].to_numpy(), evidence["prediction"].to_numpy()
    true = np.array([truth[name] for name in ids])
    crowd = np.array([share[name] for name in ids])
    wrong, misread = given != true, prediction != true
    means = {label: alpha[prediction == label].mean() for label in np.unique(prediction)}
    between = np.var([means[label] for label in prediction])
    return {
        "α": alpha.mean(),
        "spread": alpha.std(),
        "wrong label": roc_auc_score(wrong, 1 - alpha) if wrong.any() else float("nan"),
        "misread": roc_auc_score(misread, 1 - alpha),
        "crowd": spearmanr(alpha, crowd).statistic,
        "classes": between / alpha.var() if alpha.var() else float("nan"),
    }


def main(dataset: Path, runs: list[Path]) -> None:
    share, truth = votes_of(dataset)
    rows = {}
    for path in runs:
        # A cell's run is called "run"; its own folder has the name.
        rows[path.parent.name if path.name == "run" else path.name] = figures(RunFolder(path), share, truth)
    heads = list(next(iter(rows.values())))
    print("| run |", " | ".join(heads), "|")
    print("| --- |", " | ".join("--:" for _ in heads), "|")
    for name, row in rows.items():
        print(f"| {name} |", " | ".join(f"{value:.3f}" for value in row.values()), "|")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
