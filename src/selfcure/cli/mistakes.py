"""What ends a command early: its exit code and the one line that says why."""

import errno
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cyclopts import CycloptsError, MissingArgumentError, UnusedCliTokensError

from selfcure.errors import ReportedElsewhere, SelfcureError
from selfcure.training.interrupt import Interrupted

MISTAKE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def explain(error: BaseException) -> tuple[int, str] | None:
    """Exit code and message of an error that is not a bug of ours; None for one that is."""
    match error:
        case CycloptsError():
            return MISTAKE, _usage(error)
        case ReportedElsewhere():
            cause = error.__cause__ and explain(error.__cause__)
            return (cause[0] if cause else MISTAKE), ""
        case Interrupted():
            return INTERRUPTED, str(error)
        case SelfcureError():
            return MISTAKE, str(error)
        case KeyboardInterrupt():
            return INTERRUPTED, "interrupted; repeat the command to finish"
        case BrokenPipeError():  # whoever read our output has seen enough
            return PIPE_CLOSED, ""
        case OSError():
            return (
                MISTAKE,
                f"{system_error(error)}; mend that and repeat the command, what was finished is kept",
            )
        case _ if _is_out_of_memory(error):
            return MISTAKE, "out of memory; free some, or try a smaller --set micro_batch_size or --size"
    return None


@contextmanager
def go_on_with(command: list[str], *, begun: Callable[[], bool]) -> Iterator[None]:
    """Say how to go on where the work inside stops early, if by then it has ``begun`` to leave something."""
    try:
        yield
    except ReportedElsewhere:
        raise
    except Interrupted as stop:
        raise Interrupted(f"{stop}; go on with: {shlex.join(command)}") from None
    except KeyboardInterrupt:
        if not begun():
            raise
        raise Interrupted(
            f"stopped at once; go on from the last checkpoint with: {shlex.join(command)}"
        ) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        if not begun():
            raise
        raise SelfcureError(
            f"{system_error(error)}; mend that, then go on with: {shlex.join(command)}"
        ) from error


def system_error(error: OSError) -> str:
    """What the system refused, and where if it says.

    >>> system_error(FileNotFoundError(2, "No such file or directory", "/a/b"))
    '/a/b: No such file or directory'
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "no space left on the disk" if full else error.strerror or str(error)
    return f"{error.filename}: {reason}" if isinstance(error.filename, str | Path) else reason


def _usage(error: CycloptsError) -> str:
    command = " ".join(["selfcure", *(error.command_chain or ())])
    match error:
        case MissingArgumentError() if error.argument is not None:
            message = (
                f"{error.keyword} needs a value" if error.keyword else f"{error.argument.name} is missing"
            )
        case UnusedCliTokensError():
            message = f"one or more arguments too many: {shlex.join(error.unused_tokens or ())}"
        case _:
            message = str(error).rstrip(".")
    if message[1:2].islower():  # not DATA
        message = message[0].lower() + message[1:]
    return f"{message}; see '{command} --help'"


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in str(error) or "can't allocate memory" in str(error))
    )
