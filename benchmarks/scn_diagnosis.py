"""What SCN's importance α knows, and what its relabelling does, read off finished runs on FERPlus.

python benchmarks/scn_diagnosis.py DATA RUN…

DATA is a dataset folder with the runs' training images, their true labels and the crowd's votes; each RUN needs its last
epoch's evidence and its label changes. Two tables. Importance, over all training images in the last epoch:

wrong label    AUROC of 1 − α for the given labels that differ from the true ones (0.5: it knows nothing of them)
misread        AUROC of 1 − α for the images whose prediction differs from the true label
crowd          Spearman's correlation of α with the share of the crowd's votes for its first choice (0: none)
classes        share of α's variance that lies between the predicted classes

Relabelling, in its first epoch and over all of them, label changes back included:

accuracy       of the predictions in training that epoch, against the true labels
changes        labels that got another class
repair         share of them that turned a wrong label right
break          share of them that turned a right label wrong
largest class  share of all labels that bear the most frequent one
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
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


def importance(run: RunFolder, share: dict[str, float], truth: dict[str, int]) -> dict[str, str]:
    samples = run.samples()
    ids, given = samples["id"].to_pylist(), samples["original"].to_numpy()
    evidence = run.evidence(run.metrics()[-1]["epoch"])
    alpha, prediction = evidence["importance"].to_numpy(), evidence["prediction"].to_numpy()
    true = np.array([truth[name] for name in ids])
    crowd = np.array([share[name] for name in ids])
    wrong, misread = given != true, prediction != true
    means = {label: alpha[prediction == label].mean() for label in np.unique(prediction)}
    between = np.var([means[label] for label in prediction])
    return {
        "α": f"{alpha.mean():.2f} ± {alpha.std():.2f}",
        "wrong label": f"{roc_auc_score(wrong, 1 - alpha):.3f}" if wrong.any() else "–",
        "misread": f"{roc_auc_score(misread, 1 - alpha):.3f}",
        "crowd": f"{spearmanr(alpha, crowd).statistic:.2f}",
        "classes": f"{between / alpha.var():.2f}" if alpha.var() else "–",
    }


def relabelling(run: RunFolder, truth: dict[str, int]) -> dict[str, dict[str, str]]:
    samples, changes = run.samples(), run.changes()
    ids = samples["id"].to_pylist()
    true = np.array([truth[name] for name in ids])
    labels = samples["original"].to_numpy().copy()
    accuracy = {record["epoch"]: record["accuracy_true"] for record in run.metrics()}
    rows: dict[str, dict[str, str]] = {}
    if len(changes) == 0:
        return rows
    first = pc.min(changes["epoch"]).as_py()
    for name, some in (("first", changes.filter(pc.equal(changes["epoch"], first))), ("all", changes)):
        at = some["row"].to_numpy()
        before, after = some["from"].to_numpy() == true[at], some["to"].to_numpy() == true[at]
        labels[at] = some["to"].to_numpy()  # in the order of the epochs: the last holds
        rows[f"epoch {first}" if name == "first" else "all epochs"] = {
            "accuracy": f"{100 * accuracy[first if name == 'first' else max(accuracy)]:.1f} %",
            "changes": f"{len(some):,}",
            "repair": f"{100 * np.mean(~before & after):.1f} %",
            "break": f"{100 * np.mean(before & ~after):.1f} %",
            "largest class": f"{100 * np.bincount(labels).max() / len(labels):.1f} %",
        }
    return rows


def table(heads: list[str], rows: list[list[str]]) -> None:
    print("|", " | ".join(heads), "|")
    print("| --- |", " | ".join("--:" for _ in heads[1:]), "|")
    for row in rows:
        print("|", " | ".join(row), "|")
    print()


def main(dataset: Path, paths: list[Path]) -> None:
    share, truth = votes_of(dataset)
    # A cell's run is called "run"; its own folder has the name.
    runs = {path.parent.name if path.name == "run" else path.name: RunFolder(path) for path in paths}
    known = {name: importance(run, share, truth) for name, run in runs.items()}
    table(["run", *next(iter(known.values()))], [[name, *values.values()] for name, values in known.items()])
    rows = [
        [name, when, *values.values()]
        for name, run in runs.items()
        for when, values in relabelling(run, truth).items()
    ]
    table(["run", "when", "accuracy", "changes", "repair", "break", "largest class"], rows)
    counts = np.bincount(list(truth.values()))
    print(f"largest class of the true labels: {100 * counts.max() / counts.sum():.1f} %")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
