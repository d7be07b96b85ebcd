"""kill -9 of the sweep's driver in the middle, then the same command: nothing lost, doubled or changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clsearch.results.store import Store, open_store
from clsearch.results.trials import best_trial, read_trials

SWEEP = "mora_clip-nano"
_PLACE = ("trial", "phase", "run_seed", "order_seed", "task_learned", "task_evaluated", "split", "eval_setting")


@dataclass
class Command:
    """`python -m clsearch.sweep` on a store of its own, in a process group of its own."""

    store: Store
    parallel: int
    temporary: Path

    def start(self) -> subprocess.Popen[str]:
        words = ["mora_clip", "profile=nano", "trials=5", "confirm.pairs=1", "settings.iterations=40"]
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "clsearch.sweep",
                *words,
                f"max_parallel={self.parallel}",
                f"storage={self.store.uri}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"},
        )

    def run(self) -> str:
        process = self.start()
        text, _ = process.communicate(timeout=180)
        assert process.returncode == 0, text
        return text

    def kill_when(self, pattern: str, how: signal.Signals = signal.SIGKILL) -> int:
        process = self.start()
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if re.search(pattern, line):
                break
        else:
            pytest.fail("the sweep ended before it was killed:\n" + "".join(seen))
        process.send_signal(how)
        return process.wait(timeout=60)

    def rows(self) -> dict[tuple[Any, ...], tuple[str, int]]:
        rows = self.store.read_rows(SWEEP).to_pylist()
        found = {tuple(row[name] for name in _PLACE): (row["stage_key"], row["correct"]) for row in rows}
        assert len(found) == len(rows)
        return found

    def chosen(self) -> Any:
        best = best_trial(read_trials(self.store, SWEEP))
        assert best is not None
        assert best.claim is not None
        assert best.outcome is not None
        return best.number, best.claim["setting"], best.outcome["eval_setting"], best.objective

    def claims(self) -> dict[int, Any]:
        return {trial.number: trial.claim for trial in read_trials(self.store, SWEEP)}


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """Short, because Ray's sockets lie in it; what a killed driver leaves there goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="cls-k-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Command:
    command = Command(open_store(str(tmp_path_factory.mktemp("undisturbed"))), 1, temporary)
    command.run()
    return command


def stages_from_store(text: str) -> int:
    found = re.search(r"stages: \d+ learned, (\d+) from the store", text)
    assert found is not None, text
    return int(found[1])


def test_one_at_a_time_equals_an_undisturbed_run(undisturbed: Command, tmp_path: Path, temporary: Path) -> None:
    command = Command(open_store(str(tmp_path)), 1, temporary)
    command.kill_when(r"trial 2 +task 2/3")
    text = command.run()
    assert "1 carry on with the setting they claimed" in text
    assert stages_from_store(text) >= 2
    assert command.rows() == undisturbed.rows()
    assert command.chosen() == undisturbed.chosen()


def test_two_at_a_time_finish_what_they_claimed(undisturbed: Command, tmp_path: Path, temporary: Path) -> None:
    command = Command(open_store(str(tmp_path)), 2, temporary)
    command.kill_when(r"trial 3 +task 1/3")
    claimed = command.claims()
    text = command.run()
    assert stages_from_store(text) >= 1
    trials = read_trials(command.store, SWEEP)
    assert [trial.number for trial in trials] == list(range(5))
    assert all(trial.status == "complete" for trial in trials)
    assert {number: command.claims()[number] for number in claimed} == claimed
    # Whatever stage both runs learned, they measured the same on it.
    measured = {(key, *place[-3:]): correct for place, (key, correct) in undisturbed.rows().items()}
    shared = 0
    for place, (key, correct) in command.rows().items():
        known = measured.setdefault((key, *place[-3:]), correct)
        assert known == correct
        shared += place[0] == 0
    assert shared > 0


def test_ending_a_driver_leaves_its_trials_to_the_next(tmp_path: Path, temporary: Path) -> None:
    command = Command(open_store(str(tmp_path)), 1, temporary)
    assert command.kill_when(r"trial 0 +task 1/3", signal.SIGTERM) == 130  # as `ray job stop` does
    assert [trial.status for trial in read_trials(command.store, SWEEP)] == ["running"]
    assert command.store.get_json(command.store.end_path(SWEEP, 0, 1))["ended"] == "stopped"


def test_nothing_of_a_killed_driver_is_left(temporary: Path) -> None:
    assert [path for path in temporary.iterdir() if path.name.startswith("clsearch-")] == []
