"""Training and evaluation as one call each."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from selfcure import metrics
from selfcure.backbones import build_backbone, check_image_size, load_weights
from selfcure.backbones.checkpointing import checkpoint_activations
from selfcure.data.folder import Dataset, Split
from selfcure.data.images import ImageStore, available_memory
from selfcure.data.vocabulary import listed
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS, Method
from selfcure.runs import RunFolder
from selfcure.training.checkpoint import load_tensors
from selfcure.training.config import ResolvedConfig, TrainConfig, resolve
from selfcure.training.document import check_dataset, check_settings, clips_used, run_document
from selfcure.training.engine import Engine
from selfcure.training.inference import predict
from selfcure.training.memory import choose_micro_batch
from selfcure.training.network import Network
from selfcure.training.reporter import Reporter
from selfcure.training.seeding import derive_seed, torch_seed
from selfcure.training.workers import Workers, local_rank


def train(
    data: str | Path,
    *,
    out: str | Path,
    method: str | None = None,
    recipe: str | None = None,
    resume: bool = False,
    reporter: Reporter | None = None,
    **overrides: Any,
) -> RunFolder:
    """Train on the split ``train`` of a dataset folder; after every epoch measure on ``validation`` if it has one.

    Args:
        data: dataset folder.
        out: run folder to make, or with ``resume`` to go on with.
        method: name in METHODS, ``"scn"`` by default.
        recipe: ``"paper"`` (default), ``"reference"`` or ``"modern"``.
        resume: go on where the run folder stands. Settings come from there; those given again must agree.
        overrides: any field of :class:`~selfcure.training.config.TrainConfig` or of the method's settings.

    Raises:
        SelfcureError: any mistake in the arguments, the dataset or the run folder.
        Interrupted: asked to stop (Ctrl-C, SIGTERM); saved, to be resumed.
    """
    with Workers() as workers:
        dataset = Dataset(data)
        split = dataset.split("train")
        run = RunFolder(out) if resume else None
        if run:
            config = ResolvedConfig.from_dict(run.document["config"])
            check_settings(run, config, {"method": method, "recipe": recipe, **overrides})
            check_dataset(run, dataset, split, config.train)
            if run.finished:
                return run
        else:
            config = resolve(method or "scn", recipe or "paper", **overrides)
        _check_possible(config.train, dataset, split, workers)
        quiet = reporter if reporter and workers.leads else Reporter()
        return _train(dataset, split, config, run or Path(out), quiet, workers)


def _train(
    dataset: Dataset,
    split: Split,
    config: ResolvedConfig,
    folder: RunFolder | Path,
    reporter: Reporter,
    workers: Workers,
) -> RunFolder:
    """Train into a new folder at a path, or go on in one that there is."""
    device = pick_device(config.train.device)
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    trained = build_method(config, len(dataset.class_names))
    check_image_size(trained.backbone, config.train.image_size_px)
    if config.train.activation_checkpointing:
        for backbone in trained.backbones:
            checkpoint_activations(backbone)
    loaded = None
    # A run killed before its first checkpoint starts from these weights again.
    if config.train.weights and not (isinstance(folder, RunFolder) and folder.checkpoint.exists()):
        for backbone in trained.backbones:
            loaded = load_weights(backbone, config.train.weights, min_share=config.train.min_weights_share)
    if isinstance(folder, RunFolder):
        run = folder
    else:
        config = _with_micro_batch(config, trained, device, workers)
        document = run_document(config, dataset, split, device, workers)
        if loaded:
            document["weights"] = str(loaded)
        workers.led(lambda: RunFolder.create(folder, document, split.ids, split.labels) and None)
        run = RunFolder(folder)
    validation = dataset.split("validation") if "validation" in dataset.splits else None

    def images_of(split: Split) -> ImageStore:
        grey = run.document["dataset"].get("grey", False)  # of a few coloured images among grey ones, too
        return load_images(split, config.train, reporter, device, num_local=workers.num_local, grey=grey)

    engine = Engine(
        config.train,
        trained,
        split=split,
        images=images_of(split),
        validation=(validation, images_of(validation)) if validation else None,
        run=run,
        device=device,
        workers=workers,
        reporter=reporter,
    )
    engine.load()
    reporter.started(
        first_epoch=engine.epoch,
        num_epochs=config.train.num_epochs,
        samples_per_epoch=engine.samples_per_epoch,
        notes=_notes(config, dataset, run, engine),
    )
    engine.fit()
    return run


def _check_possible(config: TrainConfig, dataset: Dataset, split: Split, workers: Workers) -> None:
    """What a configuration asks of this dataset and this machine (a run may be read on a smaller one)."""
    if len(split.labels) < 2 or len(dataset.class_names) < 2:
        raise SelfcureError(
            f"{dataset.path} has {len(split)} training samples and {len(dataset.class_names)} classes; "
            "training needs at least two of each"
        )
    if config.select == "validation" and "validation" not in dataset.splits:
        raise SelfcureError(f"select=validation needs a validation split; {dataset.path} has none")
    clips_used(config, split)  # refused before there is a run folder
    if config.num_threads > (most := 4 * (os.cpu_count() or 1)):
        raise SelfcureError(f"num_threads must be at most {most} on this machine, not {config.num_threads}")
    if min(config.batch_size, len(split)) < 2 * workers.size:
        raise SelfcureError(
            f"{workers.size} processes need batches of at least {2 * workers.size}; batch_size is {config.batch_size} "
            f"and {dataset.path} has {len(split)} training samples"
        )


def evaluate(
    run: str | Path | RunFolder,
    data: str | Path,
    *,
    split: str = "validation",
    device: str = "auto",
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measure a finished run on a split, against its given labels and, where known, the true ones.

    Probabilities are the softmax of the unweighted logits.

    Returns:
        Plain JSON: ``given`` and, where at least one true label is known, ``true``: each as
        :func:`selfcure.metrics.classification`.

    Raises:
        SelfcureError: no run, not finished, other classes, or no samples in the split.
    """
    run = run if isinstance(run, RunFolder) else RunFolder(run)
    dataset = Dataset(data)
    samples = dataset.split(split)
    if dataset.class_names != run.class_names:
        raise SelfcureError(
            f"{run.path} was trained on the classes {listed(run.class_names)}; "
            f"{dataset.path} has {listed(dataset.class_names)}"
        )
    trained, config = load_run(run)
    target = pick_device(device)
    grey = run.document["dataset"].get("grey", False)  # as the exported file does
    images = load_images(samples, config.train, reporter or Reporter(), target, grey=grey)
    network = Network(trained.module, config.train, target, may_compile=False)
    probs = predict(network, images)["logits"].softmax(dim=1).numpy()
    result = {
        "run": str(run.path),
        "data": str(dataset.path),
        "split": split,
        "method": config.method,
        "recipe": config.recipe,
        "class_names": list(run.class_names),
        "weights": f"epoch {config.train.num_epochs} (last)"
        if config.train.select == "last"
        else "best validation epoch",
        "given": metrics.classification(samples.labels, probs),
    }
    known = samples.true_labels >= 0
    if known.any():
        result["true"] = metrics.classification(samples.true_labels[known], probs[known])
    return result


