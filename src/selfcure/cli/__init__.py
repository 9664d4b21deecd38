"""The command line. Commands parse, call and print; heavy imports happen inside them."""

import os
import signal
import sys
from importlib.metadata import version

from cyclopts import App

from selfcure.cli import collect, data, labels, train
from selfcure.cli.benchmark import benchmark
from selfcure.cli.demo import demo
from selfcure.cli.export import export
from selfcure.cli.faces import faces
from selfcure.cli.mistakes import INTERRUPTED, MISTAKE, PIPE_CLOSED, explain
from selfcure.cli.output import console, errors, one_line
from selfcure.cli.predict import predict
from selfcure.cli.report import report
from selfcure.cli.review import review

app = App(
    name="selfcure",
    help="Train on labels you cannot trust, and end with cleaner ones.",
    help_epilogue="""\
Try it on synthetic faces with `selfcure demo`, or on your own, step by step:

    selfcure data import folder PHOTOS --out faces
    selfcure train faces --out run
    selfcure evaluate run faces
    selfcure labels export run --out labels.csv
""",
    version=lambda: version("selfcure"),
    help_format="markdown",
    console=console,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(demo, sort_key=0, help_epilogue="")
app.command(data.app)
app.command(collect.app)
app.command(train.train, sort_key=2, help_epilogue="")
app.command(train.evaluate, sort_key=3, help_epilogue="")
app.command(labels.app)
app.command(predict, sort_key=4, help_epilogue="")
app.command(export, sort_key=4, help_epilogue="")
app.command(review, sort_key=4, help_epilogue="")
app.command(benchmark, sort_key=5, help_epilogue="")
app.command(report, sort_key=6, help_epilogue="")
app.command(faces, sort_key=6, help_epilogue="")


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 2 the user's mistake (one line says which), 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be text, and a terminal need not know every letter: neither may end the program.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:] if arguments is None else arguments)
    if code == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is understood
    if code == PIPE_CLOSED:
        # What is still buffered goes nowhere; without this Python would complain at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        app(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BaseException as error:
        explained = explain(error)
        if explained is None:
            raise
        code, message = explained
        if message:
            style = "bold red" if code == MISTAKE else "bold yellow"
            errors.print(f"selfcure: {one_line(message)}", style=style, soft_wrap=True)
        return code
    return 0
