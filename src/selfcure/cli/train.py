"""``selfcure train`` and ``selfcure evaluate``."""

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from selfcure.cli.output import TrainingProgress, console, counting, errors, percent, print_json, table
from selfcure.errors import SelfcureError


def train(
    data: Path,
    /,
    *,
    out: Path,
    method: str | None = None,
    recipe: str | None = None,
    backbone: str | None = None,
    epochs: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Train on the split "train" of a dataset folder.

    Ctrl-C stops after the batch at hand and saves; --resume goes on, on a CPU bit for bit.

    Parameters
    ----------
    data
        Dataset folder, as 'selfcure data import' makes it.
    out
        Run folder to make, or with --resume to go on with.
    method
        How to train: plain, scn (default).
    recipe
        paper (default): as in the paper's text; reference: as in the authors' public code.
    backbone
        resnet18 (default), compact.
    epochs
        Passes over the data; the recipe's schedule is scaled to it.
    size
        Side of the images that the network sees, in pixels.
    seed
        Fixes weights, order and augmentation.
    device
        auto (default), cpu, cuda.
    set_
        field=value: set any other field of the recipe, e.g. --set batch_size=128 (repeatable). The run folder's
        config.json lists them all.
    resume
        Go on where the run folder stands. Settings come from there.
    json
        Print the last epoch's metrics as one JSON object.
    """
    from selfcure.training.api import train as call
    from selfcure.training.interrupt import Interrupted

    named: dict[str, Any] = {
        "backbone": backbone,
        "num_epochs": epochs,
        "image_size_px": size,
        "seed": seed,
        "device": device,
    }
    overrides = {**{k: v for k, v in named.items() if v is not None}, **_settings(set_ or [])}
    try:
        with TrainingProgress() as progress:
            run = call(
                data, out=out, method=method, recipe=recipe, resume=resume, reporter=progress, **overrides
            )
    except Interrupted as stop:
        again = shlex.join(["selfcure", "train", str(data), "--out", str(out), "--resume"])
        raise Interrupted(f"{stop}; go on with: {again}") from None
    record = run.metrics()[-1]
    if json:
        print_json({"run": str(run.path), **record})
        return
    errors.print(f"done: {run.path} (weights: {run.model.name})", soft_wrap=True)
    errors.print(
        f"next: selfcure evaluate {run.path} {data}  ·  selfcure labels export {run.path} --out labels.parquet",
        soft_wrap=True,
    )


def evaluate(
    run: Path,
    data: Path,
    /,
    *,
    split: str = "validation",
    device: str = "auto",
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Measure a finished run on a split of a dataset folder.

    Parameters
    ----------
    run
        Run folder.
    data
        Dataset folder with the same classes.
    split
        train, validation (default) or test.
    device
        auto (default), cpu, cuda.
    json
        Print one JSON object with everything, confusion matrix included.
    """
    from selfcure.training.api import evaluate as call
    from selfcure.training.reporter import Reporter

    with counting(f"evaluating on {split}") as progress:
        reporter = Reporter()
        reporter.loading = lambda split, done, total: progress(done, total)  # type: ignore[method-assign]
        result = call(run, data, split=split, device=device, reporter=reporter)
    if json:
        print_json(result)
        return
    targets = [name for name in ("given", "true") if name in result]
    summary = table(
        f"{split}, {result['given']['num_samples']:,} images", *(f"{name} labels" for name in targets)
    )
    for name, label in (
        ("accuracy", "accuracy"),
        ("mean_class_accuracy", "mean class accuracy"),
        ("expected_calibration_error", "calibration error"),
    ):
        summary.add_row(label, *(percent(result[t][name]) for t in targets))
    summary.add_row(
        "negative log-likelihood", *(f"{result[t]['negative_log_likelihood']:.3f}" for t in targets)
    )
    console.print(summary)
    console.print()
    target = targets[-1]
    names = result["class_names"]
    confusion = table(f"{target} label ↓  predicted →", *names, "accuracy")
    for name, row, share in zip(
        names, result[target]["confusion"], result[target]["class_accuracy"], strict=True
    ):
        confusion.add_row(name, *map(str, row), percent(share))
    console.print(confusion)
    console.print(f"\n{result['method']} ({result['recipe']}), weights of {result['weights']}", style="dim")


def _settings(pairs: list[str]) -> dict[str, str]:
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise SelfcureError(f"--set takes field=value, not {pair!r}")
        settings[name.strip()] = value.strip()
    return settings
