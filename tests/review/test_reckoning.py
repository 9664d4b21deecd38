"""The number of wrong labels left: the run's own P(label wrong) is summed, else it is a guess and called one."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selfcure.review.desk import Desk
from selfcure.runs import RunFolder


@pytest.fixture
def calibrated(run):
    """A run whose last evidence says P(label wrong); of every tenth sample it says nothing."""
    wrong_prob = np.linspace(0, 1, 120).astype(np.float32)
    wrong_prob[::10] = np.nan
    file = run / "evidence" / "epoch-0003.parquet"
    pq.write_table(pq.read_table(file).append_column("wrong_prob", pa.array(wrong_prob)), file)
    desk = Desk(RunFolder(run))
    yield desk, wrong_prob.astype(np.float64)
    desk.close()


def decide(desk, row, kind, **more):
    desk.decide(action=f"action-{row}-{kind}", reviewer="ann", rows=[row], kind=kind, **more)


def test_a_runs_own_probability_is_summed_over_what_nobody_decided(calibrated):
    desk, wrong_prob = calibrated
    told = desk.expected_wrong()
    assert told["guess"] == pytest.approx(np.nansum(wrong_prob), rel=1e-6)
    assert (told["num_samples"], told["calibrated"], told["decided"]) == (108, True, None)
    decided = [119, 118, 117, 55, 3]
    for row in decided[:4]:
        # Found right though foretold wrong, 40 times over: the sum stays the sum.
        decide(desk, row, "keep")
    decide(desk, 3, "choose", weights={(int(desk.samples.given[3]) + 1) % 3: 1})
    decide(desk, 7, "skip")  # is not decided
    told = desk.expected_wrong()
    left = np.setdiff1d(np.arange(120), decided)
    assert told["guess"] == pytest.approx(np.nansum(wrong_prob[left]), rel=1e-6)
    assert told["low"] < told["guess"] < told["high"]
    assert told["decided"]["num_samples"] == 5
    assert told["decided"]["found"] == 1
    assert told["decided"]["foretold"] == pytest.approx(wrong_prob[decided].sum(), rel=1e-6)
    assert desk.wrong_probability(60) is None, "nothing is said of this one"
    assert desk.wrong_probability(61) == pytest.approx(wrong_prob[61])


def test_without_one_it_is_a_guess_pulled_by_what_was_found(run):
    desk = Desk(RunFolder(run))
    order = np.argsort(-desk.samples.suspicion[:120], kind="stable")[:60].tolist()
    for row in order:
        decide(desk, row, "keep")
    few = desk.expected_wrong()
    assert not few["calibrated"]
    assert few["decided"] is None
    for row in order:  # on second thoughts all of them are wrong
        decide(desk, row, "choose", weights={(int(desk.samples.given[row]) + 1) % 3: 1})
    many = desk.expected_wrong()
    assert few["guess"] < 3
    assert many["guess"] > 10
    desk.close()
