"""A table: what complete trials of one sweep measured, as arrays. Replays run over it; it holds no test rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clsearch.errors import UsageError
from clsearch.results.permitted import ExcludedError, permitted_so_far, score
from clsearch.results.sequences import COLUMNS, Measured, measured_sequences
from clsearch.results.table_files import TableRows, validation_rows
from clsearch.spec.conditions import active_setting, in_order
from clsearch.spec.parameters import Parameter, parameter_from_json
from clsearch.spec.protocols import Protocol, read_protocol
from clsearch.spec.schema import NEED_FUTURE_TASKS
from clsearch.spec.settings import coerce

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pair = tuple[int, int]

_SECONDS = ("train_seconds", "eval_seconds")


@dataclass(frozen=True, eq=False)
class Table:
    """Settings x eval settings x pairs of seeds, of validation rows alone.

    Attributes:
        where, sweep, identity: where the rows come from and what was asked.
        trials: the settings' trial numbers, rising; 0, where it is there, is the published setting.
        parameters: the searched ones, each after those its condition names.
        settings: the value of every searched parameter; an inactive one's is its published value.
        eval_settings: the published one first.
        pairs: (run seed, order seed); the search's first. A setting has all eval settings of a pair or none.
        correct, count: [setting, eval setting, pair, task learned, task evaluated]; count 0 where nothing was measured.
        learn_seconds: [setting, pair, task learned]; NaN where absent.
        evaluate_seconds: [setting, eval setting, pair, task learned]; its share, where several were evaluated at once.
    """

    where: str
    sweep: str
    identity: Mapping[str, Any]
    parameters: tuple[Parameter, ...]
    trials: tuple[int, ...]
    settings: tuple[Mapping[str, Any], ...]
    eval_settings: tuple[Mapping[str, Any], ...]
    pairs: tuple[Pair, ...]
    correct: Ints
    count: Ints
    learn_seconds: Floats
    evaluate_seconds: Floats
    sequences: Mapping[tuple[int, int, int], Measured]  # by place: (setting, eval setting, pair)

    @property
    def metric(self) -> str:
        """The sweep's objective."""
        return str(self.identity["objective"]["metric"])

    @property
    def direction(self) -> Literal["max", "min"]:
        """Which way is better."""
        return "min" if self.identity["objective"]["direction"] == "min" else "max"

    @property
    def protocol(self) -> Protocol:
        """By which entries the sweep chose."""
        return read_protocol(str(self.identity["protocol"]), self.where)

    @property
    def permitted_tasks(self) -> int:
        """How many tasks of a sequence the protocol lets choose: the length of the curves."""
        return int(self.count.shape[-1])

    def has(self) -> NDArray[np.bool_]:
        """[setting, pair]: what was measured."""
        return np.asarray((self.count.sum(axis=(-1, -2)) > 0).all(axis=1))

    def curves(self) -> Floats:
        """[setting, eval setting, pair, t]: the objective after t+1 tasks over permitted entries; NaN where absent.

        Raises UsageError under protocol `published`, by which nothing is chosen.
        """
        protocol = self.protocol
        result = np.full(self.count.shape[:-1], np.nan)
        try:
            for place, sequence in self.sequences.items():
                for task in range(1, self.permitted_tasks + 1):
                    result[(*place, task - 1)] = score(permitted_so_far(sequence, protocol, task), self.metric)
        except ExcludedError as error:
            raise UsageError(f"{self.where}: {error}") from None
        return result


def load_table(where: str, sweep: str | None = None) -> Table:
    """The table of a package table's name, a `.parquet` file or a store; settings that are not complete are left out.

    A setting is complete where all stages of the search's pair have their rows under every eval setting, as far as the
    protocol lets them choose.

    Raises:
        UsageError: there is no such place or sweep, or no setting in it is complete; the message says what to do.
    """
    names = (*COLUMNS, "setting", *_SECONDS)
    return make_table(validation_rows(where, sweep, names))


