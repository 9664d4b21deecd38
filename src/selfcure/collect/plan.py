"""The plan of a collection: classes, the words they are searched by, and the settings of every stage."""

import itertools
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from selfcure.collect.settings import (
    ClipSettings,
    DownloadSettings,
    FrameSettings,
    RetrySettings,
    SearchSettings,
    read_section,
)
from selfcure.errors import SelfcureError, check_choice

INSTALL = "pip install 'selfcure[collect]'"
_SECTIONS: dict[str, type] = {
    "search": SearchSettings,
    "download": DownloadSettings,
    "retry": RetrySettings,
    "clips": ClipSettings,
    "frames": FrameSettings,
}
_KEYS = ("name", "query", "classes", "countries", "ages", *_SECTIONS)
_BLANKS = {"word", "country", "age"}


@dataclass(frozen=True, slots=True)
class Query:
    """What is typed into the site's search, and what it was made of."""

    text: str
    class_name: str
    word: str
    country: str | None
    age: str | None


@dataclass(frozen=True)
class Plan:
    """A plan as its YAML file says it."""

    name: str
    query: str
    """Template with ``{word}``, and ``{country}`` and ``{age}`` where there are any."""
    classes: Mapping[str, tuple[str, ...]]
    """Class → words; none for a class that only local videos have."""
    countries: tuple[str, ...] = ()
    ages: tuple[str, ...] = ()
    search: SearchSettings = field(default_factory=SearchSettings)
    download: DownloadSettings = field(default_factory=DownloadSettings)
    retry: RetrySettings = field(default_factory=RetrySettings)
    clips: ClipSettings = field(default_factory=ClipSettings)
    frames: FrameSettings = field(default_factory=FrameSettings)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    def queries(self) -> Iterator[Query]:
        """Every word with every country and age, class after class.

        >>> plan = Plan("", "{age} {word}", {"joy": ("happy", "glad")}, ages=("man", "woman"))
        >>> [query.text for query in plan.queries()]
        ['man happy', 'woman happy', 'man glad', 'woman glad']
        """
        for class_name, words in self.classes.items():
            for word, country, age in itertools.product(
                words, self.countries or (None,), self.ages or (None,)
            ):
                text = self.query.format(word=word, country=country or "", age=age or "")
                yield Query(" ".join(text.split()), class_name, word, country, age)


def default_plan() -> str:
    """The text of the WebEmotion plan."""
    return (files("selfcure.collect") / "webemotion.yaml").read_text(encoding="utf-8")


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        SelfcureError: there is none, PyYAML is missing, or the file is no plan.
    """
    return parse_plan(plan_text(path), str(path))


def plan_text(path: Path) -> str:
    """The text of a plan's file.

    Raises:
        SelfcureError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SelfcureError(f"plan {path} cannot be read: {error}") from error


def parse_plan(text: str, where: str) -> Plan:
    """A plan from YAML; ``where`` names it in errors.

    Raises:
        SelfcureError: as :func:`load_plan`.
    """
    try:
        import yaml
    except ImportError as error:
        raise SelfcureError(f"selfcure collect needs PyYAML: {INSTALL}") from error
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SelfcureError(f"{where} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping) or "classes" not in content:
        raise SelfcureError(f"{where} is no plan: it must have 'classes', each with its words")
    for key in content:
        check_choice(f"key in {where}", str(key), _KEYS)
    classes = _classes(content["classes"], where)
    query = content.get("query", "{word} {age} {country}")
    sections: dict[str, Any] = {
        name: read_section(kind, name, content.get(name), where) for name, kind in _SECTIONS.items()
    }
    countries = _words(content.get("countries"), "countries", where)
    ages = _words(content.get("ages"), "ages", where)
    plan = Plan(str(content.get("name", "")), _template(query, where), classes, countries, ages, **sections)
    for name, words in (("country", plan.countries), ("age", plan.ages)):
        if words and "{" + name + "}" not in plan.query and any(plan.classes.values()):
            raise SelfcureError(
                f"{where}: query {plan.query!r} has no {{{name}}}, so all would be asked alike"
            )
    return plan


def _classes(content: object, where: str) -> dict[str, tuple[str, ...]]:
    if isinstance(content, list):  # names alone, for local videos
        return dict.fromkeys(_words(content, "classes", where), ())
    if not isinstance(content, Mapping) or not content:
        raise SelfcureError(f"{where}: classes must be names with their words, not {content!r}")
    names = _words(list(content), "classes", where)
    return {
        name: _words(words, f"words of {name}", where)
        for name, words in zip(names, content.values(), strict=True)
    }


def _words(content: object, what: str, where: str) -> tuple[str, ...]:
    """A list of words, or lists of them by continent or the like."""
    if content is None:
        return ()
    groups = list(content.values()) if isinstance(content, Mapping) else [content]
    words: list[str] = []
    for group in groups:
        if not isinstance(group, list):
            raise SelfcureError(f"{where}: {what} must be a list, not {group!r}")
        words += group
    for word in words:
        if not isinstance(word, str) or not word.strip():
            # YAML reads a bare yes, no, on, off, or number as something else.
            raise SelfcureError(f"{where}: {what} has {word!r}, which is not a word; put it in quotes")
    twice = {word for word in words if words.count(word) > 1}
    if twice:
        raise SelfcureError(f"{where}: {what} has {min(twice)!r} twice")
    return tuple(words)


def _template(query: object, where: str) -> str:
    if not isinstance(query, str):
        raise SelfcureError(f"{where}: query must be a text with {{word}}, not {query!r}")
    try:
        parsed = list(string.Formatter().parse(query))
    except ValueError as error:
        raise SelfcureError(f"{where}: query {query!r}: {error}") from error
    blanks = {name for _, name, *_ in parsed if name is not None}
    if "word" not in blanks or blanks - _BLANKS or any(spec or conv for *_, spec, conv in parsed):
        raise SelfcureError(
            f"{where}: query {query!r} must have {{word}}, and may have {{country}} and {{age}}"
        )
    return query
