"""Trains in a process of its own and kills it with SIGKILL at the moment that the arguments name.

runner.py DATA OUT resume|new step:N     kill after the N-th step of this process
runner.py DATA OUT resume|new fsync:N    kill while the N-th checkpoint is half written
runner.py DATA OUT resume|new evidence:N kill between the N-th epoch's history and its checkpoint
runner.py DATA OUT resume|new never
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from selfcure.runs import RunFolder
from selfcure.training import checkpoint
from selfcure.training.api import train
from selfcure.training.reporter import Reporter
from stripes import TINY


def killer(when: int):
    calls = 0

    def count(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def main(data: str, out: str, mode: str, moment: str) -> None:
    reporter = Reporter()
    kind, _, number = moment.partition(":")
    if kind == "step":
        reporter.step = killer(int(number))
    elif kind == "fsync":
        # The bytes are in the temporary file, in part: fsync is where a real crash would lose them.
        kill = killer(int(number))

        def fsync(descriptor: int) -> None:
            if Path(out, "checkpoint.safetensors.tmp").exists():
                kill()

        checkpoint.os.fsync = fsync
    elif kind == "evidence":
        write, kill = RunFolder.write_epoch, killer(int(number))

        def write_epoch(self, *arguments):
            write(self, *arguments)
            kill()

        RunFolder.write_epoch = write_epoch
    # save_every_min=0: a checkpoint after every step, so that kills land in and between mid-epoch ones too.
    settings = {} if mode == "resume" else {**TINY, "method": "scn", "relabel_epoch": 2, "save_every_min": 0}
    train(data, out=out, resume=mode == "resume", reporter=reporter, **settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