def build_method(config: ResolvedConfig, num_classes: int) -> Method:
    """The method of ``config`` with weights drawn from its seed."""
    with torch_seed(derive_seed(config.train.seed, "weights")):
        method = METHODS[config.method]
        backbone, num_features = build_backbone(config.train.backbone)
        spare = [
            build_backbone(config.train.backbone)[0]
            for _ in range(method.num_spare_backbones(config.settings))
        ]
        more = {"spare": spare} if spare else {}
        return method(
            config.settings, backbone=backbone, num_features=num_features, num_classes=num_classes, **more
        )


def load_run(run: RunFolder) -> tuple[Method, ResolvedConfig]:
    """A finished run's method with its trained weights; every tensor must match.

    Raises:
        SelfcureError: the run is not finished, or its weights are not those of its configuration.
    """
    if not run.finished:
        raise SelfcureError(
            f"{run.path} is not finished: {len(run.metrics())} of {run.document['config']['num_epochs']} epochs; "
            "go on with 'selfcure train … --resume'"
        )
    config = ResolvedConfig.from_dict(run.document["config"])
    trained = build_method(config, len(run.class_names))
    groups, _ = load_tensors(run.model)
    try:
        trained.module.load_state_dict(groups.get("module", {}))
    except RuntimeError as error:
        raise SelfcureError(
            f"{run.model} does not hold the weights of {run.path}/config.json: {' '.join(str(error).split())}"
        ) from error
    return trained, config


