"""A million rows: seconds and memory of everything that is done with a whole dataset folder. Prints a table.

    uv run python benchmarks/large_set.py --work runs/large_set

The bound, for N = 1,000,000 rows, K classes and E epochs: what has to be held at once.

- opening: given labels, 8 N = 8 MB. Nothing else is read before it is asked for.
- ids, as Python's text: N · (8 + 49 + length) = 90 MB, and 36 MB while they are read; their fingerprint needs these
  36 MB, and of a shard at a time Python's.
- images: where each lies in its file, 16 N = 16 MB, and the batch; never the images themselves.
- an epoch's order: 8 N, and 8 N while it is drawn.
- label book: 12 N = 12 MB, 16 bytes a decision noted, and at the end of an epoch a few columns of the decisions.
- evidence of an epoch (prediction, confidence, two scores): 16 N = 16 MB; one row group more while it is written.
- label table: ids, three labels of 4 N, three scores of 4 N: 24 N + ids = 60 MB; votes are counted for some rows at a
  time, in some 100 MB, however many epochs and classes there are.
- noise, sample, split, join: labels of parent and child, ids, and a row group of images.

So all of it is far below the bounds asked for: opening in 3 s and 500 MB, everything else within 1 GB, the interpreter
and its libraries (torch alone some 500 MB) included. Each stage runs in a fresh process. "before" is its memory after
the imports, "peak" its largest at all, both resident, as Linux counts them (VmHWM); seconds are without the imports, and
beside them those that the processors worked for it, since other work may run on the machine.
"""

import argparse
import importlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

NUM_CLASSES, SHARD, BATCH, NUM_EPOCHS, NUM_CHANGES, NUM_BATCHES = 8, 2048, 1024, 3, 100_000, 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the data; a second run finds it there"
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=NUM_CLASSES)
    parser.add_argument(
        "--image-bytes", type=int, default=0, help="make the images as large, with random bytes at their ends"
    )
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this one; by default all")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments)))
        return
    if not (arguments.work / "data").exists():
        run("build", arguments)
    data = sum(f.stat().st_size for f in (arguments.work / "data").iterdir())
    print(
        f"{arguments.rows:,} rows, {arguments.classes:,} classes, {data / 1e6:,.0f} MB; Python {platform.python_version()}, "
        f"{os.cpu_count()} cores, {platform.machine()}\n"
    )
    print("| stage | imports s | seconds | CPU s | before MB | peak MB | what |\n| --- |" + " --- |" * 6)
    for stage in arguments.stage or [stage for stage in STAGES if stage != "build"]:
        result = run(stage, arguments)
        times = [f"{result[name]:.1f}" for name in ("imports", "seconds", "cpu")]
        memory = [f"{result[name]:.0f}" for name in ("before", "peak")]
        print("|", " | ".join([stage, *times, *memory, result["what"]]), "|", flush=True)


