"""A store in memory on which the writer dies, and a driver that plays Tune and the trial process on it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from ray import tune

from clsearch.execution import trial
from clsearch.results.store import Store
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.searcher import SweepSearcher
from clsearch.spec.sweep import SweepSpec


class KilledError(BaseException):
    """The process is gone: no handler of errors is meant to stop this."""


class MemoryObjects:
    """Objects in a dict. The writer makes `lives` changes; it dies in place of the next one and does nothing more.

    Attributes:
        history: what the store held before each change, and at the end.
    """

    uri = "memory"

    def __init__(self, objects: Mapping[str, bytes] | None = None, lives: int | None = None) -> None:
        self.objects = dict(objects or {})
        self.history = [dict(self.objects)]
        self._lives = lives

    def put(self, path: str, data: bytes) -> bool:
        if self.exists(path):
            return False
        self._change(self.objects | {path: data})
        return True

    def delete(self, path: str) -> None:
        if self.exists(path):
            self._change({name: data for name, data in self.objects.items() if name != path})

    def get(self, path: str) -> bytes:
        self._check()
        try:
            return self.objects[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def exists(self, path: str) -> bool:
        self._check()
        return path in self.objects

    def list(self, prefix: str) -> list[str]:
        self._check()
        return sorted(path for path in self.objects if path.startswith(prefix))

    def top(self) -> Any:
        raise NotImplementedError

    def check_readable(self) -> None:
        raise NotImplementedError

    def _change(self, objects: dict[str, bytes]) -> None:
        if self._lives is not None:
            self._lives -= 1
        self._check()
        self.objects = objects
        self.history.append(objects)

    def _check(self) -> None:
        if self._lives is not None and self._lives < 0:
            raise KilledError


def drive(spec: SweepSpec, store: Store, learner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a sweep in this process, one job after the other, as driver and trial processes do."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(trial, "open_store", lambda uri, create: store)
    monkeypatch.setattr(tune, "report", reports.append)
    searcher = SweepSearcher(Ledger(spec, store), follow_up)
    for name in map(str, itertools.count()):
        config = searcher.suggest(name)
        if not isinstance(config, dict):
            return
        reports.clear()
        trial.run_trial(config, spec, store.uri, learner)
        *tasks, final = reports
        for task in tasks:
            searcher.on_trial_result(name, task)
        assert final["status"] == "complete", final
        searcher.on_trial_complete(name, final)
