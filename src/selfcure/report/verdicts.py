"""What a column of a table says, in words: which row has the highest mean, by how much, and what to be wary of."""

from collections.abc import Sequence
from dataclasses import dataclass

from selfcure.benchmark.results import Table, mean_and_spread, paired_test
from selfcure.report.names import Names, Row
from selfcure.report.numbers import ACCURACY, difference_text, means, number


@dataclass(frozen=True)
class Verdict:
    """What a column says: which row has the highest mean, and by how much."""

    column: str
    winner: str
    value: str
    against: str
    next: str
    caution: str


def verdict(table: Table, column: str, names: Names) -> Verdict | None:
    """What a column says; None where fewer than two rows have a value."""
    found = means(table, column)
    if len(found) < 2:
        return None
    order = sorted(found, key=lambda row: -found[row])
    first, second = order[0], order[1]
    values = list(table.spot(first, column).values(ACCURACY).values())
    others = list(table.spot(second, column).values(ACCURACY).values())
    lead = found[first] - found[second]
    mean, spread = mean_and_spread(values)
    return Verdict(
        column=column,
        winner=names(first),
        value=f"{number(mean, ACCURACY)}{'' if spread is None else f' ± {number(spread, ACCURACY)}'} %",
        against=_against(table, first, column, names),
        next=f"{names(second)}, {number(found[second], ACCURACY)} %, {number(lead, ACCURACY)} behind",
        caution=_caution(lead, values, others, len(_unfinished(table, column))),
    )


def _against(table: Table, row: Row, column: str, names: Names) -> str:
    """The winner beside its baseline, on the same seeds."""
    differences = table.difference(row, column, ACCURACY)
    if not differences:
        return "" if table.baselines.get(row) else "the baseline itself"
    baseline = names(table.baselines[row])
    higher = sum(difference > 0 for difference in differences)
    text = f"{difference_text(differences)} points over {baseline}, higher on {higher} of {len(differences)} seeds"
    p = paired_test(differences)
    return text if p is None else f"{text}, p = {p:.2g}"


def _caution(lead: float, values: Sequence[float], others: Sequence[float], num_unfinished: int) -> str:
    """What stands against reading too much into a lead."""
    words = []
    spreads = [spread for group in (values, others) if (spread := mean_and_spread(group)[1]) is not None]
    if not lead:
        words.append("a tie")
    elif not spreads:
        words.append("one seed each, so nothing is known of chance")
    elif lead < max(spreads):
        words.append(f"the lead of {number(lead, ACCURACY)} is smaller than the spread over seeds")
    if len(values) != len(others):
        words.append(f"{len(values)} seeds against {len(others)}")
    if num_unfinished:
        words.append(f"without result in this column: {num_unfinished}")
    return "; ".join(words)


def _unfinished(table: Table, column: str) -> set[str]:
    spots = [table.spot(row, column) for row in table.rows]
    return {e.cell.name for s in spots for e in s.entries.values() if e.result is None}
