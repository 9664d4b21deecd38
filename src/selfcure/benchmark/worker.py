"""A process that works on a benchmark's cells, one after the other: ``python -m selfcure.benchmark.worker``.

The plan comes as one line of JSON on stdin, which then stays open: where it closes the one who asked is gone, and the
worker stops as for a signal. Each settled cell is one line of JSON on stdout.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selfcure.benchmark.cells import Bench, Cell
from selfcure.benchmark.running import FAILED, Keep, run_cell, state
from selfcure.errors import SelfcureError
from selfcure.runs import write_text
from selfcure.training.interrupt import Interrupted, StopRequest

_POLL_SEC = 1.0

Tell = Callable[[str, dict[str, Any]], None]
"""Hears of a settled cell: its name, and its result or ``failed`` with the reason."""


def work(
    bench: Bench,
    cells: Sequence[Cell],
    *,
    keep: Keep,
    fields: dict[str, Any],
    tell: Tell,
    check: Callable[[], None],
) -> None:
    """Run cells until all are settled, waiting for those that other processes are at.

    Raises:
        Interrupted: by ``check``, or by a signal during a training; the next call goes on.
    """
    by_name = {cell.name: cell for cell in cells}
    while True:
        settled = True
        for cell in cells:
            check()
            now = state(bench, cell)
            if now in ("done", "failed", "not run"):
                continue
            settled = False
            if now == "running" or not _ready(bench, cell, by_name):
                continue
            result = run_cell(bench, cell, keep=keep, check=check, fields=fields)
            if result is not None:
                tell(cell.name, result)
        if settled:
            return
        if all(state(bench, cell) != "left" or not _ready(bench, cell, by_name) for cell in cells):
            time.sleep(_POLL_SEC)


def _ready(bench: Bench, cell: Cell, by_name: dict[str, Cell]) -> bool:
    """Whether the cell that it starts from is finished; if that one will not be, neither will this."""
    if not cell.after:
        return True
    now = state(bench, by_name[cell.after])
    if now in ("failed", "not run"):
        reason = {"failed": f"needs {cell.after}, which {'failed' if now == 'failed' else 'was not run'}"}
        write_text(bench.folder(cell) / FAILED, json.dumps(reason) + "\n")
    return now == "done"


def stopper(stop: StopRequest) -> Callable[[], None]:
    """A check that raises once a stop was asked for."""

    def check() -> None:
        if stop.asked:
            raise Interrupted("stopped; everything is saved")

    return check


def main() -> None:
    """The process."""
    # What libraries print is not for the one who reads our lines.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)
        plan = json.loads(sys.stdin.readline())
        bench = Bench(
            Path(plan["out"]),
            {name: Path(path) for name, path in plan["sources"].items()},
            {name: Path(path) for name, path in plan["weights"].items()},
        )
        cells = [Cell.from_dict(cell) for cell in plan["cells"]]

        def say(document: dict[str, Any]) -> None:
            lines.write(json.dumps(document) + "\n")
            lines.flush()

        with StopRequest() as stop:
            threading.Thread(target=_stop_with_parent, daemon=True).start()
            try:
                work(
                    bench,
                    cells,
                    keep=plan["keep"],
                    fields=plan["fields"],
                    tell=lambda name, result: say({"cell": name, "result": result}),
                    check=stopper(stop),
                )
            except (Interrupted, KeyboardInterrupt, BrokenPipeError):
                sys.exit(130)
            except (SelfcureError, OSError) as error:
                say({"error": str(error)})
                sys.exit(2)


def _stop_with_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock would be held at exit
        pass
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
