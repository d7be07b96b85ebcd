"""A stored sweep as an Optuna study, with all that is known of its trials: to look at, to plot, to hand on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from clsearch.errors import UsageError, nearest
from clsearch.results.metrics import METRICS
from clsearch.results.permitted import UnfinishedError, permitted_or_shown, score
from clsearch.results.sequences import COLUMNS, Measured, measured_sequences
from clsearch.results.store import Store
from clsearch.results.trials import TrialRecord, read_trials
from clsearch.search.study import Problem, as_optuna, make_study
from clsearch.spec.protocols import Protocol, read_protocol
from clsearch.spec.settings import coerce

DATABASES, JOURNALS = (".db", ".sqlite", ".sqlite3"), (".log", ".journal")
_OF_OUTCOME = (
    "tasks_learned",
    "tasks_total",
    "eval_setting",
    "costs",
    "violations",
    "stopped",
    "cause",
    "wall_seconds",
)


def stored_study(store: Store, sweep: str, storage: BaseStorage | None = None) -> optuna.Study:
    """The study of a stored sweep: every claimed trial in number order, in memory unless a storage is given.

    A trial's user attributes are its number in the store (`trial`), what its outcome says, and where it is complete the
    metrics of its validation rows under its best eval setting (`validation_forgetting`, ...; %), over the entries that
    the sweep's protocol permits. Test rows are not in it.

    Raises:
        UsageError: the store has no such sweep.
    """
    identity = _identity(store, sweep)
    problem = Problem.stored(sweep, identity)
    records = [record for record in read_trials(store, sweep) if record.claim is not None]
    figures = _figures(store, sweep, read_protocol(identity["protocol"], f"sweep {sweep}"), records)
    trials = []
    for record in records:
        assert record.claim is not None
        setting = {
            name: coerce(identity["method"], name, value, f"{sweep}, trial {record.number}")
            for name, value in record.claim["setting"].items()
        }
        trials.append(as_optuna(problem, record, setting, _attributes(record) | figures.get(record.number, {})))
    return make_study(problem, trials, storage=storage)


def export_study(store: Store, sweep: str, out: Path) -> int:
    """Write the study of a sweep to a new file, an SQLite database or a journal by its suffix; returns its trials.

    Raises:
        UsageError: the store has no such sweep; the file exists already; its folder does not; its suffix says neither.
    """
    if out.suffix not in (*DATABASES, *JOURNALS):
        raise UsageError(
            f"--out {out}: the suffix says what to write: {', '.join(DATABASES)} an SQLite database, "
            f"{', '.join(JOURNALS)} an Optuna journal"
        )
    if out.exists():
        raise UsageError(f"--out {out} exists already: name a new file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.absolute().parent}")
    # Made beside its place and then moved there, so that no half a study is ever found under the name.
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".study-") as folder:
        made = Path(folder) / out.name
        if out.suffix in JOURNALS:
            count = len(stored_study(store, sweep, JournalStorage(JournalFileBackend(str(made)))).trials)
        else:
            storage = RDBStorage(f"sqlite:///{made}")
            count = len(stored_study(store, sweep, storage).trials)
            storage.remove_session()
            storage.engine.dispose()
        made.rename(out)
    return count


def _identity(store: Store, sweep: str) -> Mapping[str, Any]:
    try:
        identity: Mapping[str, Any] = store.get_json(store.sweep_path(sweep))
    except FileNotFoundError:
        names = [path.removeprefix("sweeps/").removesuffix(".json") for path in store.list("sweeps/")]
        raise UsageError(f"store {store.uri} has no sweep '{sweep}': {nearest(sweep, names)}") from None
    return identity


def _attributes(record: TrialRecord) -> dict[str, Any]:
    outcome = record.outcome or {}
    known = {name: outcome[name] for name in _OF_OUTCOME if outcome.get(name) not in (None, {})}
    return {"trial": record.number, "attempts": record.attempts} | known


def _figures(
    store: Store, sweep: str, protocol: Protocol, records: Iterable[TrialRecord]
) -> dict[int, dict[str, float]]:
    """By complete trial, every metric that its validation rows have under its best eval setting."""
    chosen = {
        record.number: record.outcome["eval_setting"]
        for record in records
        if record.outcome is not None and record.status == "complete"
    }
    rows = store.read_rows(sweep, columns=COLUMNS, phase="search")
    return {
        found.trial: _metrics(found, protocol)
        for found in measured_sequences(rows)
        if found.split == "validation" and chosen.get(found.trial) == json.loads(found.eval_setting)
    }


def _metrics(found: Measured, protocol: Protocol) -> dict[str, float]:
    try:
        matrix = permitted_or_shown(found, protocol)
    except UnfinishedError:
        return {}
    values = {f"validation_{name}": score(matrix, name) for name in METRICS}
    return {name: value for name, value in values.items() if value == value}  # NaN: the metric is not defined here