def run(stage: str, arguments: argparse.Namespace) -> dict:
    """One stage in a process of its own."""
    names = ("work", "rows", "classes", "image_bytes")
    options = {name.replace("_", "-"): getattr(arguments, name) for name in names} | {"stage": stage}
    command = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, __file__, "--child", *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def measure(arguments: argparse.Namespace) -> dict:
    """Seconds of one stage, and memory before it and at most, in this process."""
    modules, action = STAGES[arguments.stage[0]]
    importing = time.perf_counter()
    for name in modules:
        importlib.import_module(f"selfcure.{name}")
    importlib.import_module("pyarrow").array(
        [0]
    )  # with its first array Arrow imports pandas, where that is installed
    arguments.work.mkdir(parents=True, exist_ok=True)
    before, start, start_cpu = peak_mb(), time.perf_counter(), time.process_time()
    what = action(arguments)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    memory = {"before": before, "peak": peak_mb()}
    return {"imports": start - importing, "seconds": seconds, "cpu": cpu_seconds, **memory, "what": what}


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB (of a million bytes)."""
    with open("/proc/self/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmHWM"].split()[0]) * 1024 / 1e6


def build(case: argparse.Namespace) -> str:
    """The folder: 256 pictures again and again, ids of 32 letters, every fifth label wrong."""
    import pyarrow as pa

    from selfcure.data.folder_writer import FolderWriter

    pictures = [picture(seed, case.image_bytes) for seed in range(256)]
    num_shards = -(-case.rows // SHARD)
    writer = FolderWriter(
        case.work / "data",
        class_names=[f"class {k}" for k in range(case.classes)],
        plan={"rows": case.rows, "image_bytes": case.image_bytes},
        num_shards={"train": num_shards},
    )
    rng = np.random.default_rng(0)
    true = rng.integers(0, case.classes, case.rows)
    labels = np.where(rng.random(case.rows) < 0.2, (true + 1) % case.classes, true)
    for index in range(num_shards):
        part = range(index * SHARD, min((index + 1) * SHARD, case.rows))
        names = [f"person_{row % 70001:06d}/photo_{row:08d}.jpg" for row in part]
        images = [{"bytes": pictures[row % 256], "path": name} for row, name in zip(part, names, strict=True)]
        span = slice(part.start, part.stop)
        columns = {"image": images, "id": names, "label": labels[span], "true_label": true[span]}
        if not writer.has("train", index):
            writer.write("train", index, pa.table(columns))
    writer.finish({"layout": "made", "source": "benchmarks/large_set.py"})
    return f"{num_shards} shards of {SHARD} rows through FolderWriter"


def picture(seed: int, num_bytes: int) -> bytes:
    """A JPEG of 24 × 24 pixels, some 500 bytes, or more of which the rest is noise."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6), dtype=np.uint8)
    Image.fromarray(pixels).resize((24, 24), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
    data = buffer.getvalue()
    return data + np.random.default_rng(seed).bytes(max(0, num_bytes - len(data)))


def train_split(work: Path):
    from selfcure.data.folder import Dataset

    return Dataset(work / "data").split("train")


def open_folder(case: argparse.Namespace) -> str:
    split = train_split(case.work)
    assert len(split.labels) == case.rows
    return "`Dataset(folder).split('train').labels`"


def ids(case: argparse.Namespace) -> str:
    assert len(train_split(case.work).ids) == case.rows
    return "the same, and `.ids`"


def fingerprint(case: argparse.Namespace) -> str:
    return f"the same, and `.fingerprint()` = {train_split(case.work).fingerprint()}"


def images(case: argparse.Namespace) -> str:
    found = train_split(case.work).images()
    looked_up = time.perf_counter()
    rng = np.random.default_rng(0)
    for _ in range(NUM_BATCHES):
        assert all(data[:2] == b"\xff\xd8" for data in found.read(rng.integers(0, case.rows, BATCH)))
    each = (time.perf_counter() - looked_up) / NUM_BATCHES / BATCH
    return f"`.images()`, then {NUM_BATCHES} batches of {BATCH} at random, {each * 1e6:.0f} µs an image"


def order(case: argparse.Namespace) -> str:
    import torch

    from selfcure.training.sampling import epoch_order

    labels = torch.from_numpy(train_split(case.work).labels)
    for sampling in ("shuffle", "balanced"):
        drawn = epoch_order(labels, torch.Generator().manual_seed(0), sampling=sampling)
        assert len(drawn) == case.rows
    return "an epoch's order, shuffled and balanced"


def book(case: argparse.Namespace) -> str:
    """Three epochs as the engine keeps them, without the network."""
    import torch

    from selfcure.core import LabelBook
    from selfcure.runs import RunFolder

    split, rng, run = train_split(case.work), np.random.default_rng(1), case.work / "run"
    shutil.rmtree(run, ignore_errors=True)
    document = {"class_names": list(split.dataset.class_names), "config": {}, "dataset": {}}
    folder = RunFolder.create(run, document, split.ids, split.labels)
    labels = LabelBook(torch.from_numpy(split.labels))
    changes_per_batch = round(NUM_CHANGES / -(-case.rows // BATCH))
    for epoch in range(1, NUM_EPOCHS + 1):
        for batch in torch.randperm(case.rows, generator=torch.Generator().manual_seed(epoch)).split(BATCH):
            labels.note_importance(batch, torch.rand(len(batch)))
            some = batch[:changes_per_batch]
            labels.note_labels(some, (labels.current(some) + 1) % case.classes, torch.rand(len(some)))
        evidence = {
            "prediction": rng.integers(0, case.classes, case.rows, dtype=np.int32),
            "confidence": rng.random(case.rows, dtype=np.float32),
            "original_prob": rng.random(case.rows, dtype=np.float32),
            "importance": labels.importance.numpy(),
        }
        changes = labels.close_epoch(epoch)
        folder.write_epoch({"epoch": epoch}, evidence, changes, split.ids)
    return f"label book and run folder of {NUM_EPOCHS} epochs, {len(changes.ids):,} changes in the last"


def label_table(case: argparse.Namespace) -> str:
    from selfcure.labels import label_table

    assert len(label_table(case.work / "run")) == case.rows
    return f"`label_table(run)` of {NUM_EPOCHS} epochs"


def export(suffix: str) -> Callable[[argparse.Namespace], str]:
    def action(case: argparse.Namespace) -> str:
        from selfcure.labels import export_labels

        out = case.work / f"labels.{suffix}"
        export_labels(case.work / "run", out)
        return f"`export_labels(run, 'labels.{suffix}')`, {out.stat().st_size / 1e6:.0f} MB"

    return action


def info(case: argparse.Namespace) -> str:
    from selfcure.data.folder import Dataset
    from selfcure.data.info import describe

    assert describe(Dataset(case.work / "data"))["num_samples"] == case.rows
    return "`selfcure data info`"


def derived(name: str, **options: object) -> Callable[[argparse.Namespace], str]:
    """A new folder made of the first one, and deleted again."""

    def action(case: argparse.Namespace) -> str:
        import selfcure

        out = case.work / name
        sources = [case.work / "data"] * (2 if name == "join" else 1)
        chosen = {key: case.rows // 2 if value == "half" else value for key, value in options.items()}
        made = getattr(selfcure, {"noise": "add_noise"}.get(name, name))(*sources, out=out, **chosen)
        shutil.rmtree(out)
        return f"`selfcure data {name}`, {sum(made.splits.values()):,} rows written"

    return action


STAGES: dict[str, tuple[list[str], Callable[[argparse.Namespace], str]]] = {
    "build": (["data.folder"], build),
    "open": (["data.folder"], open_folder),
    "ids": (["data.folder"], ids),
    "fingerprint": (["data.folder"], fingerprint),
    "images": (["data.folder"], images),
    "order": (["data.folder", "training.sampling"], order),
    "book": (["data.folder", "core", "runs"], book),
    "label_table": (["labels"], label_table),
    "export_parquet": (["labels"], export("parquet")),
    "export_csv": (["labels"], export("csv")),
    "info": (["data.info"], info),
    "noise": (["data.noise"], derived("noise", rate=0.3)),
    "sample": (["data.sample"], derived("sample", num="half")),
    "split": (["data.split"], derived("split", validation=0.1)),
    "join": (["data.join"], derived("join", names=["a", "b"])),
}

if __name__ == "__main__":
    main()
