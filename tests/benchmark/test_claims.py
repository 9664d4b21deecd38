"""One holder at a time, whatever becomes of the one before."""

import os
import subprocess
import sys
import threading
import time

from selfcure.benchmark import claims
from selfcure.benchmark.claims import Claim, held


def test_only_one_of_many_gets_it(tmp_path):
    lock, got = tmp_path / "lock", []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        got.append(Claim.take(lock))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (claim,) = [claim for claim in got if claim]
    assert held(lock)
    claim.release()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_loses_it_at_once(tmp_path):
    lock = tmp_path / "lock"
    code = f"from pathlib import Path; import os; from selfcure.benchmark.claims import Claim\nClaim.take(Path({str(lock)!r})); os._exit(0)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert lock.exists()
    assert not held(lock)
    with Claim.take(lock) as claim:
        assert claim is not None
        assert Claim.take(lock) is None
    assert list(tmp_path.iterdir()) == []


def test_another_machine_loses_it_when_it_falls_silent(tmp_path):
    lock = tmp_path / "lock"
    lock.write_text("elsewhere/0/0 1 token")
    assert Claim.take(lock) is None
    silent = time.time() - claims.STALE_SEC - 5
    os.utime(lock, (silent, silent))
    with Claim.take(lock):
        assert Claim.take(lock) is None


def test_one_of_many_takes_over(tmp_path):
    lock, got = tmp_path / "lock", []
    lock.write_text("elsewhere/0/0 1 token")
    os.utime(lock, (0, 0))
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        got.append(Claim.take(lock))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (claim,) = [claim for claim in got if claim]
    claim.release()


def test_the_holder_gives_signs_of_life_and_learns_of_its_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SEC", 0.02)
    lost = threading.Event()
    claim = Claim.take(tmp_path / "lock", lost=lost.set)
    os.utime(tmp_path / "lock", (0, 0))
    time.sleep(0.2)
    assert (tmp_path / "lock").stat().st_mtime > 0
    (tmp_path / "lock").write_text("elsewhere/0/0 1 token")
    assert lost.wait(5)
    claim.release()
    assert (tmp_path / "lock").exists()