def pick_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one.

    Raises:
        SelfcureError: the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise SelfcureError(f"device must be auto, cpu or cuda, not {name!r}")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SelfcureError("device cuda was asked for, but torch sees no GPU here; use --set device=cpu")
    index, num_gpus = local_rank(), torch.cuda.device_count()
    if index >= num_gpus:
        raise SelfcureError(
            f"process {index} of this machine finds no GPU of its own, there are {num_gpus}; start {num_gpus} processes, "
            "or use --set device=cpu"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _with_micro_batch(
    config: ResolvedConfig, method: Method, device: torch.device, workers: Workers
) -> ResolvedConfig:
    """``config`` with the size of the pieces settled: a resumed run must cut its batches alike."""
    train = config.train
    if train.micro_batch_size:
        return config
    size = workers.led(
        lambda: choose_micro_batch(
            method.module, train, device, num_processes=workers.size, num_local=workers.num_local
        )
    )
    return replace(config, train=replace(train, micro_batch_size=size))


def load_images(
    split: Split,
    config: TrainConfig,
    reporter: Reporter,
    device: torch.device,
    *,
    num_local: int = 1,
    grey: bool = False,
) -> ImageStore:
    """The split's images, decoded where they fit; ``num_local`` processes share this machine's memory.

    ``grey`` takes their colour out.
    """
    most = available_memory() / 2 if config.max_cache_gb is None else config.max_cache_gb * 1e9

    def progress(done: int, total: int) -> None:
        reporter.loading(split.name, done, total)

    store = ImageStore(
        split.images(),
        config.image_size_px,
        cache_bytes=int(most / num_local),
        grey=grey,
        progress=progress,
    )
    if device.type == "cuda":
        store.move_to(device, torch.cuda.mem_get_info(device)[0] // 8)
    return store


def _notes(config: ResolvedConfig, dataset: Dataset, run: RunFolder, engine: Engine) -> list[str]:
    num_parameters = sum(p.numel() for p in engine.method.module.parameters())
    start = "" if config.train.weights else " from scratch"
    notes = [
        f"{config.method} ({config.recipe}) · {config.train.backbone}, {num_parameters:,} parameters{start} · "
        f"{config.train.image_size_px} px · batch {config.train.batch_size} · seed {config.train.seed} · "
        f"{engine.device.type}",
        f"{len(engine.split):,} training images of {len(dataset.class_names)} classes"
        + ("" if engine.images.cached else ", decoded batch by batch (they do not fit in memory)")
        + (
            f", {dataset.splits['validation']:,} for validation"
            if engine.validation
            else ", no validation split"
        ),
    ]
    if engine.soft_labels is not None:
        num_soft = int((engine.soft_labels.max(dim=1).values < 1).sum())
        how = (
            ""
            if engine.method.uses_soft_labels
            else f", of which {config.method} uses the largest class only"
        )
        notes.append(f"{num_soft:,} soft labels{how}")
    if engine.clips is not None:
        sizes = engine.clips.bincount()
        drawn, none = config.train.frames_per_clip, engine.split.num_without_clip
        notes.append(
            f"{len(sizes):,} clips, {int((sizes == 1).sum()):,} of them of one frame"
            + (f" (frames without a clip: {none:,})" if none else "")
            + (f"; at most {drawn} frames of each in an epoch" if drawn else "")
            + ("; one label for each" if engine.together is not None else "")
        )
    if config.train.weights:
        notes.append(f"weights {config.train.weights}: {run.document['weights']}")
    part = -(-config.train.batch_size // engine.workers.size)
    if engine.workers.size > 1:
        ranked = "whole" if config.train.ranking == "global" else "by process"
        notes.append(
            f"{engine.workers.size} processes, each with {part} of a batch of {config.train.batch_size}, ranked {ranked}"
        )
    if config.train.micro_batch_size < part:
        notes.append(
            f"batches of {part} are computed in pieces of {config.train.micro_batch_size}, ranked whole"
        )
    threads = run.document["environment"]["num_threads"]
    if threads != torch.get_num_threads() and engine.device.type == "cpu":
        notes.append(
            f"{torch.get_num_threads()} threads now, {threads} before: the last bits may differ from an uninterrupted run"
        )
    return notes
