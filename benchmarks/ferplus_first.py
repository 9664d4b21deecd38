"""Plain and SCN from scratch on FERPlus at 48 px: the runs and the table of ferplus_first.md.

    uv run python benchmarks/ferplus_first.py path/to/ferplus.zip --work runs/ferplus_first

Goes on where it stopped; a finished cell is not computed again. Prints the table, which WORK/table.md
holds as far as it has got.
"""

import argparse
from pathlib import Path

import selfcure
from selfcure.cli.output import TrainingProgress, percent
from selfcure.data.sample import sample

NUM_IMAGES, NUM_EPOCHS, SEED = 8000, 12, 0
# The paper's 0.1 at batch 1024, by the linear rule; the reference recipe keeps its own batch of 64 and Adam at 1e-3.
SHORTENED = {"paper": {"batch_size": 128, "learning_rate": 0.0125}, "reference": {}}
# In this order, so that an early end leaves the most telling ones.
CELLS = [
    *(
        (rate, recipe, method)
        for rate in (0.3, 0.0)
        for recipe, method in (("paper", "plain"), ("paper", "scn"), ("reference", "scn"))
    ),
    *((rate, "reference", "plain") for rate in (0.3, 0.0)),
]
HEAD = "flips | recipe | method | accuracy | mean class | ECE | noise after | repaired | broken | AUROC mean p | AUROC α"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    work = arguments.work
    whole, part = work / "ferplus", work / f"ferplus-{NUM_IMAGES}"
    if not whole.exists():
        selfcure.import_dataset("ferplus", arguments.source, out=whole)
    if not part.exists():
        sample(whole, out=part, num=NUM_IMAGES, seed=SEED)
    lines: list[list[str]] = []
    for rate, recipe, method in CELLS:
        data = work / f"{part.name}-sym{round(rate * 100)}"
        if not data.exists():
            selfcure.add_noise(part, out=data, kind="symmetric", rate=rate, seed=SEED)
        out = work / f"{method}-{recipe}-sym{round(rate * 100)}"
        settings = {"image_size_px": 48, "num_epochs": NUM_EPOCHS, "seed": SEED, **SHORTENED[recipe]}
        with TrainingProgress(out.name) as progress:
            run = selfcure.train(
                data,
                out=out,
                method=method,
                recipe=recipe,
                resume=(out / "config.json").exists(),
                reporter=progress,
                **settings,
            )
        lines.append(row(rate, recipe, method, selfcure.evaluate(run, data), run.metrics()))
        table = [HEAD, " | ".join(["---"] * len(lines[0])), *(" | ".join(line) for line in sorted(lines))]
        (work / "table.md").write_text("".join(f"| {line} |\n" for line in table))
    print((work / "table.md").read_text())


def row(rate: float, recipe: str, method: str, result: dict, records: list[dict]) -> list[str]:
    """One line of the table: the last epoch's weights on the validation split, the cure on the training split."""
    given, last = result["given"], records[-1]
    cure, found = last["cure"], last["detection"]
    return [
        percent(rate),
        recipe,
        method,
        percent(given["accuracy"]),
        percent(given["mean_class_accuracy"]),
        f"{given['expected_calibration_error']:.3f}",
        percent(cure["noise_after"]),
        percent(cure["repaired"]),
        percent(cure["broken"]),
        *(
            f"{found[name]['auroc']:.3f}" if name in found else "–"
            for name in ("mean_given_prob", "importance")
        ),
    ]


if __name__ == "__main__":
    main()
