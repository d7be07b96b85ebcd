"""kill -9 of a sweep's driver at 20 random moments of search, race and confirmation: nothing of it shows."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from said import facts

from clsearch.results.spending import spent
from clsearch.results.store import Store, open_store
from clsearch.results.trials import best_trial, read_trials
from clsearch.search.cluster import QUIET

KILLS = 20
SEED = 7
SWEEP = "mora_clip-nano"
WORDS = (
    "mora_clip profile=nano max_parallel=1 trials=5 sampler.startup=2 eval_grid.threshold=[0.2,0.1] "
    "race.top=2 race.pairs=3 confirm.pairs=2"
)


class Nursery:
    """Starts drivers, and kills them with their process group."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "CLSEARCH_TEST_LOG": str(log)},
        )

    def start(self, store: Store) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{WORDS} storage={store.uri}\n")
        self._process.stdin.flush()
        return int(self._answer())

    def exit_code(self) -> int:
        return int(self._answer())

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """Short, because Ray's sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="cls-r-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def nursery(temporary: Path) -> Iterator[Nursery]:
    """Drivers connect to a cluster that outlives them, as submitted jobs do."""
    here = Path(__file__).parent
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(here.parent / "search"))  # where trial processes find the known curves
        patch.setenv("TMPDIR", str(temporary))
        patch.delenv("RAY_ADDRESS", raising=False)
        import ray

        context = ray.init(
            "local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=150_000_000,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _temp_dir=str(temporary),
        )
        drivers = Nursery({**os.environ, "RAY_ADDRESS": context.address_info["address"]}, temporary / "drivers.log")
        yield drivers
        drivers.end()
        ray.shutdown()


def objects(store: Store) -> dict[str, bytes]:
    return {path: store.get(path) for path in store.list("") if not path.startswith("selftest/")}


def progress(store: Store) -> int:
    """How many of the objects are there that an undisturbed run writes, whoever writes them."""
    trials = [path for path in store.list("trials/") if path.endswith(("claim.json", "outcome.json"))]
    return len(trials) + len(store.list("rows/")) + len(store.list("verdicts/"))


def starts(store: Store) -> Counter[str]:
    """Attempts by phase."""
    return Counter(store.get_json(path)["phase"] for path in store.list("trials/") if "/attempt-" in path)


def test_twenty_random_kills_change_nothing(nursery: Nursery, tmp_path: Path, temporary: Path) -> None:
    undisturbed = open_store(str(tmp_path / "undisturbed"))
    nursery.start(undisturbed)
    assert nursery.exit_code() == 0, nursery.log.read_text()
    whole = progress(undisturbed)

    store = open_store(str(tmp_path / "killed"))
    chance = random.Random(SEED)
    for moment in sorted(chance.randrange(whole) for _ in range(KILLS)):
        pid = nursery.start(store)
        at_once = progress(store) > moment  # two moments close together: this one falls into the driver's start
        while progress(store) <= moment and _is_alive(pid):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 1.0 if at_once else 0.05))
        os.killpg(pid, signal.SIGKILL)
        assert nursery.exit_code() == -signal.SIGKILL, nursery.log.read_text()
    nursery.start(store)
    assert nursery.exit_code() == 0, nursery.log.read_text()

    assert facts(objects(store)) == facts(objects(undisturbed))
    first, second = (best_trial(read_trials(one, SWEEP)) for one in (store, undisturbed))
    assert first is not None
    assert second is not None
    assert (first.number, first.objective) == (second.number, second.objective)
    # Every phase was hit, and what was lost is counted.
    again = starts(store) - starts(undisturbed)
    assert again.keys() == {"search", "race", "confirm"}
    spending = spent(store, SWEEP)
    assert spending.lost_attempts > 0
    assert spending.attempts == starts(store).total()
    assert [path for path in temporary.iterdir() if path.name.startswith("clsearch-")] == []


def _is_alive(pid: int) -> bool:
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path(f"/proc/{pid}").exists() else False
