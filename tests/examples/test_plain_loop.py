"""The example runs, trains and relabels."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "plain_loop.py"


def test_plain_loop_learns_and_relabels(capsys):
    book = runpy.run_path(str(EXAMPLE))["main"](num_images=400)
    screen = capsys.readouterr().out
    losses = [float(x) for x in re.findall(r"loss ([\d.]+)", screen)]
    assert len(losses) == 8
    assert losses[-1] < 0.9 * losses[0]
    assert (book.current() != book.original()).any()
    changes = [int(x) for x in re.findall(r"(\d+) labels changed", screen)]
    assert changes[:5] == [0] * 5, "no relabelling before its epoch"
    assert max(changes) <= 0.3 * len(book) + 4, (
        "an epoch may relabel the low-importance 30 % of each of 4 batches"
    )
