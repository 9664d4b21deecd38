"""The review desk on 300,000 faces, and what a reviewer who knows the truth settles with it. Prints tables.

    uv run python benchmarks/review.py large --work runs/review_large
    uv run python benchmarks/review.py simulated RUN [--probs out_of_fold.npy] [--num 5000]

``large`` makes a dataset folder and a run folder of that size (images are 2,000 different ones over and over, the run's
evidence is drawn at random), serves them as ``selfcure review`` does, and measures from outside: the page in a real
Chromium, the answers to filters over HTTP, the frames of a scroll, and the server's memory (resident, as Linux counts
it).

``simulated`` takes a run on a dataset folder whose truth is known. A reviewer goes through a queue from its top and gives
every face its true label. "Settled" are faces whose given label was wrong. The queue of the review desk is beside
cleanlab's rankings of probabilities (those of the trained network, or of ``--probs``, [N, K] out of fold) and a random
order. The decisions of the desk's queue are made on a real desk, on a copy of the run. How many wrong labels the desk
expects among the rest is printed beside how many there are; with and without 100 faces decided in random order first.
"""

import argparse
import io
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

NUM_CLASSES, NUM_EPOCHS, SHARD, NUM_IMAGES = 8, 12, 4096, 2000
PAGE = {"X-Selfcure": "review", "Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    large_parser = commands.add_parser("large")
    large_parser.add_argument(
        "--work", type=Path, required=True, help="folder for the data; a second run finds it there"
    )
    large_parser.add_argument("--rows", type=int, default=300_000)
    simulated_parser = commands.add_parser("simulated")
    simulated_parser.add_argument("run", type=Path)
    simulated_parser.add_argument("--data", type=Path, help="the dataset folder, if it was moved")
    simulated_parser.add_argument("--probs", type=Path, help=".npy [N, K] of the training split")
    simulated_parser.add_argument("--num", type=int, default=5000, help="decisions")
    arguments = parser.parse_args()
    if arguments.command == "large":
        large(arguments.work, arguments.rows)
    else:
        simulated(arguments.run, arguments.data, arguments.probs, arguments.num)


# 300,000 faces


def large(work: Path, num: int) -> None:
    if not (work / "data").exists():
        make_data(work / "data", num)
    if not (work / "run").exists():
        make_run(work / "run", work / "data")
    (work / "run" / "review.sqlite").unlink(missing_ok=True)
    rows: list[tuple[str, str]] = []
    start = time.perf_counter()
    command = [sys.executable, "-m", "selfcure", "review", str(work / "run"), "--port", "0", "--no-browser"]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        assert server.stdout is not None
        link = server.stdout.readline().strip()
        rows.append(("server ready, from the command on", f"{time.perf_counter() - start:.1f} s"))
        urllib.request.urlopen(f"{link}thumbnail/{version(link)}/0").read()
        rows.append(("first thumbnail, from the command on", f"{time.perf_counter() - start:.1f} s"))
        rows.append(("server's memory", f"{resident_mb(server.pid):,.0f} MB"))
        rows += filters(link)
        rows.append(("server's memory after the filters", f"{resident_mb(server.pid):,.0f} MB"))
        rows += in_browser(link)
        rows.append(("server's memory after the browser", f"{resident_mb(server.pid):,.0f} MB"))
        rows += thumbnails(link, num)
        rows.append(("server's memory after 20,000 thumbnails", f"{resident_mb(server.pid):,.0f} MB"))
        rows += deciding(link)
    finally:
        server.terminate()
        server.wait()
    print("| what | measured |\n| --- | --- |")
    for what, measured in rows:
        print(f"| {what} | {measured} |")


def make_data(out: Path, num: int) -> None:
    """A dataset folder of small JPEGs."""
    import pyarrow as pa
    from PIL import Image

    from selfcure.data.folder_writer import FolderWriter
    from selfcure.data.synthetic import CLASS_NAMES, synthesize

    faces = synthesize(NUM_IMAGES, size_px=64, seed=0)
    encoded = []
    for pixels in faces.images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "jpeg", quality=85)
        encoded.append(buffer.getvalue())
    num_shards = -(-num // SHARD)
    extra = [pa.field("keyword", pa.string())]
    writer = FolderWriter(
        out, class_names=CLASS_NAMES, plan={"num": num}, num_shards={"train": num_shards}, extra=extra
    )
    for index in range(num_shards):
        rows = range(index * SHARD, min((index + 1) * SHARD, num))
        if not writer.has("train", index):
            which = [row % NUM_IMAGES for row in rows]
            table = pa.table(
                {
                    "image": [
                        {"bytes": encoded[k], "path": f"{row}.jpg"}
                        for row, k in zip(rows, which, strict=True)
                    ],
                    "id": [f"face-{row:06d}" for row in rows],
                    "label": pa.array(faces.given_labels[which]),
                    "true_label": pa.array(faces.true_labels[which]),
                    "keyword": [f"keyword {row % 50}" for row in rows],
                }
            )
            writer.write("train", index, table)
    writer.finish({"layout": "synthetic", "source": "benchmarks/review.py"})


def make_run(out: Path, data: Path) -> None:
    """A run folder with random evidence that knows a little of the truth."""
    import torch

    from selfcure.core import LabelBook
    from selfcure.data.folder import Dataset
    from selfcure.runs import RunFolder

    split = Dataset(data).split("train")
    num, rng = len(split), np.random.default_rng(0)
    document = {
        "class_names": list(split.dataset.class_names),
        "config": {"num_epochs": NUM_EPOCHS},
        "dataset": {"path": str(data.absolute()), "split": "train", "fingerprint": split.fingerprint()},
    }
    run = RunFolder.create(out, document, split.ids, split.labels)
    book = LabelBook(torch.from_numpy(split.labels))
    wrong = split.labels != split.true_labels
    for epoch in range(1, NUM_EPOCHS + 1):
        right = rng.random(num) < 0.7
        prediction = np.where(right, split.true_labels, rng.integers(0, NUM_CLASSES, num)).astype(np.int32)
        evidence = {
            "prediction": prediction,
            "confidence": rng.uniform(0.3, 1, num).astype(np.float32),
            "original_prob": np.where(wrong, rng.beta(1, 4, num), rng.beta(3, 2, num)).astype(np.float32),
            "importance": rng.beta(5, 2, num).astype(np.float32),
        }
        run.write_epoch({"epoch": epoch}, evidence, book.close_epoch(epoch), split.ids)


def filters(link: str) -> list[tuple[str, str]]:
    """Seconds of one filter after another, answer and first page of cards included."""
    asked: list[dict[str, Any]] = [
        {"sort": sort, "state": "all"}
        for sort in (
            "suspicion",
            "importance",
            "ambiguity",
            "loss",
            "class",
            "changed",
            "random",
            "recent",
            "order",
        )
    ]
    asked += [{"given": k, "differs": True} for k in range(NUM_CLASSES)]
    asked += [{"suggested": k, "source": 7, "sort": "loss"} for k in range(NUM_CLASSES)]
    asked += [{"text": text} for text in ("1234", "FACE-29", "nothing at all")]
    asked += [
        {"state": state, "reviewer": "ann"}
        for state in ("open", "mine_open", "decided", "disputed", "skipped")
    ]
    times: dict[str, list[float]] = {"first time": [], "again": []}
    for name in times:
        for query in asked:
            start = time.perf_counter()
            found = post(link, "api/query", {**query})
            get(link, f"api/query/{found['query']}?start=0&stop={min(120, found['num_rows'])}")
            times[name].append(1000 * (time.perf_counter() - start))
    return [
        (
            f"{len(asked)} filters and orders with their first 120 cards, {name}",
            f"median {statistics.median(ms):.0f} ms, slowest {max(ms):.0f} ms",
        )
        for name, ms in times.items()
    ]


def thumbnails(link: str, num: int) -> list[tuple[str, str]]:
    rng, where = np.random.default_rng(1), version(link)
    start = time.perf_counter()
    for row in rng.integers(0, num, 20_000).tolist():
        urllib.request.urlopen(f"{link}thumbnail/{where}/{row}").read()
    return [
        (
            "a thumbnail at random, one after another",
            f"{1000 * (time.perf_counter() - start) / 20_000:.1f} ms",
        )
    ]


def deciding(link: str) -> list[tuple[str, str]]:
    times = []
    found = post(link, "api/query", {})
    for number in range(200):
        body = {"query": found["query"], "start": number, "reviewer": "ann"}
        row = post(link, "api/next", body)["sample"]["row"]
        start = time.perf_counter()
        post(
            link,
            "api/decide",
            {"action": f"action-{number}", "reviewer": "ann", "rows": [row], "kind": "keep"},
        )
        times.append(1000 * (time.perf_counter() - start))
    return [("a decision, saved", f"median {statistics.median(times):.0f} ms, slowest {max(times):.0f} ms")]


def in_browser(link: str) -> list[tuple[str, str]]:
    """The page as Chromium sees it: opening both views, and the frames of a long scroll."""
    from playwright.sync_api import sync_playwright

    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for view, ready in (("one", ".face"), ("grid", ".card img")):
            seconds = []
            for _ in range(5):
                context = browser.new_context(viewport={"width": 1366, "height": 768})
                context.add_init_script("localStorage.setItem('selfcure-reviewer', 'ann')")
                page = context.new_page()
                start = time.perf_counter()
                page.goto(f"{link}#view={view}")
                page.wait_for_function(
                    "(selector) => [...document.querySelectorAll(selector)].some((image) => image.complete && image.naturalWidth)",
                    arg=ready,
                )
                seconds.append(time.perf_counter() - start)
                if view == "grid" and len(seconds) == 5:
                    rows.append(scroll(page))
                context.close()
            rows.insert(
                len(rows) - (view == "grid"),
                (
                    f"page open, {view}, first face drawn",
                    f"median {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s",
                ),
            )
        browser.close()
    return rows


def scroll(page: Any) -> tuple[str, str]:
    frames = page.evaluate(
        """() => new Promise((done) => {
          const box = document.querySelector(".cards"), times = [];
          let last = performance.now();
          const step = (now) => {
            times.push(now - last); last = now; box.scrollTop += 120;
            times.length < 300 ? requestAnimationFrame(step) : done(times.slice(5));
          };
          requestAnimationFrame(step);
        })"""
    )
    cards = page.locator(".card").count()
    frames.sort()
    return (
        f"300 frames of scrolling 120 px each ({cards} cards are elements)",
        f"median {statistics.median(frames):.0f} ms, 95 % within {frames[int(0.95 * len(frames))]:.0f} ms",
    )


def post(link: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(link + path, json.dumps(body).encode(), PAGE)
    return json.load(urllib.request.urlopen(request))


def get(link: str, path: str) -> Any:
    return json.load(urllib.request.urlopen(link + path))


def version(link: str) -> str:
    return str(get(link, "api/about")["version"])


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1000


# A reviewer who knows the truth


def simulated(path: Path, data: Path | None, probs_file: Path | None, num: int) -> None:
    import selfcure
    from selfcure.review.outputs import load_prepared, prepare
    from selfcure.review.samples import open_data

    run = selfcure.RunFolder(path)
    dataset = open_data(run, data)
    split = dataset.split("train")
    known = split.true_labels >= 0
    wrong = known & (split.labels != split.true_labels)
    num = min(num, len(split))
    if probs_file is None:
        prepared = load_prepared(run, dataset)
        with tempfile.TemporaryDirectory() as folder:
            copy = selfcure.RunFolder(copied(path, folder))
            probs = np.array((prepared or prepare(copy, dataset)).probs[: len(split)], np.float64)
        whose = "the trained network's probabilities"
    else:
        probs, whose = np.load(probs_file), f"{probs_file.name}"
    probs /= probs.sum(axis=1, keepdims=True)
    orders = {"review desk": desk_order(path, data, num), **cleanlab_orders(split.labels, probs)}
    print(
        f"{path.name}: {len(split):,} faces, {wrong.sum():,} wrong labels ({100 * wrong.mean():.1f} %); cleanlab on {whose}\n"
    )
    stops = [n for n in (1000, 2000, 5000, 10_000, 20_000) if n <= num]
    header = [f"wrong labels among the first {n:,}" for n in stops] + ["settled per 1,000 decisions"]
    print("| queue | " + " | ".join(header) + " |\n| --- |" + " --- |" * len(header))
    for name, order in orders.items():
        found = [int(wrong[order[:n]].sum()) for n in stops]
        print(
            f"| {name} | " + " | ".join(f"{n:,}" for n in found) + f" | {1000 * found[-1] / stops[-1]:.0f} |"
        )
    rate = wrong.mean()
    chance = [f"{rate * n:,.0f}" for n in stops]
    print("| random order (expected) | " + " | ".join(chance) + f" | {1000 * rate:.0f} |\n")
    print(
        "| decisions | wrong labels left | expected, queue alone | expected, 100 at random first |\n| --- | --- | --- | --- |"
    )
    alone, audited = (reckoning(path, data, orders["review desk"], first, stops) for first in (0, 100))
    for (n, left, one), (_, left_audited, other) in zip(alone, audited, strict=True):
        print(f"| {n:,} | {left:,} ({left_audited:,} with the 100) | {one} | {other} |")


def copied(run: Path, folder: str) -> Path:
    """A run that nobody has reviewed."""
    return Path(shutil.copytree(run, Path(folder) / "run", ignore=shutil.ignore_patterns("review.sqlite*")))


def desk_order(path: Path, data: Path | None, num: int) -> np.ndarray:
    """The queue as the page gets it."""
    import selfcure
    from selfcure.review.desk import Desk
    from selfcure.review.queue import Query

    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(selfcure.RunFolder(copied(path, folder)), data)
        rows = desk.rows(desk.query(Query(split="train"))[0])
        desk.close()
    return rows


def reckoning(
    path: Path, data: Path | None, order: np.ndarray, num_random: int, stops: list[int]
) -> list[tuple[int, int, str]]:
    """(decisions, wrong labels left, what the desk expects), deciding on a real desk."""
    import selfcure
    from selfcure.review.desk import Desk
    from selfcure.review.queue import Query

    result = []
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(selfcure.RunFolder(copied(path, folder)), data)
        split = desk.dataset.split("train")
        wrong = (split.true_labels >= 0) & (split.labels != split.true_labels)
        random = desk.rows(desk.query(Query(split="train", sort="random"))[0])[:num_random]
        queue = list(dict.fromkeys([*random.tolist(), *order.tolist()]))
        done = 0
        for stop in stops:
            for row in queue[done : stop + num_random]:
                if split.true_labels[row] >= 0:
                    desk.decide(
                        action=f"action-{row}",
                        reviewer="truth",
                        rows=[row],
                        kind="choose",
                        weights={int(split.true_labels[row]): 1},
                    )
            done = stop + num_random
            told = desk.expected_wrong()
            assert told is not None
            text = f"{told['guess']:,.0f} ({told['low']:,.0f} to {told['high']:,.0f})"
            result.append((stop, int(wrong[queue[done:]].sum()), text))
        desk.close()
    return result


def cleanlab_orders(labels: np.ndarray, probs: np.ndarray) -> dict[str, np.ndarray]:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    orders = {
        f"cleanlab, {method.replace('_', ' ')}": get_label_quality_scores(
            labels, probs, method=method
        ).argsort(kind="stable")
        for method in ("self_confidence", "normalized_margin")
    }
    # Confident learning's issues first, by their margin, then all others by it.
    quality = get_label_quality_scores(labels, probs, method="normalized_margin")
    issues = find_label_issues(labels, probs, n_jobs=1)
    orders["cleanlab, confident learning"] = np.lexsort((quality, ~issues))
    return orders


if __name__ == "__main__":
    main()
