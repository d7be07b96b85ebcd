"""Whole sweeps under each protocol, without Ray: what is learned where, what chooses, and that test never does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import known_curves
import pytest
from in_process import play

from clsearch.execution.job import Job, make_request, search_job
from clsearch.leaderboard import load_boards
from clsearch.results.permitted import ExcludedError, permitted_matrix
from clsearch.results.sequences import measured_sequences
from clsearch.results.store import Store, open_store
from clsearch.results.trials import read_trials
from clsearch.spec.sweep import SweepSpec

Make = Callable[..., SweepSpec]

CIL = ("benchmark=nano_cil", "objective.metric=last")  # four tasks, so that halves have two
# overrides; then by phase the benchmark, the tasks learned and the tasks of the sequence.
PROTOCOLS = {
    "end_of_sequence": ((), ("nano_x_tail", 3, 3), ("nano_x_tail", 3, 3)),
    "first_tasks(2)": ((), ("nano_x_tail", 2, 3), ("nano_x_tail", 3, 3)),
    "disjoint_tasks(2)": (CIL, ("nano_cil", 2, 2), ("nano_cil", 2, 2)),
    "cross_dataset(nano_cil)": (("objective.metric=last",), ("nano_cil", 4, 4), ("nano_x_tail", 3, 3)),
    "published": ((), ("nano_x_tail", 3, 3), ("nano_x_tail", 3, 3)),
}
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def sweep(make_spec: Make, protocol: str, *overrides: str) -> SweepSpec:
    return make_spec(f"protocol={protocol}", "eval_grid.threshold=[0.2, 0.1]", *PROTOCOLS[protocol][0], *overrides)


def learned(store: Store, spec: SweepSpec) -> dict[str, set[tuple[str, int, int]]]:
    """By phase: the benchmark, the last task with rows, and the tasks of the sequence."""
    found: dict[str, set[tuple[str, int, int]]] = {}
    for one in measured_sequences(store.read_rows(spec.name)):
        last = int((one.count > 0).any(axis=1).sum())
        assert not one.count[last:].any()
        assert not one.count[:, last:].any()
        found.setdefault(one.phase, set()).add((one.benchmark, last, one.tasks_total))
    return found


def decisions(store: Store, spec: SweepSpec) -> tuple[Any, ...]:
    """All that a search and a race decide: proposals, objectives, the verdict with the state of the race."""
    trials = [(t.number, t.claim["setting"], t.outcome["objectives"]) for t in read_trials(store, spec.name)]  # type: ignore[index]
    verdicts = [store.get_json(path) for path in store.list(f"verdicts/{spec.name}/")]
    assert verdicts
    return trials, [{k: v for k, v in verdict.items() if k != "written_at"} for verdict in verdicts]


@every_protocol
def test_each_phase_learns_what_the_protocol_says(make_spec: Make, store: Store, protocol: str) -> None:
    _, chosen, measured = PROTOCOLS[protocol]
    spec = sweep(make_spec, protocol, "trials=4", "race.top=2", "race.pairs=3", "confirm.pairs=2")
    jobs = play(spec, store, known_curves.learn)
    expected = {"search": {chosen}, "race": {chosen}, "confirm": {measured}}
    if protocol == "published":
        del expected["race"]
        assert [(job.phase, job.trial) for job in jobs] == [("search", 0), ("confirm", 0), ("confirm", 0)]
    assert learned(store, spec) == expected
    assert play(spec, store, known_curves.learn) == []
    rows = store.read_rows(spec.name).to_pylist()
    assert {(row["phase"], row["split"]) for row in rows} == {
        *((phase, "validation") for phase in expected),
        ("confirm", "test"),
    }
    assert {row["protocol"] for row in rows} == {protocol}


@every_protocol
def test_the_board_is_that_of_the_sweeps_own_benchmark(make_spec: Make, store: Store, protocol: str) -> None:
    spec = sweep(make_spec, protocol, "trials=4")
    play(spec, store, known_curves.learn)
    (board,) = load_boards(store)
    assert (board.benchmark, board.protocol, board.hidden) == (spec.benchmark, protocol, {})
    seen = {
        "first_tasks(2)": "first 2 tasks",
        "disjoint_tasks(2)": "first 2 tasks",
        "cross_dataset(nano_cil)": "all of nano_cil",
    }
    assert board.unconfirmed
    assert {line.seen for line in board.unconfirmed} == {seen.get(protocol, "")}
    best = next(line for line in board.unconfirmed if "best" in line.role)
    (trial,) = [t for t in read_trials(store, spec.name) if t.number == best.trial]
    assert best.mean(spec.objective.metric) == pytest.approx(trial.objective)
    spec = sweep(make_spec, protocol, "trials=4", "confirm.pairs=2")
    play(spec, store, known_curves.learn)
    (board,) = load_boards(store)
    assert {line.tasks_total for line in board.confirmed} == {PROTOCOLS[protocol][2][2]}
    assert {line.seen for line in board.confirmed} == {""}


@every_protocol
def test_no_row_of_the_confirmation_chooses(make_spec: Make, store: Store, protocol: str) -> None:
    spec = sweep(make_spec, protocol, "trials=2", "confirm.pairs=1")
    play(spec, store, known_curves.learn)
    sequences = measured_sequences(store.read_rows(spec.name, phase="confirm"))
    assert {one.split for one in sequences} == {"validation", "test"}
    for one in sequences:
        with pytest.raises(ExcludedError):
            permitted_matrix(one, spec.protocol)


@pytest.mark.parametrize("protocol", [name for name in PROTOCOLS if name != "published"])
def test_other_test_counts_change_no_decision(
    make_spec: Make, store: Store, tmp_path: Path, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Test rows turned upside down, and in the store before the race is looked at again: everything stays as it was."""
    spec = sweep(make_spec, protocol, "trials=6", "race.top=3", "race.pairs=4", "confirm.pairs=2")
    jobs = play(spec, store, known_curves.learn)
    before = decisions(store, spec)
    assert before[1][0]["race"]["pairs_done"] >= 3
    count = known_curves.correct

    def upside_down(request: Any, eval_setting: Any, learned: int, evaluated: int, split: str) -> int:
        right = count(request, eval_setting, learned, evaluated, split)
        return known_curves.COUNT - right if split == "test" else right

    monkeypatch.setattr(known_curves, "correct", upside_down)
    other = open_store(str(tmp_path / "other"))
    assert play(spec, other, known_curves.learn) == jobs
    assert decisions(other, spec) == before
    # And with those rows in the store: more trials, another look at search and race, the same decisions as without.
    grown = sweep(make_spec, protocol, "trials=8", "race.top=3", "race.pairs=4", "confirm.pairs=2")
    play(grown, store, known_curves.learn)
    play(grown, other, known_curves.learn)
    assert decisions(store, grown) == decisions(other, grown)


