"""The command line. Commands parse, call and print; heavy imports happen inside them."""

import errno
import sys
from importlib.metadata import version

from cyclopts import App, CycloptsError

from selfcure.cli import data, labels, train
from selfcure.cli.demo import demo
from selfcure.cli.output import errors
from selfcure.errors import SelfcureError

app = App(
    name="selfcure",
    help="Train on labels you cannot trust, and end with cleaner ones.",
    version=lambda: version("selfcure"),
    help_format="plaintext",
    result_action="return_value",
)
app.command(demo)
app.command(train.train)
app.command(train.evaluate)
app.command(data.app)
app.command(labels.app)


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 the user's mistake (one line says which), 130 interrupted."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        return _fail(" ".join(str(error).split()) + " See 'selfcure --help'.")
    except SelfcureError as error:
        return _fail(str(error), code=130 if type(error).__name__ == "Interrupted" else 2)
    except KeyboardInterrupt:
        return _fail("interrupted; repeat the command to go on", code=130)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        place = f" ({error.filename})" if error.filename else ""
        hint = "; free some space and repeat the command, what was finished is kept" if full else ""
        return _fail(f"{error.strerror or error}{place}{hint}")
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _fail("out of memory; try --set micro_batch_size=64, or a smaller --size or batch_size")
    return 0


def _fail(message: str, code: int = 2) -> int:
    errors.print(
        f"selfcure: {message}", style="bold red" if code == 2 else "bold yellow", soft_wrap=True, markup=False
    )
    return code


def _is_out_of_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or "out of memory" in str(error)
        or "can't allocate memory" in str(error)
    )
