"""Locks between processes and machines that share nothing but a folder."""

import os
import platform
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

BEAT_SEC = 20.0
"""How often the holder of a claim shows that it lives."""
STALE_SEC = 240.0
"""A claim that has not shown a sign of life for so long is anybody's."""


class Claim:
    """A file that only one process can have made: who works on what lies beside it.

    It names host and process, and its time is the holder's last sign of life, by the clock of the file system. A claim
    whose holder is gone (its process, on this machine; its signs of life, on another) is taken over. A holder that was
    only asleep finds out at its next beat and is told by ``lost``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = Claim.take(Path(folder) / "lock")
    ...     second = Claim.take(Path(folder) / "lock")
    ...     first.release()
    ...     third = Claim.take(Path(folder) / "lock")
    ...     third.release()
    >>> second is None, third is None
    (True, False)
    """

    def __init__(self, path: Path, token: str, lost: Callable[[], None]):
        self.path, self._token, self._lost = path, token, lost
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    @classmethod
    def take(cls, path: Path, *, lost: Callable[[], None] = lambda: None) -> "Claim | None":
        """The claim, or None where another live process has it.

        Args:
            lost: called, in another thread, if somebody takes the claim over.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        token = f"{_machine()} {os.getpid()} {uuid.uuid4().hex}"
        if _make(path, token) or (_abandoned(path) and _take_over(path, token)):
            return cls(path, token, lost)
        return None

    def release(self) -> None:
        self._released.set()
        self._thread.join()
        if self._mine():
            with suppress(FileNotFoundError):
                self.path.unlink()

    def __enter__(self) -> "Claim":
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _beat(self) -> None:
        while not self._released.wait(BEAT_SEC):
            if not self._mine():
                self._lost()
                return
            with suppress(OSError):
                os.utime(self.path)

    def _mine(self) -> bool:
        return _read(self.path) == self._token


def held(path: Path) -> bool:
    """Whether a live process has the claim at ``path``."""
    return path.exists() and not _abandoned(path)


def _make(path: Path, token: str) -> bool:
    try:
        # Between making and writing it is nobody's yet; its age protects it.
        with open(path, "x", encoding="utf-8") as file:
            file.write(token)
    except FileExistsError:
        return False
    return True


def _take_over(path: Path, token: str) -> bool:
    """One of those who found the claim abandoned gets it."""
    guard = path.with_name(path.name + ".takeover")
    if not _make(guard, token):
        if _age(guard) > STALE_SEC:  # whoever took over died over it
            with suppress(FileNotFoundError):
                guard.unlink()
        return False
    try:
        if not path.exists():
            return _make(path, token)
        if not _abandoned(path):  # another was faster
            return False
        draft = path.with_name(f"{path.name}.{token.rpartition(' ')[2]}")
        draft.write_text(token, encoding="utf-8")
        os.replace(draft, path)
        return True
    finally:
        guard.unlink()


def _abandoned(path: Path) -> bool:
    machine, _, rest = _read(path).partition(" ")
    process = rest.partition(" ")[0]
    if machine == _machine() and process.isdigit() and not _runs(int(process)):
        return True
    return _age(path) > STALE_SEC


def _age(path: Path) -> float:
    """Seconds since the last sign of life, by the clock that stamped it; 0 where the file is gone."""
    probe = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    finally:
        probe.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"  # dead, and nobody has asked after it


def _machine() -> str:
    """This machine, as far as process numbers mean the same: containers have numbers of their own."""
    marks = [platform.node() or "machine"]
    with suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
    with suppress(OSError):
        marks.append(os.readlink("/proc/self/ns/pid").strip("pid:[]"))
    return "/".join(marks).replace(" ", "_")
