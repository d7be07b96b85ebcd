"""What a sweep has spent, measured: every start of a trial process, in every phase, those that were lost included.

A start leaves `attempt-<n>.json` with its trial, and its end `end-<n>.json`: how it ended, after how many seconds of
wall clock. The process writes its own end; where the driver saw it die, or stopped it, the driver does. An attempt
without an end, because the driver was killed too, counts from its start to the last rows that it wrote: what it did
after them is not known and not counted. A stage that was found in the store costs the seconds of finding it, not what
it once cost.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from clsearch.results import rows as row_files
from clsearch.results.store import Store, parse_row_name
from clsearch.spec.sweep import Budget

# As the job is reported; stopped: told to end, with its driver or by it; lost: the process went away.
Ended = Literal["complete", "pruned", "failed", "refused", "blocked", "stopped", "lost"]
Name = tuple[int, int]  # trial, number of the attempt


@dataclass(frozen=True)
class Spending:
    """What attempts have taken.

    Attributes:
        hours: at work: the length of the union of the attempts' times, so that two at once count once.
        trial_hours: the sum of the attempts' times.
        gpu_hours: the same, each times the GPUs that it held.
        attempts, lost_attempts: how many, and how many of them went away: with such an end, or without any.
    """

    hours: float
    trial_hours: float
    gpu_hours: float
    attempts: int
    lost_attempts: int


@dataclass(frozen=True)
class Attempt:
    """One start of a trial process, at `started` (seconds since 1970, by its own machine's clock)."""

    trial: int
    number: int
    phase: str
    run_seed: int
    order_seed: int
    asked: str | None  # the driver's name for the job, another one in each run of each driver
    gpus: float
    started: float

    @property
    def job(self) -> tuple[int, str, int, int]:
        return self.trial, self.phase, self.order_seed, self.run_seed


class AttemptLog:
    """The attempts of one sweep: objects are read once each, whatever can still grow is looked at again."""

    def __init__(self, store: Store, sweep: str) -> None:
        self._store = store
        self._sweep = sweep
        self._attempts: dict[Name, Attempt] = {}
        self._ends: dict[Name, Mapping[str, Any]] = {}
        self._last_rows: dict[Name, float] = {}  # seconds since 1970
        self._writers: dict[str, tuple[int, float | None]] = {}  # of row files: the attempt, and when
        self._looked_at: set[Name] = set()

    def refresh(self, paths: Iterable[str]) -> None:
        """Read the attempts and ends among `paths`, a listing of the sweep's trials; raises StoreError if damaged."""
        names = {path: _parse(path) for path in paths}
        kinds: dict[str, dict[Name, Any]] = {"attempt": self._attempts, "end": self._ends}
        for kind, known in kinds.items():
            new = {path: at for path, (which, at) in names.items() if which == kind and at not in known}
            values = self._store.read_many(new, self._store.get_json)
            for at, value in zip(new.values(), values, strict=True):
                known[at] = _attempt(at, value) if kind == "attempt" else value

    def spending(self, phases: Collection[str] | None = None, alive: Collection[str] = ()) -> Spending:
        """What the attempts of these phases (default: of all) have taken by now.

        Args:
            alive: the names under which the asking driver is having jobs done: their attempts count until now. What
                another driver has at work counts as one without an end, until it ends.
        """
        wanted = {name: one for name, one in self._attempts.items() if phases is None or one.phase in phases}
        open_ones = {name for name in wanted if name not in self._ends}
        at_work = {name for name in open_ones if wanted[name].asked in alive}
        self._read_rows(open_ones - at_work)
        now = time.time()
        spans = []
        for name, one in wanted.items():
            end = self._ends.get(name)
            if end is not None:
                reached = one.started + end["seconds"]
            else:
                reached = now if name in at_work else self._last_rows[name]
            spans.append((one.started, max(one.started, reached), one.gpus))
        lost = sum(self._ends[name]["ended"] == "lost" for name in wanted.keys() - open_ones)
        return Spending(
            hours=_union((start, end) for start, end, _ in spans) / 3600,
            trial_hours=sum(end - start for start, end, _ in spans) / 3600,
            gpu_hours=sum((end - start) * gpus for start, end, gpus in spans) / 3600,
            attempts=len(spans),
            lost_attempts=lost + len(open_ones - at_work),
        )

    def _read_rows(self, names: Iterable[Name]) -> None:
        """Note when each of these attempts wrote its last rows."""
        newest = {one.job: one.number for one in sorted(self._attempts.values(), key=lambda one: one.number)}
        wanted = [name for name in names if name not in self._looked_at]
        found = self._store.read_many([self._attempts[name] for name in wanted], self._last_written)
        for name, written in zip(wanted, found, strict=True):
            self._last_rows[name] = written
            if newest[self._attempts[name].job] != name[1]:
                self._looked_at.add(name)  # once is enough: one that was followed by another writes no more

    def _last_written(self, one: Attempt) -> float:
        """When an attempt wrote its last rows, or else when it started: read from the last task back to one of its."""
        trial, phase, order_seed, run_seed = one.job
        paths = self._store.list(f"rows/{self._sweep}/{trial}-{phase}-{order_seed}-{run_seed}-t")
        tasks = {path: name.task_learned for path in paths if (name := parse_row_name(path)) is not None}
        for path in sorted(tasks, key=lambda path: -tasks[path]):
            if path not in self._writers:
                self._writers[path] = self._writer(path)
            number, written = self._writers[path]
            if number == one.number and written is not None:
                return written
        return one.started

    def _writer(self, path: str) -> tuple[int, float | None]:
        """Which attempt wrote a row file, and when."""
        table = row_files.decode(self._store.get(path), f"{self._store.uri}/{path}", ("attempt", "started_at"))
        first: dict[str, Any] = table.slice(0, 1).to_pylist()[0]
        return first["attempt"], None if first["started_at"] is None else first["started_at"].timestamp()


def spent(store: Store, sweep: str, phases: Collection[str] | None = None) -> Spending:
    """What a sweep has spent in these phases, or in all, as `AttemptLog.spending` counts it."""
    log = AttemptLog(store, sweep)
    log.refresh(store.list(f"trials/{sweep}/"))
    return log.spending(phases)


def exhausted(budget: Budget, search: Spending) -> str | None:
    """Which part of a budget the search has spent, as `budget.hours=2`; None while there is some left of each."""
    if budget.hours is not None and search.hours >= budget.hours:
        return f"budget.hours={budget.hours:g}"
    if budget.gpu_hours is not None and search.gpu_hours >= budget.gpu_hours:
        return f"budget.gpu_hours={budget.gpu_hours:g}"
    return None


def end_attempt(store: Store, sweep: str, trial: int, number: int, ended: Ended, seconds: float) -> None:
    """Write how an attempt ended, after so many seconds of wall clock; the first end written stands."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    end = {"ended": ended, "seconds": max(0.0, seconds), "ended_at": now}
    store.put_json(store.end_path(sweep, trial, number), end)


def close_attempts(store: Store, sweep: str, trial: int, asked: str, ended: Ended) -> None:
    """Write an end, as of now, for each attempt of a trial that was asked for under this name and has none.

    For the driver, of a process that can no longer do so. The clocks of their machines should agree to a second or so.
    """
    log = AttemptLog(store, sweep)
    log.refresh(store.list(f"trials/{sweep}/{trial}/"))
    for name, one in log._attempts.items():
        if one.asked == asked and name not in log._ends:
            end_attempt(store, sweep, trial, one.number, ended, time.time() - one.started)


def _parse(path: str) -> tuple[str, Name]:
    """(attempt | end, (trial, number)) of an object's path; another kind for any other object."""
    parts = path.split("/")
    kind, _, number = parts[-1].removesuffix(".json").partition("-")
    if len(parts) != 4 or not parts[2].isdigit() or not number.isdigit():
        return "", (-1, -1)
    return kind, (int(parts[2]), int(number))


def _attempt(name: Name, value: Mapping[str, Any]) -> Attempt:
    trial, number = name
    return Attempt(
        trial=trial,
        number=number,
        phase=value["phase"],
        run_seed=value["run_seed"],
        order_seed=value["order_seed"],
        # Attempts of before spending was measured do not say these.
        asked=value.get("asked"),
        gpus=value.get("gpus", 0.0),
        started=datetime.fromisoformat(value["started_at"]).timestamp(),
    )


def _union(spans: Iterable[tuple[float, float]]) -> float:
    """The length of what intervals cover together."""
    length, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length
