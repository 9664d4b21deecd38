"""``selfcure train`` and ``selfcure evaluate``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from selfcure.cli.mistakes import go_on_with
from selfcure.cli.output import Flag, console, counting, errors, print_json, print_table
from selfcure.cli.progress import TrainingProgress
from selfcure.cli.tables import classes, results, scores
from selfcure.errors import SelfcureError
from selfcure.models import is_packaged


def train(
    data: Path,
    /,
    *,
    out: Path,
    method: str | None = None,
    recipe: str | None = None,
    backbone: str | None = None,
    weights: Path | None = None,
    epochs: int | None = None,
    size: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    unit: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=(), metavar="FIELD=VALUE")] = None,
    resume: Flag = False,
    processes: int = 1,
    json: Flag = False,
) -> None:
    """Train on the split "train" of a dataset folder.

    Each epoch prints a row. given, true: share of the training images that the network takes for what their given,
    their true label says. α: importance, mean and spread. changed: labels changed. wrong: share of the labels that
    are wrong now. valid: accuracy on the split "validation". What is not known is left out.

    Ctrl-C stops after the batch at hand and saves; --resume goes on, on a CPU bit for bit.

    Parameters
    ----------
    data
        Dataset folder, as 'selfcure data import' makes it.
    out
        Run folder to make, or with --resume to go on with.
    method
        How to train: plain, scn (default), cure, curriculumnet, metacleaner, rul, eac, dmue, coteaching, elr,
        gce, label-smoothing, confident-learning.
    recipe
        paper (default): as in the paper's text; reference: as in the authors' public code; modern: ours, for few epochs from
        scratch.
    backbone
        The network: compact or small (for faces of about 48 pixels), ir50 or iresnet50 (face recognition's, for 112 or
        224 pixels), or any model of timm, such as resnet18 (default).
    weights
        Checkpoint file or run folder that the network starts from, or selfcure:ferplus, the model in the box, with
        --backbone small; fresh weights by default.
    epochs
        Passes over the data; the recipe's schedule is scaled to it. Default: paper and modern 40, reference 70.
    size
        Side of the images that the network sees, in pixels. Default: 224.
    seed
        Fixes weights, order and augmentation. Default: 0.
    device
        auto (default): the GPU if there is one; cpu; cuda.
    unit
        What a label is decided on for: sample (default), or clip: all frames of a clip get one label, for which they vote.
    set_
        Set any other field of the recipe, for instance --set batch_size=128; repeatable. The run folder's config.json
        lists them all.
    resume
        Go on where the run folder stands. Settings come from there.
    processes
        Share every batch among so many processes of this machine, one for each GPU, say. The result is that of one
        process but for rounding and batch norm. On several machines: torchrun … -m selfcure train ….
    json
        Print the last epoch's metrics as one JSON object.
    """
    from selfcure.training.launch import launch, launched

    if processes != 1 and not launched():
        raise SystemExit(launch([sys.executable, "-m", "selfcure", *sys.argv[1:]], processes))
    from selfcure.training.api import train as call
    from selfcure.training.workers import leads

    named = {
        "backbone": backbone,
        "weights": None if weights is None else str(weights),
        "num_epochs": epochs,
        "image_size_px": size,
        "seed": seed,
        "device": device,
        "unit": unit,
    }
    overrides = field_values({name: value for name, value in named.items() if value is not None}, set_ or [])
    again = ["selfcure", "train", str(data), "--out", str(out), "--resume"]
    if processes != 1:
        again += ["--processes", str(processes)]
    # A folder with its config.json is one that can be resumed.
    with go_on_with(again, begun=(out / "config.json").is_file), TrainingProgress() as progress:
        run = call(data, out=out, method=method, recipe=recipe, resume=resume, reporter=progress, **overrides)
    if not leads():
        return
    record = run.metrics()[-1]
    if json:
        print_json({"run": str(run.path), **record})
        return
    print_table(results({f"epoch {record['epoch']}": record}), str(run.path))
    errors.print("\nnext:")
    for command in (
        ["selfcure", "evaluate", str(out), str(data)],
        ["selfcure", "labels", "export", str(out), "--out", "labels.parquet"],
    ):
        errors.print(f"  {shlex.join(command)}", soft_wrap=True)


def evaluate(
    run: Path,
    data: Path,
    /,
    *,
    split: str = "validation",
    device: str = "auto",
    json: Flag = False,
) -> None:
    """Measure a finished run, or an exported file, on a split of a dataset folder.

    Parameters
    ----------
    run
        Run folder, exported .onnx file, or selfcure:ferplus, the model that comes with the installation.
    data
        Dataset folder with the same classes.
    split
        train, validation (default) or test.
    device
        auto (default), cpu, cuda.
    json
        Print one JSON object with everything, confusion matrix included.
    """
    if is_packaged(run) or run.suffix == ".onnx":
        from selfcure.predict.evaluating import evaluate_model

        with counting(f"evaluating on {split}") as count:
            result = evaluate_model(str(run), data, split=split, device=device, progress=count)
    else:
        from selfcure.training.api import evaluate as call

        with TrainingProgress(doing=f"evaluating on {split}") as progress:
            result = call(run, data, split=split, device=device, reporter=progress)
    if json:
        print_json(result)
        return
    print_table(scores(result, f"{split}, {result['given']['num_samples']:,} images"))
    target = "true" if "true" in result else "given"
    measured = result[target]
    console.print()
    print_table(classes(result["class_names"], measured, label=target, width=console.width))
    console.print(f"\n{result['method']} ({result['recipe']}), weights of {result['weights']}", style="dim")


def field_values(named: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    settings = dict(named)
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise SelfcureError(f"--set takes field=value, not {pair!r}")
        if name in settings:
            raise SelfcureError(f"{name} is set twice, to {settings[name]} and to {value}")
        settings[name] = value
    return settings
