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

EXPRESSIONS = tuple(SYNONYMS)
_CANONICAL = {word: name for name, words in SYNONYMS.items() for word in (name, *words)}


def canonical(name: str) -> str | None:
    """The canonical name of an expression, None for a word that is not one; case, spaces, - and _ do not matter.

    >>> canonical(" Angry "), canonical("no_expression"), canonical("sideways")
    ('anger', 'neutral', None)
    """
    return _CANONICAL.get(_normal(name))


def class_index(name: str, class_names: Sequence[str]) -> int | None:
    """Which of ``class_names`` a label means: the same word, or else another word for the same expression.

    >>> class_index("sad", ["happy", "sadness"]), class_index("awe", ["happy", "sadness"])
    (1, None)
    """
    same = [k for k, other in enumerate(class_names) if _normal(other) == _normal(name)]
    expression = canonical(name)
    alike = [k for k, other in enumerate(class_names) if expression and canonical(other) == expression]
    return next(iter([*same, *alike]), None)


def _normal(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
