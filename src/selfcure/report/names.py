"""What rows and columns of a benchmark's table are called."""

from collections.abc import Sequence

Row = tuple[str, ...]


class Names:
    """Short names of a table's rows: what all rows have in common is left out, a part that is on gives its name."""

    def __init__(self, heads: Sequence[str], rows: Sequence[Row]):
        varied = [k for k in range(len(heads)) if len({row[k] for row in rows}) > 1]
        self._heads = heads
        self.kept = varied or [0]
        """Which parts tell rows apart."""
        self.common = tuple((heads[k], rows[0][k]) for k in range(len(heads)) if rows and k not in self.kept)

    def key(self, row: Row) -> Row:
        """The parts that tell the row from others."""
        return tuple(row[k] for k in self.kept)

    def __call__(self, row: Row) -> str:
        """The row's name.

        >>> names = Names(("recipe", "WCE", "RR"), [("paper", "–", "–"), ("paper", "✓", "–"), ("paper", "✓", "✓")])
        >>> names(("paper", "✓", "✓")), names(("paper", "✓", "–")), names(("paper", "–", "–"))
        ('WCE + RR', 'WCE', 'none')
        >>> Names(("recipe", "γ"), [("paper", "0.2"), ("paper", "0.5")])(("paper", "0.2"))
        'γ 0.2'
        """
        parts = [(self._heads[k], row[k]) for k in self.kept]
        switches = [head for head, part in parts if part == "✓"]
        words = [part for _, part in parts if part not in ("✓", "–")]
        if (
            len(self.kept) == 1
            and words
            and number_of(words[0]) is not None
            and self._heads[self.kept[0]] != "value"
        ):
            return f"{self._heads[self.kept[0]]} {words[0]}"
        if "first" in self._heads:
            return " → ".join(part for _, part in parts)
        return " ".join([*words, *([" + ".join(switches)] if switches else [])]) or "none"


def number_of(text: str) -> float | None:
    """The number that a heading is, per cents too.

    >>> number_of("0.5"), number_of("30 %"), number_of("scratch")
    (0.5, 30.0, None)
    """
    try:
        return float(text.removesuffix("%"))
    except ValueError:
        return None
