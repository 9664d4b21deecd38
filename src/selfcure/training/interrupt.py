"""Ctrl-C and SIGTERM as a request to stop after the step at hand."""

import signal
from collections.abc import Callable
from types import FrameType

from selfcure.errors import SelfcureError


class Interrupted(SelfcureError):
    """Training was asked to stop and has saved itself; the message says how to go on."""


class StopRequest:
    """Context in which the first signal sets ``asked`` and a second one raises :class:`KeyboardInterrupt`.

    Args:
        heard: called at the first signal, so that somebody tells the user what happens now.
    """

    def __init__(self, heard: Callable[[], None] = lambda: None) -> None:
        self.asked = False
        self._heard = heard

    def __enter__(self) -> "StopRequest":
        self._previous = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread: signals are its owner's business
                break
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._heard()
