"""What ``selfcure collect`` prints of a project."""

from typing import TYPE_CHECKING, Any

from selfcure.cli.output import console, errors, one_line, print_table, table

if TYPE_CHECKING:
    from selfcure.collect.project import Project

_HERE = ("downloaded", "clipped")
"""States of a video whose file is here."""


def show_taken(facts: dict[str, Any]) -> None:
    parts = [f"{facts['num_new']:,} new"]
    parts += [
        f"{facts[key]:,} {text}"
        for key, text in (("num_known", "known"), ("num_same", "with the content of another"))
        if facts[key]
    ]
    errors.print(f"{num(facts['num_files'], 'video')}: {', '.join(parts)}", soft_wrap=True)
    for reason, number in facts["left_out"].items():
        errors.print(f"  left out {number:,} × {one_line(reason)}", soft_wrap=True)


def show_stage(project: "Project", what: str) -> None:
    counts = project.ledger.count(what)
    line = ", ".join(f"{number:,} {state}" for state, number in sorted(counts.items())) or "none"
    console.print(f"{what}: {line}", soft_wrap=True)
    if (what != "clips" and counts.get("failed")) or counts.get("skipped"):
        console.print(f"why: selfcure collect status {one_line(str(project.folder))}", soft_wrap=True)


def show_status(project: "Project") -> None:
    from selfcure.collect.status import describe

    facts = describe(project)
    console.print(f"{one_line(facts['project'])}: {one_line(facts['plan'] or 'a plan without a name')}")
    funnel = table("", "")
    queries, videos, found = facts["queries"], facts["videos"], facts["clips"]
    if queries:
        funnel.add_row("queries", f"{sum(queries.values()):,}")
        funnel.add_row("  asked", f"{queries.get('done', 0):,}")
    funnel.add_row("videos", f"{sum(videos.values()):,}")
    funnel.add_row("  here", f"{sum(videos.get(s, 0) for s in _HERE):,}")
    funnel.add_row("  scanned", f"{videos.get('clipped', 0):,}")
    funnel.add_row("shots", f"{facts['num_shots']:,}")
    funnel.add_row("  with a face that stays", f"{sum(found.values()):,}")
    funnel.add_row("  like no earlier one", f"{found.get('kept', 0):,}")
    funnel.add_row("faces that stay", f"{facts['num_tracks']:,}")
    if facts["statistics"]:
        funnel.add_row("crops", f"{facts['statistics']['total']['faces']:,}")
    funnel.show_header = False
    print_table(funnel)
    for stage, reasons in facts["failed"].items():
        _show_reasons(f"failed in {stage}", reasons)
    _show_reasons("left out in download", facts["skipped"]["download"])
    _show_reasons("used all the same", facts["notes"])
    retrying = facts["retrying"]
    _show_reasons(f"to be tried again, the next in {retrying['seconds']:.0f} s", retrying["reasons"])
    if facts["statistics"]:
        _show_reasons("crops left out", facts["statistics"]["skipped"])
        console.print()
        show_dataset(project)


def _show_reasons(title: str, reasons: dict[str, int]) -> None:
    if reasons:
        console.print(f"\n{title}:", soft_wrap=True)
        for reason, number in reasons.items():
            console.print(f"  {number:,} × {one_line(reason)}", soft_wrap=True)


def show_dataset(project: "Project") -> None:
    from selfcure.collect.project import DATASET
    from selfcure.collect.status import statistics

    facts = statistics(project)
    if facts is None:
        return
    columns = ("videos", "clips", "faces")
    counts = table("class", *columns)
    for name, numbers in facts["classes"].items():
        counts.add_row(one_line(name), *(f"{numbers[key]:,}" for key in columns))
    counts.add_row("all", *(f"{facts['total'][key]:,}" for key in columns))
    print_table(counts, str(project.folder / DATASET))
    splits = [
        f"{name} {num(n['videos'], 'video')}, {num(n['faces'], 'face')}"
        for name, n in facts["splits"].items()
    ]
    console.print("; ".join(splits), soft_wrap=True)


def num(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
