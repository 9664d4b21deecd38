"""The arithmetic of the tables, on results made by hand."""

import numpy as np
import pytest

from selfcure.benchmark.cells import Cell, Data, Place
from selfcure.benchmark.results import MEASURES, Entry, gather, paired_test
from selfcure.benchmark.tables import as_csv, markdown

DATA = Data(name="set", kind="source", options={"layout": "ferplus"})


def entry(method: str, seed: int, accuracy: float | None, failed: str = "", rate: str = "30 %") -> Entry:
    place = Place(
        group="set",
        row=(method, "paper"),
        column=rate,
        order=((float(method != "plain"),), 0.3),
        baseline=() if method == "plain" else ("plain", "paper"),
    )
    cell = Cell(
        name=f"noise/set-{method}-{rate}-seed{seed}",
        data=DATA,
        method=method,
        recipe="paper",
        seed=seed,
        places=(place,),
    )
    if accuracy is None:
        return Entry(cell, None, failed)
    result = {
        "evaluation": {"validation": {"given": {"accuracy": accuracy, "mean_class_accuracy": 0.5}}},
        "weights": "epoch 2 (last)",
        "last": {"cure": {"noise_after": 0.2, "repaired": None, "broken": 0.0}},
        "config": {"backbone": "compact", "image_size_px": 16, "num_epochs": 2},
        "num_samples": 10,
        "environment": {"gpu": None, "cpu": "a cpu"},
    }
    return Entry(cell, result, "")


def test_mean_spread_and_difference_by_seed():
    entries = [entry("plain", s, a) for s, a in enumerate((0.5, 0.6, 0.7))]
    entries += [entry("scn", 0, 0.55), entry("scn", 1, None, "failed: out of memory"), entry("scn", 2, 0.73)]
    text = markdown(gather(entries))
    assert "| plain | paper | 60.00 ± 10.00 (3) |" in text
    assert "| scn | paper | 64.00 ± 12.73 (2) |" in text
    # 5 and 3 points, the failed seed left out of both.
    assert "| scn | paper | +4.00 ± 1.41 (2) |" in text
    assert "- set-scn-30 %-seed1: failed: out of memory" in text
    assert "5 of 6 cells" in text
    assert "p =" not in text
    # 10, 20 and 30 % flips were published, whichever columns there are; the start is from scratch.
    assert "77.15 / 71.88 / 68.54 (scratch; recalled)" in text


def test_what_is_missing_failed_or_not_run_is_told_apart():
    entries = [
        entry("plain", 0, None),
        entry("scn", 0, None, "failed: it broke"),
        entry("rul", 0, None, "not run: needs face weights"),
    ]
    text = markdown(gather(entries))
    assert "| plain | paper | – |" in text
    assert "| scn | paper | failed |" in text
    assert "| rul | paper | not run |" in text
    assert "- not run: needs face weights: 1 cells" in text


def test_a_test_only_from_five_seeds_on():
    rng = np.random.default_rng(0)
    differences = list(rng.normal(0.02, 0.01, 5))
    from scipy.stats import ttest_1samp

    assert paired_test(differences[:4]) is None
    assert paired_test(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue)
    entries = [entry("plain", s, 0.5) for s in range(5)]
    entries += [entry("scn", s, 0.5 + d) for s, d in enumerate(differences)]
    assert "p = " in markdown(gather(entries))


def test_csv_has_the_values_of_every_seed():
    entries = [entry("plain", s, a) for s, a in enumerate((0.5, 0.6))]
    lines = as_csv(gather(entries)).splitlines()
    assert lines[1].startswith("noise,set,plain paper,30 %,accuracy,2,0.55,")
    assert "0.5 0.6" in lines[1]
    assert not [line for line in lines if ",repaired," in line]


def test_every_measure_has_a_name_of_its_own():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
