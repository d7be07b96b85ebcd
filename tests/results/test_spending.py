"""What a sweep has spent: ends, attempts that were lost with their driver, attempts at work, and what a look costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from made_up_store import row

from clsearch.results.rows import rows_table
from clsearch.results.spending import AttemptLog, Spending, close_attempts, end_attempt, exhausted, spent
from clsearch.results.store import Store, StoreError, open_store
from clsearch.spec.keys import eval_hash
from clsearch.spec.sweep import Budget

SWEEP = "alpha"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path))


def begin(store: Store, trial: int, number: int, hour: float, **over: Any) -> None:
    """An attempt that begins so many hours after BEGIN."""
    facts = {"phase": "search", "run_seed": 0, "order_seed": 0, "gpus": 0.0, "asked": f"{trial}-{number}"}
    started = (BEGIN + timedelta(hours=hour)).isoformat()
    store.put_json(store.attempt_path(SWEEP, trial, number), {**facts, "started_at": started, **over})


def end(store: Store, trial: int, number: int, hours: float, ended: Any = "complete") -> None:
    end_attempt(store, SWEEP, trial, number, ended, hours * 3600)


def write_rows(store: Store, trial: int, attempt: int, task: int, hour: float, phase: str = "search") -> None:
    """The rows of a stage, written so many hours after BEGIN; its learning once took a thousand hours."""
    when = BEGIN + timedelta(hours=hour)
    facts = {"phase": phase, "trial": trial, "attempt": attempt, "task_learned": task, "started_at": when}
    table = rows_table([row(**facts, train_seconds=3.6e6, eval_seconds=3.6e6)], {})
    store.put_rows(store.rows_path(SWEEP, trial, phase, 0, 0, task, eval_hash({})), table)


def hours(spending: Spending) -> tuple[float, float, float]:
    return tuple(round(value, 6) for value in (spending.hours, spending.trial_hours, spending.gpu_hours))  # type: ignore[return-value]


def test_nothing_is_spent_before_anything_starts(store: Store) -> None:
    assert spent(store, SWEEP) == Spending(0.0, 0.0, 0.0, 0, 0)


def test_attempts_at_once_count_once_at_work_and_each_in_trials(store: Store) -> None:
    begin(store, 0, 1, 0.0, gpus=2.0)
    end(store, 0, 1, 2.0)
    begin(store, 1, 1, 1.0, gpus=0.5)
    end(store, 1, 1, 2.0)
    begin(store, 2, 1, 10.0, gpus=1.0)  # after a pause of seven hours, which nobody pays for
    end(store, 2, 1, 1.0)
    assert hours(spent(store, SWEEP)) == (4.0, 5.0, 2 * 2 + 2 * 0.5 + 1)


def test_every_phase_counts_and_each_can_be_asked_for(store: Store) -> None:
    begin(store, 0, 1, 0.0)
    end(store, 0, 1, 1.0)
    begin(store, 0, 2, 1.0, phase="race")
    end(store, 0, 2, 2.0)
    begin(store, 0, 3, 3.0, phase="confirm")
    end(store, 0, 3, 4.0)
    assert spent(store, SWEEP).hours == pytest.approx(7.0)
    assert spent(store, SWEEP, ("search",)).hours == pytest.approx(1.0)
    assert spent(store, SWEEP, ("race", "confirm")).hours == pytest.approx(6.0)


@pytest.mark.parametrize("ended", ["failed", "refused", "blocked", "stopped", "lost"])
def test_what_came_to_nothing_was_spent_all_the_same(store: Store, ended: str) -> None:
    begin(store, 0, 1, 0.0)
    end(store, 0, 1, 3.0, ended)
    found = spent(store, SWEEP)
    assert found.hours == pytest.approx(3.0)
    assert found.lost_attempts == (ended == "lost")


def test_without_an_end_an_attempt_counts_until_its_last_rows(store: Store) -> None:
    begin(store, 0, 1, 0.0, gpus=1.0)
    write_rows(store, 0, 1, task=1, hour=2.0)
    write_rows(store, 0, 1, task=2, hour=3.0)
    begin(store, 0, 2, 5.0, gpus=1.0)  # the next driver's; the stages of the first one cost it nothing
    write_rows(store, 0, 2, task=3, hour=6.0)
    end(store, 0, 2, 1.5)
    found = spent(store, SWEEP)
    assert hours(found) == (4.5, 4.5, 4.5)
    assert (found.attempts, found.lost_attempts) == (2, 1)


def test_an_attempt_that_left_nothing_counts_nothing(store: Store) -> None:
    begin(store, 0, 1, 0.0)
    write_rows(store, 0, 7, task=1, hour=5.0, phase="confirm")  # another attempt's
    found = spent(store, SWEEP)
    assert (found.hours, found.lost_attempts) == (0.0, 1)


def test_what_the_asking_driver_has_at_work_counts_until_now(store: Store) -> None:
    begin(store, 0, 1, 0.0, started_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat(), gpus=4.0)
    log = AttemptLog(store, SWEEP)
    log.refresh(store.list(f"trials/{SWEEP}/"))
    found = log.spending(alive={"0-1"})
    assert found.hours == pytest.approx(2.0, abs=0.01)
    assert found.gpu_hours == pytest.approx(8.0, abs=0.04)
    assert found.lost_attempts == 0
    assert log.spending(alive={"another driver's"}).hours == 0.0


def test_attempts_of_before_spending_was_measured_are_read(store: Store) -> None:
    old = {"host": "h", "pid": 1, "phase": "search", "run_seed": 0, "order_seed": 0, "started_at": BEGIN.isoformat()}
    store.put_json(store.attempt_path(SWEEP, 0, 1), old)
    write_rows(store, 0, 1, task=1, hour=1.0)
    assert hours(spent(store, SWEEP)) == (1.0, 1.0, 0.0)


def test_the_first_end_stands(store: Store) -> None:
    begin(store, 0, 1, 0.0)
    end(store, 0, 1, 1.0)
    end(store, 0, 1, 9.0, "lost")
    found = spent(store, SWEEP)
    assert (round(found.hours, 6), found.lost_attempts) == (1.0, 0)


def test_a_driver_ends_the_attempt_it_asked_for_and_no_other(store: Store) -> None:
    now = datetime.now(UTC)
    for number, asked in ((1, "earlier"), (2, "mine"), (3, "another's")):
        begin(store, 0, number, 0.0, started_at=(now - timedelta(hours=number)).isoformat(), asked=asked)
    close_attempts(store, SWEEP, 0, "mine", "lost")
    assert [path.split("/")[-1] for path in store.list(f"trials/{SWEEP}/0/end-")] == ["end-2.json"]
    written = store.get_json(store.end_path(SWEEP, 0, 2))
    assert written["ended"] == "lost"
    assert written["seconds"] == pytest.approx(7200, abs=60)


def test_a_damaged_end_is_named(store: Store) -> None:
    begin(store, 0, 1, 0.0)
    store.put(store.end_path(SWEEP, 0, 1), b"{")
    with pytest.raises(StoreError, match=r"end-1\.json is damaged"):
        spent(store, SWEEP)


def test_a_second_look_reads_only_what_is_new(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for trial in range(20):
        begin(store, trial, 1, trial)
        write_rows(store, trial, 1, task=1, hour=trial + 0.5)  # lost with their driver ...
        begin(store, trial, 2, trial + 0.5)  # ... and followed by another attempt
        end(store, trial, 2, 0.25)
    log = AttemptLog(store, SWEEP)
    log.refresh(store.list(f"trials/{SWEEP}/"))
    assert log.spending().hours == pytest.approx(15.0)

    read: list[str] = []
    get, list_ = store.get, store.list
    monkeypatch.setattr(store, "get", lambda path: read.append(path) or get(path))
    paths = store.list(f"trials/{SWEEP}/")
    monkeypatch.setattr(store, "list", lambda prefix: read.append(prefix) or list_(prefix))
    log.refresh(paths)
    assert log.spending().hours == pytest.approx(15.0)
    assert read == []
    begin(store, 20, 1, 100.0)
    end(store, 20, 1, 1.0)
    log.refresh(list_(f"trials/{SWEEP}/"))
    assert log.spending().hours == pytest.approx(16.0)
    assert len(read) == 2


def test_the_last_rows_are_found_without_reading_all_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store, 0, 1, 0.0)
    begin(store, 0, 2, 20.0)
    for task in range(1, 13):  # eleven of the first attempt, one of the second; neither ended
        write_rows(store, 0, 1 + (task == 12), task, hour=25.0 if task == 12 else task)
    read: list[str] = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda path: read.append(path) or get(path))
    assert spent(store, SWEEP).hours == pytest.approx(11.0 + 5.0)
    tasks = {path.rsplit("-", 2)[1] for path in read if path.startswith("rows/")}
    assert tasks == {"t12", "t11"}


def test_another_drivers_attempt_is_looked_at_again_until_it_ends(store: Store) -> None:
    log = AttemptLog(store, SWEEP)
    begin(store, 0, 1, 0.0)
    seen = []
    for task in (1, 2, 3):
        write_rows(store, 0, 1, task=task, hour=task)
        log.refresh(store.list(f"trials/{SWEEP}/"))
        seen.append(round(log.spending().hours, 6))
    end(store, 0, 1, 3.5)
    log.refresh(store.list(f"trials/{SWEEP}/"))
    assert [*seen, round(log.spending().hours, 6)] == [1.0, 2.0, 3.0, 3.5]


@pytest.mark.parametrize(
    ("budget", "gone"),
    [
        (Budget(), None),
        (Budget(hours=3.0), None),
        (Budget(hours=2.0), "budget.hours=2"),
        (Budget(gpu_hours=8.5), None),
        (Budget(hours=3.0, gpu_hours=8.0), "budget.gpu_hours=8"),
        (Budget(hours=0.0), "budget.hours=0"),
    ],
)
def test_a_budget_is_gone_once_one_part_of_it_is(budget: Budget, gone: str | None) -> None:
    assert exhausted(budget, Spending(2.0, 4.0, 8.0, 3, 0)) == gone