def test_the_entries_a_protocol_excludes_change_no_decision(
    make_spec: Make, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under first_tasks(2) rows of the third task, had anybody learned it, would move nothing."""
    spec = sweep(make_spec, "first_tasks(2)", "trials=6", "race.top=2", "race.pairs=3", "confirm.pairs=1")
    play(spec, store, known_curves.learn)
    monkeypatch.setattr(known_curves, "tasks_of", lambda request: (3, 3))
    count = known_curves.correct

    def third_task_is_odd(request: Any, eval_setting: Any, learned: int, evaluated: int, split: str) -> int:
        right = count(request, eval_setting, learned, evaluated, split)
        return 7 * request.trial if 3 in (learned, evaluated) and request.phase != "confirm" else right

    monkeypatch.setattr(known_curves, "correct", third_task_is_odd)
    other = open_store(str(tmp_path / "other"))
    play(spec, other, known_curves.learn)
    assert decisions(other, spec) == decisions(store, spec)


def test_no_class_of_the_searchs_tasks_is_ever_confirmed(make_spec: Make, store: Store) -> None:
    """Every sequence that disjoint_tasks asks for, opened: classes and images of search and race on one side only."""
    from clsearch.learning.keys import request_stream

    spec = sweep(make_spec, "disjoint_tasks(2)", "trials=3", "race.top=2", "race.pairs=3", "confirm.pairs=4")
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    orders: dict[bool, set[tuple[str, ...]]] = {True: set(), False: set()}
    for job in play(spec, store, known_curves.learn):
        stream = request_stream(make_request(spec, job, 1))
        names = {
            name for t in stream.tasks for part in (t.learn.train, t.learn.inner, t.validation) for name in part.ids
        }
        tests = {name for t in stream.tasks for name in getattr(t, "test", t.validation).ids}
        sides[job.phase == "confirm"] |= {*stream.class_names, *names, *tests}
        orders[job.phase == "confirm"].add(stream.class_names)
    assert sides[True].isdisjoint(sides[False])
    assert len(orders[True]) > 1
    assert len(orders[False]) > 1


def test_the_jobs_of_end_of_sequence_are_what_they_were(make_spec: Make) -> None:
    """A part and a limit are facts of protocols that use them, so that stored stages keep their keys."""
    spec = make_spec()
    for phase in ("search", "race", "confirm", "analysis"):
        job = Job(0, spec.published_setting(), phase, 1, 2, (), ("validation",))  # type: ignore[arg-type]
        request = make_request(spec, job, 1)
        assert (request.benchmark, request.max_tasks, request.part) == (spec.benchmark, None, None)
    limited = make_spec("protocol=first_tasks(2)")
    request = make_request(limited, search_job(limited, 0, limited.published_setting()), 1)
    assert (request.max_tasks, request.part) == (2, None)


def test_a_claim_holds_no_figure_of_test(make_spec: Make, store: Store) -> None:
    """What the driver keeps of a sweep before the verdict, and the verdict itself, know no test score."""
    spec = make_spec("trials=3", "race.top=2", "race.pairs=3", "confirm.pairs=2")
    play(spec, store, known_curves.learn)
    for path in (*store.list("trials/"), *store.list("verdicts/")):
        assert '"test"' not in json.dumps(store.get_json(path))
