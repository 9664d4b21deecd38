"""The expression names of the field, and the many words they go by."""

import re
from collections.abc import Sequence

SYNONYMS = {
    "neutral": ("neutrality", "neutral face", "no expression", "calm", "ne"),
    "happiness": ("happy", "joy", "joyful", "smile", "smiling", "amusement", "ha"),
    "surprise": ("surprised", "astonished", "astonishment", "su"),
    "sadness": ("sad", "sorrow", "unhappy", "sa"),
    "anger": ("angry", "mad", "rage", "an"),
    "disgust": ("disgusted", "disgusting", "revulsion", "di"),
    "fear": ("fearful", "afraid", "scared", "frightened", "fe"),
    "contempt": ("contemptuous", "disdain", "scorn"),
}
"""Canonical name → other words for it. The two-letter ones are the codes in the file names of JAFFE."""

CONFUSABLE = {
    "neutral": ("sadness", "fear", "anger"),
    "happiness": ("neutral", "surprise"),
    "surprise": ("fear", "happiness"),
    "sadness": ("fear", "anger", "neutral"),
    "anger": ("fear", "sadness", "disgust"),
    "disgust": ("anger", "fear"),
    "fear": ("surprise", "anger"),
    "contempt": ("anger", "disgust", "fear"),
}
"""Canonical name → what people take it for most often, first the most frequent.

Measured: what FER2013's labels say about training and validation images of each FERPlus majority class.
"""

_MOST_LISTED = 20

EXPRESSIONS = tuple(SYNONYMS)
_CANONICAL = {word: name for name, words in SYNONYMS.items() for word in (name, *words)}


def canonical(name: str) -> str | None:
    """The canonical name of an expression, None for a word that is not one; case, spaces, - and _ do not matter.

    >>> canonical(" Angry "), canonical("no_expression"), canonical("sideways")
    ('anger', 'neutral', None)
    """
    return _CANONICAL.get(_normal(name))


class ClassIndex:
    """Finds which class a word means: the same word, or else another word for the same expression.

    >>> index = ClassIndex(["happy", "sadness"])
    >>> index("sad"), index("Happy"), index("awe")
    (1, 0, None)
    """

    def __init__(self, class_names: Sequence[str]):
        self._words: dict[str, int] = {}
        self._expressions: dict[str, int] = {}
        for k, name in enumerate(class_names):
            self._words.setdefault(_normal(name), k)
            if expression := canonical(name):
                self._expressions.setdefault(expression, k)

    def __call__(self, name: str) -> int | None:
        same = self._words.get(_normal(name))
        return self._expressions.get(canonical(name) or "") if same is None else same


def class_index(name: str, class_names: Sequence[str]) -> int | None:
    """:class:`ClassIndex` for one word.

    >>> class_index("sad", ["happy", "sadness"]), class_index("awe", ["happy", "sadness"])
    (1, None)
    """
    return ClassIndex(class_names)(name)


def listed(class_names: Sequence[str]) -> str:
    """The classes for a message: the first few of many.

    >>> listed(["a", "b"])
    'a, b'
    >>> listed([f"person {k}" for k in range(5000)]).split(", ")[-2:]
    ['person 19', '… (5,000 in all)']
    """
    more = [f"… ({len(class_names):,} in all)"] if len(class_names) > _MOST_LISTED else []
    return ", ".join([*class_names[:_MOST_LISTED], *more])


def _normal(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
