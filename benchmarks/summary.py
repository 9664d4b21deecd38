"""One table of a benchmark's cells: accuracy, and what became of the labels.

python benchmarks/summary.py benchmarks/results/ferplus-8000 [--figure FILE]
python benchmarks/summary.py --fill benchmarks/results/README.md docs/cure.md

A row per kind of data and row of the suite (method, recipe, setting changed): mean ± standard deviation over the cells'
seeds, everything of the last epoch. *To plain* is the mean difference to plain training on the same data and seed. AUROC is
that of the method's own P(label wrong) where it has one, else of the mean probability of the given label over the epochs. `--figure` draws every cell's accuracy; `--fill` renews the tables in pages,
each between `<!-- cells: FOLDER -->`, perhaps with a suite behind the folder of benchmarks/results, and `<!-- /cells -->`.
"""

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = {
    "accuracy": "accuracy, %",
    "to_plain": "to plain",
    "after": "labels wrong at the end, %",
    "broken": "right broken, %",
    "repaired": "wrong repaired, %",
    "auroc": "AUROC",
    "estimated": "said to be wrong, %",
    "ece": "calibration error",
}
COLOURS = {"plain": "#444", "cure": "#0a7", "scn": "#c50"}
DIGITS = {"auroc": 3, "ece": 3, "broken": 2}
Groups = dict[tuple[str, str, str], list[dict[str, Any]]]
"""Cells of one suite, data and row."""
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- cells: ([\w-]+) ?(\w*) -->\n).*?(<!-- /cells -->)", re.DOTALL)
SCORES = ("wrong_prob", "mean_given_prob")


def read(folder: Path) -> list[dict[str, Any]]:
    """Each finished cell's heading and figures."""
    cells = []
    for file in sorted(folder.glob("*/*/result.json")):
        cell = json.loads(file.with_name("cell.json").read_text())["cell"]
        result = json.loads(file.read_text())
        cells.append(heading(file.parent.parent.name, cell) | figures(result))
    plain = {(*key(c), c["seed"]): c["accuracy"] for c in cells if c["row"].startswith("plain, ")}
    for cell in cells:
        base = plain.get((*key(cell), cell["seed"]))
        if base is not None and not cell["row"].startswith("plain"):
            cell["to_plain"] = cell["accuracy"] - base
    return sorted(cells, key=lambda cell: (key(cell), cell["order"]))


def key(cell: dict[str, Any]) -> tuple[str, str]:
    return cell["suite"], cell["data"]


def heading(suite: str, cell: dict[str, Any]) -> dict[str, Any]:
    place = cell["places"][0]
    return {
        "suite": suite,
        "data": re.sub(r"-draw\d+", "", cell["data"]["name"]),
        "row": ", ".join(place["row"]),
        "order": place["order"],
        "seed": cell["seed"],
    }


def figures(result: dict[str, Any]) -> dict[str, float]:
    last, validation = result["last"], result["evaluation"]["validation"]
    found = {"accuracy": 100 * validation.get("true", validation["given"])["accuracy"]}
    cure, noise = last.get("cure") or {}, last.get("label_noise") or {}
    if cure:
        found["after"] = 100 * cure["noise_after"]
    if cure.get("num_changed"):
        found["broken"] = 100 * cure["broken"]
        if cure["repaired"] is not None:
            found["repaired"] = 100 * cure["repaired"]
    detection = last.get("detection") or {}
    score = next((s for s in SCORES if s in detection), None)
    if score and detection[score]["auroc"] is not None:
        found["auroc"] = detection[score]["auroc"]
    if "estimated" in noise:
        found["estimated"] = 100 * noise["estimated"]
    if "calibration_error" in noise:
        found["ece"] = noise["calibration_error"]
    return found


def grouped(cells: list[dict[str, Any]]) -> Groups:
    groups = defaultdict(list)
    for cell in cells:
        groups[(*key(cell), cell["row"])].append(cell)
    return groups


def table(groups: Groups) -> str:
    used = [c for c in COLUMNS if any(c in cell for cells in groups.values() for cell in cells)]
    lines = [
        "| data | row | cells | " + " | ".join(COLUMNS[c] for c in used) + " |",
        "| --- | --- | --: |" + " --: |" * len(used),
    ]
    for (suite, data, row), cells in groups.items():
        texts = [spread([cell[c] for cell in cells if c in cell], DIGITS.get(c, 1), c) for c in used]
        lines.append(f"| {suite}, {data} | {row} | {len(cells)} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def spread(values: list[float], digits: int, column: str) -> str:
    if not values:
        return "–"
    sign = "+" if column == "to_plain" else ""
    text = f"{np.mean(values):{sign}.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text.replace("-", "−")


def filled(page: str) -> str:
    """The page with every table as the cells are now."""

    def renewed(block: re.Match[str]) -> str:
        head, folder, suite, end = block.groups()
        cells = [cell for cell in read(RESULTS / folder) if suite in ("", cell["suite"])]
        return f"{head}{table(grouped(cells))}\n{end}"

    return BLOCK.sub(renewed, page)


def draw(groups: Groups, path: Path) -> None:
    """Accuracy of every row, a dot for each cell, one panel for each kind of data."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys((suite, data) for suite, data, _ in groups))
    names = list(dict.fromkeys(row for _, _, row in groups))
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.2 * len(panels) + 1.6, 0.32 * len(names) + 1), sharey=True, squeeze=False
    )
    for axis, panel in zip(axes[0], panels, strict=True):
        for (*data, row), cells in groups.items():
            if tuple(data) == panel:
                y = names.index(row)
                values = [cell["accuracy"] for cell in cells]
                method = row.split(",")[0]
                colour = COLOURS.get(method, "#68b")
                axis.plot(values, [y] * len(values), "o", color=colour, alpha=0.6, markersize=6)
                axis.plot(np.mean(values), y, "|", color=colour, markersize=14, markeredgewidth=2)
                if method == "plain":
                    axis.axvline(np.mean(values), color="#ccc", linewidth=1, zorder=0)
        axis.set_title(", ".join(panel), fontsize=9)
        axis.set_xlabel("accuracy, %", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def name(folder: Path, folders: list[Path], cell: dict[str, Any]) -> dict[str, str]:
    """Cells of the same name in two folders may have other settings, so they are told apart."""
    return {"data": cell["data"] if len(folders) == 1 else f"{cell['data']} ({folder.name})"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="*", help="benchmark folders")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--fill", type=Path, nargs="+", default=[], help="pages")
    args = parser.parse_args()
    for page in args.fill:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    if args.fill and not args.folder:
        return
    cells = [cell | name(folder, args.folder, cell) for folder in args.folder for cell in read(folder)]
    if not cells:
        raise SystemExit(f"no finished cell in {', '.join(map(str, args.folder))}")
    groups = grouped(cells)
    print(table(groups))
    if args.figure:
        draw(groups, args.figure)


if __name__ == "__main__":
    main()