def make_table(found: TableRows) -> Table:
    """The table of a sweep's validation rows; raises UsageError where no setting is complete."""
    identity = found.identity
    method = str(identity["method"])
    parameters = in_order([parameter_from_json(method, name, facts) for name, facts in identity["space"].items()])
    whole = identity["objective"]["metric"] in NEED_FUTURE_TASKS
    evals = _eval_settings(found, identity)
    measured = [
        sequence
        for sequence in _permitted(found, identity)
        if sequence.complete(whole) and json.loads(sequence.eval_setting) in evals
    ]
    complete = _complete(measured, len(evals))
    home = (int(identity["seeds"]["run"]), int(identity["seeds"]["order"]))
    trials = sorted(trial for trial, pair in complete if pair == home)
    if not trials:
        raise UsageError(
            f"{found.where} has no complete trial: let its search end, then replay it "
            "(a table for replays is made by a sweep with table.pairs=3)"
        )
    pairs = sorted({pair for trial, pair in complete if trial in trials}, key=lambda pair: _distance(pair, home))
    places = _Places(trials, [json.dumps(setting, sort_keys=True) for setting in evals], pairs)
    sequences = {
        place: sequence
        for sequence in measured
        if (sequence.trial, sequence.pair) in complete and (place := places.of(sequence)) is not None
    }
    tasks = max(len(sequence.count) for sequence in sequences.values())
    shape = (len(trials), len(evals), len(pairs), tasks)
    correct, count = (np.zeros((*shape, tasks), dtype=np.int64) for _ in range(2))
    for place, sequence in sequences.items():
        correct[place], count[place] = sequence.correct, sequence.count
    learn, evaluate = _seconds(found, places, shape)
    return Table(
        where=found.where,
        sweep=found.sweep,
        identity=identity,
        parameters=parameters,
        trials=tuple(trials),
        settings=_settings(found, method, parameters, trials),
        eval_settings=tuple(evals),
        pairs=tuple(pairs),
        correct=correct,
        count=count,
        learn_seconds=learn,
        evaluate_seconds=evaluate,
        sequences=sequences,
    )


@dataclass(frozen=True)
class _Places:
    """Where things are on the axes."""

    trials: Sequence[int]
    evals: Sequence[str]  # as JSON with sorted keys
    pairs: Sequence[Pair]

    def of(self, sequence: Measured) -> tuple[int, int, int] | None:
        return self.at(sequence.trial, sequence.eval_setting, sequence.pair)

    def at(self, trial: int, eval_setting: str, pair: Pair) -> tuple[int, int, int] | None:
        if trial not in self.trials or pair not in self.pairs:
            return None
        name = json.dumps(json.loads(eval_setting), sort_keys=True)
        return self.trials.index(trial), self.evals.index(name), self.pairs.index(pair)


def _permitted(found: TableRows, identity: Mapping[str, Any]) -> list[Measured]:
    """The sequences, each with the tasks that the protocol lets choose: others may not have been learned."""
    tasks = read_protocol(str(identity["protocol"]), found.where).tasks
    return [
        replace(sequence, correct=sequence.correct[:tasks, :tasks], count=sequence.count[:tasks, :tasks])
        for sequence in measured_sequences(found.rows)
    ]


def _eval_settings(found: TableRows, identity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the rows, in the grid's order: the published one first."""
    grid = sorted(identity.get("eval_grid", {}).items())
    every = [json.loads(text) for text in found.rows["eval_setting"].combine_chunks().unique().to_pylist()]
    asked = [one for one in every if all(one.get(name) in values for name, values in grid)]
    return sorted(asked, key=lambda one: [values.index(one[name]) for name, values in grid])


def _complete(measured: Sequence[Measured], evals: int) -> set[tuple[int, Pair]]:
    """(trial, pair) with complete rows under every eval setting."""
    times: dict[tuple[int, Pair], int] = {}
    for sequence in measured:
        key = sequence.trial, sequence.pair
        times[key] = times.get(key, 0) + 1
    return {key for key, number in times.items() if number == evals}


def _distance(pair: Pair, home: Pair) -> tuple[int, int]:
    """The search's own pair first, then the fresh ones in the order in which a sweep spends them."""
    return (pair[0] - home[0]) % 2**32, (pair[1] - home[1]) % 2**32


def _settings(
    found: TableRows, method: str, parameters: Sequence[Parameter], trials: Sequence[int]
) -> tuple[Mapping[str, Any], ...]:
    numbers, texts = (found.rows[name].to_pylist() for name in ("trial", "setting"))
    by_trial = dict(zip(numbers, texts, strict=True))
    settings = []
    for trial in trials:
        whole = json.loads(by_trial[trial])
        values = {p.name: coerce(method, p.name, whole[p.name], f"setting of {found.sweep}") for p in parameters}
        settings.append({p.name: p.published for p in parameters} | active_setting(parameters, values))
    return tuple(settings)


def _seconds(found: TableRows, places: _Places, shape: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    settings, _, pairs, tasks = shape
    learn, evaluate = np.full((settings, pairs, tasks), np.nan), np.full(shape, np.nan)
    columns = ("trial", "eval_setting", "run_seed", "order_seed", "task_learned", *_SECONDS)
    # One row of many says it as well as all of them.
    every = {*zip(*(found.rows[name].to_pylist() for name in columns), strict=True)}
    for trial, setting, run, order, task, train, evaluated in every:
        place = places.at(trial, setting, (run, order))
        if place is not None and task <= tasks:
            s, e, p = place
            learn[s, p, task - 1] = np.nan if train is None else train
            evaluate[s, e, p, task - 1] = np.nan if evaluated is None else evaluated
    return learn, evaluate
