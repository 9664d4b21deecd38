"""The one error that is the user's to mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class SelfcureError(ValueError):
    """A mistake in what was asked: the message says what was wrong, where, and how to mend it.

    The command line prints the message as one line and exits with code 2; any other exception is our own bug.
    """


class ReportedElsewhere(SelfcureError):
    """One of several processes stops because another has; that one says why, this one is silent."""


def check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise :class:`SelfcureError` unless ``value`` is one of ``allowed``; a near miss is suggested.

    >>> check_choice("method", "snc", ["plain", "scn"])
    Traceback (most recent call last):
    selfcure.errors.SelfcureError: unknown method 'snc'; did you mean 'scn'? (allowed: plain, scn)
    """
    options = list(allowed)
    if value in options:
        return
    near = get_close_matches(value, options, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise SelfcureError(f"unknown {name} {value!r}{hint} (allowed: {', '.join(options)})")
