"""The named suites."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selfcure.benchmark import ablations, comparisons, published
from selfcure.benchmark.cells import Cell
from selfcure.benchmark.published import Column
from selfcure.benchmark.requests import Request
from selfcure.benchmark.results import Table
from selfcure.benchmark.switches import SWITCHES, switches
from selfcure.errors import SelfcureError
from selfcure.methods import METHODS


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One of the paper's experiments."""

    cells: Callable[[Request], list[Cell]]
    what: str
    """In a few words."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Rows by default."""
    only: tuple[str, ...] = ()
    """Methods that the suite is about; none: any."""
    rows: tuple[str, ...] = ("method", "recipe")
    """Names of the parts of a row's heading."""
    min_sets: int = 1
    published: Callable[[Table], Column | None] = lambda table: None
    """A column of published numbers beside the accuracies."""
    published_rows: Callable[[Table], Sequence[tuple[tuple[str, ...], Sequence[str]]]] = lambda table: ()
    """Rows of published accuracies below ours: headings and cells."""
    notes: tuple[str, ...] = ()
    """Below its tables."""

    def check(self, name: str, request: Request) -> None:
        """What the suite needs of a request as a whole."""
        if len(request.sets) < self.min_sets:
            raise SelfcureError(
                f"suite {name} needs {self.min_sets} dataset folders, --data has {len(request.sets)}"
            )
        for method, _ in request.methods:
            if self.only and method not in self.only:
                raise SelfcureError(f"suite {name} is about {', '.join(self.only)}, not about {method}")


SUITES: dict[str, Suite] = {
    "noise": Suite(
        cells=lambda request: comparisons.by_rates(request, "noise"),
        what="methods by share of flipped training labels (the paper's Table 2)",
        published=published.noise,
    ),
    "pretrain": Suite(
        cells=comparisons.pretrain,
        what="training on a noisy source first, then on the target (Table 3)",
        methods=("plain", "scn"),
        rows=("first", "then"),
        min_sets=2,
        notes=(
            "Published gains on the target, plain → plain after WebEmotion with plain training (paper): +6.97 RAF-DB, "
            "+9.85 FERPlus, +1.80 AffectNet; SCN after both: RAF-DB 80.42 → 82.45.",
        ),
    ),
    "original": Suite(
        cells=comparisons.original,
        what="methods on labels as they are (Table 4)",
        notes=(
            "Published gains of SCN over plain (paper), RAF-DB / AffectNet / FERPlus: scratch 6.31 / 0.70 / 1.02, "
            "pretrained 2.83 / 1.73 / 1.21.",
        ),
    ),
    "ablation": Suite(
        cells=ablations.ablation,
        what="SCN's parts on and off (Table 5)",
        methods=("scn",),
        only=("scn",),
        rows=("recipe", "WCE", "RR", "relabel"),
        notes=(
            "None of the parts is plain training. Without WCE the cross-entropy is that of the logits as they are. "
            "Relabelling alone considers all samples, since nothing then teaches importance.",
            "Published on RAF-DB from scratch (paper): none 72.00, WCE 76.26, all three +2.15 more; relabelling alone "
            "hurts.",
        ),
    ),
    "gamma": Suite(
        cells=ablations.gamma,
        what="SCN by the rank loss's share γ (Table 6)",
        methods=("scn",),
        only=("scn",),
        rows=("recipe", "γ"),
        notes=("Published (paper): 0.5 is best, and 0.8 drops sharply. The other values are ours.",),
    ),
    "margins": Suite(
        cells=ablations.margins,
        what="SCN by δ1, δ2 and β (Fig. 5)",
        methods=("scn",),
        only=("scn",),
        rows=("recipe", "setting", "value"),
        notes=(
            "Published on RAF-DB (paper): δ1 learned 0.142 ± 0.05, 77.76 on original and 69.45 on noisy labels; the best "
            "values are δ1 0.15, δ2 0.2, β 0.7. The paper does not say how noisy: 10 % is ours.",
        ),
    ),
    "switches": Suite(
        cells=switches,
        what="one setting changed at a time: SCN's towards its public code, cure without each part",
        methods=tuple(SWITCHES),
        only=tuple(SWITCHES),
        rows=("method", "recipe", "change"),
    ),
    "joint": Suite(
        cells=comparisons.joint,
        what="datasets trained together, by share of flipped labels",
        methods=("plain", "scn"),
        min_sets=2,
        notes=("Published (project page): about half of the flipped labels are corrected.",),
    ),
    "sota": Suite(
        cells=comparisons.sota,
        what="beside the published state of the art (Table 7)",
        rows=("method", "recipe", "backbone", "start"),
        published_rows=published.state_of_the_art,
        notes=("Published rows are of other networks and budgets: read them beside, not against.",),
    ),
    "human": Suite(
        cells=comparisons.human,
        what="labels that people gave, measured against better ones",
    ),
}
