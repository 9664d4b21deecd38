"""What only a process of its own shows: start-up, signals, pipes, terminals."""

import os
import pty
import resource
import signal
import subprocess
import sys
import time

import pytest

from selfcure.cli.progress import TrainingProgress

HEAVY = ("torch", "torchvision", "timm", "pyarrow", "numpy", "matplotlib", "sklearn", "PIL")
COMMAND = (sys.executable, "-m", "selfcure")


def environment(**more: str) -> dict[str, str]:
    plain = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    return {**plain, "OMP_NUM_THREADS": "1", **more}


def start(*arguments: str, **options) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=pipe, stderr=pipe, text=True, env=environment(), **options
    )


def processor_seconds() -> float:
    """Of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_are_fast(arguments):
    best = 9.0
    for _ in range(3):
        begin = processor_seconds()  # not the clock's: the machine may be busy
        result = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment())
        best = min(best, processor_seconds() - begin)
        assert result.returncode == 0, result.stderr
        assert result.stdout
        if best < 1:
            break
    assert best < 1


def test_help_and_mistakes_load_nothing_heavy():
    code = (
        "import sys; from selfcure.cli import run; run(['--help']); run(['train', '--help']); run(['traim']); run(['train']);"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert result.returncode == 0, result.stderr


def test_ctrl_c_during_start_up_is_no_traceback():
    code = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'selfcure.cli.train': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from selfcure.__main__ import main\n"
        "main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize("line", ["data info data --json", "evaluate --help"])
def test_reader_that_goes_away_is_no_error(line, place):
    """``selfcure … | head -0``"""
    process = start(*line.split(), cwd=place)
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written(place):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*COMMAND, "data", "info", "data", "--json"],
            cwd=place,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 2
    assert result.stderr.startswith("selfcure: no space left on the disk")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_in_training_prints_a_command_that_goes_on(place, command):
    options = "--backbone compact --size 16 --epochs 20 --set batch_size=40"
    process = start("train", "data", "--out", "my run", *options.split(), cwd=place)
    for line in process.stderr:
        if line.startswith(" "):  # the row of a finished epoch
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.count("stopping after this batch, to save it; Ctrl-C again stops at once\n") == 1
    last = err.splitlines()[-1]
    assert last.startswith("selfcure: stopped in epoch ")
    again = last.split("go on with: selfcure ")[1]
    assert again == "train data --out 'my run' --resume"
    result = command(again)
    assert result.code == 0
    assert "goes on with epoch" in result.err


def test_second_ctrl_c_stops_at_once_and_says_how_to_go_on(command, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "step", stop)
        result = command("train data --out 'my run' $TINY")
    assert result.code == 130
    last = result.err.splitlines()[-1]
    assert last.startswith("selfcure: stopped at once; go on from the last checkpoint with: selfcure train")
    assert command(last.split("with: selfcure ")[1]).code == 0


def test_ctrl_c_before_anything_is_there(command, monkeypatch):
    def stop(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("selfcure.training.api.train", stop)
    result = command("train data --out new")
    assert (result.code, result.err) == (130, "selfcure: interrupted; repeat the command to finish\n")


def test_ctrl_c_in_drawing_is_finished_by_the_same_command(place, command):
    line = "data synth --num 4000 --num-validation 0 --size 16 --out faces"
    process = start(*line.split(), cwd=place)
    while process.poll() is None and not (place / "faces.partial/plan.json").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "selfcure: interrupted; repeat the command to finish\n"
    assert command(line).code == 0


def on_terminal(arguments: list[str], *, cwd, **more: str) -> str:
    """What a command writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    subprocess.run(["stty", "cols", "80", "rows", "24"], stdin=theirs, check=True)
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(TERM="xterm-256color", **more),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 0
    return b"".join(parts).decode()


def test_terminal_gets_colour_and_no_color_takes_it_away(tmp_path):
    assert "\x1b[38;" in on_terminal(["--help"], cwd=tmp_path)
    plain = on_terminal(["--help"], cwd=tmp_path, NO_COLOR="1")
    assert not [code for code in ("\x1b[3", "\x1b[4", "\x1b[9") if code in plain]


def test_bar_is_gone_at_the_end(place):
    text = on_terminal(["data", "noise", "data", "--rate", "0.1", "--out", "new"], cwd=place)
    assert "writing" in text
    assert "\x1b[2K" in text.split("writing")[-1]  # the line of the bar is erased
