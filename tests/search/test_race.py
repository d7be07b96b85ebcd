"""The race of a sweep, over known curves: who takes part, what is learned, what it settles, and what it never reads."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import known_curves
import pytest
from played import CannotLearnError, Make, ledger_of, play

from clsearch.execution.job import Job
from clsearch.learning.request import SequenceRequest
from clsearch.results.store import Store, open_store
from clsearch.results.verdicts import Verdict, read_verdicts
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.search.race import race_candidates, standing
from clsearch.search.summary import summary
from clsearch.spec.plan import make_plan
from clsearch.spec.sweep import SweepSpec

RATES = [5e-4, 1e-3, 1.01e-3, 2e-3]  # trials 1 and 2 are close; 0 (published) and 3 are far behind
ASKED = ("trials=4", "race.top=4", "race.pairs=4", "confirm.pairs=1")
PUBLISHED, CHOSEN = {"threshold": 0.2}, {"threshold": 0.1}

Correct = Callable[[SequenceRequest, dict[str, Any], int, int, str], int]


@pytest.fixture(autouse=True)
def noisy(monkeypatch: pytest.MonkeyPatch) -> Correct:
    """Known curves with noise of each trial and pair of seeds, so that the close ones cannot be told apart."""
    plain = known_curves.correct

    def correct(
        request: SequenceRequest, eval_setting: dict[str, Any], learned: int, evaluated: int, split: str
    ) -> int:
        draw = random.Random(f"{request.trial}-{request.run_seed}-{request.order_seed}-{learned}-{evaluated}")
        return plain(request, eval_setting, learned, evaluated, split) + draw.randint(-6, 6)

    monkeypatch.setattr(known_curves, "correct", correct)
    return correct


def phases(jobs: list[Job]) -> list[str]:
    return [job.phase for job in jobs]


def rows_of(store: Store, spec: SweepSpec, phase: str) -> set[tuple[Any, ...]]:
    names = ("trial", "run_seed", "order_seed", "task_learned", "task_evaluated", "split", "eval_setting", "correct")
    return {tuple(row[name] for name in names) for row in store.read_rows(spec.name, phase=phase).to_pylist()}


def verdict_of(store: Store, spec: SweepSpec) -> Verdict:
    return read_verdicts(store, spec.name)[-1]


# Who races


def test_the_best_race_with_the_published_setting(make_spec: Make, store: Store) -> None:
    ledger = ledger_of(make_spec("trials=4", "race.top=2", "race.pairs=3"), store, RATES)
    found = [(one.trial, one.eval_setting) for one in race_candidates(ledger)]
    assert len(found) == 3
    assert {trial for trial, _ in found[:2]} == {1, 2}
    assert all(setting == CHOSEN for _, setting in found[:2])
    assert found[2] == (0, PUBLISHED)


def test_one_job_serves_both_eval_settings_of_a_trial(make_spec: Make, store: Store) -> None:
    """Trial 0 is among the best under another eval setting than the published one."""
    ledger = ledger_of(make_spec("trials=2", "race.top=2", "race.pairs=3"), store, [1e-3, 1.01e-3])
    assert {(one.trial, one.eval_setting["threshold"]) for one in race_candidates(ledger)} == {
        (0, 0.1),
        (0, 0.2),
        (1, 0.1),
    }
    jobs = follow_up(ledger)
    assert sorted(job.trial for job in jobs) == [0, 0, 0, 1, 1, 1]
    assert all(job.eval_settings == (CHOSEN, PUBLISHED) for job in jobs if job.trial == 0)


def test_no_candidate_is_named_twice(make_spec: Make, store: Store) -> None:
    ledger = ledger_of(
        make_spec("trials=2", "race.top=2", "race.pairs=3", "eval_grid.threshold=[0.2]"), store, [1e-3, 1e-3]
    )
    assert sorted(one.trial for one in race_candidates(ledger)) == [0, 1]


def test_what_breaks_a_constraint_never_enters(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    ledger = ledger_of(spec, store, RATES[:1])
    for number, rate in ((1, 1e-3), (2, 9e-4), (3, 8e-4)):
        ledger.claim(number, {**spec.published_setting(), "learning_rate": rate})
        broken = ["trained_parameters"] if number == 1 else []
        ledger.end(
            number,
            {
                "status": "complete",
                "objective": 90.0 - number,
                "eval_setting": CHOSEN,
                "violations": broken,
                "tasks_total": 3,
            },
        )
    ledger.refresh()
    assert [one.trial for one in race_candidates(ledger)] == [2, 3, 0, 0]


def test_nobody_to_race_against(make_spec: Make, store: Store) -> None:
    """All other trials failed: the one that is complete has won, and the summary says why there was no race."""
    spec = make_spec("trials=2", "race.top=2", "race.pairs=6", "confirm.pairs=2", "eval_grid.threshold=[0.2]")
    ledger = ledger_of(spec, store, [1e-3])
    ledger.claim(1, {**spec.published_setting(), "learning_rate": 2e-3})
    ledger.end(1, {"status": "failed", "cause": "RuntimeError: no", "objective": None})
    assert phases(play(ledger)) == ["confirm"] * 2
    assert verdict_of(store, spec).race is None
    assert "race: none, there are fewer than two candidates" in summary(ledger, Board(spec, None), 0)


# What is learned


def test_the_race_goes_look_by_look_on_validation_alone(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    ledger = ledger_of(spec, store, RATES)
    first = follow_up(ledger)
    assert {job.phase for job in first} == {"race"}
    assert {job.splits for job in first} == {("validation",)}
    pairs = [(seeds.run, seeds.order) for seeds in spec.race_seeds()]
    assert {(job.run_seed, job.order_seed) for job in first} == set(pairs[:3])
    assert not set(pairs) & {(seeds.run, seeds.order) for seeds in [spec.seeds, *spec.confirm_seeds()]}
    jobs = play(ledger)
    stands = standing(ledger)
    assert stands is not None
    assert stands.state.is_over
    assert {stands.candidates[drop.candidate].trial for drop in stands.state.dropped} == {0, 3}
    learned = {trial: sum((job.phase, job.trial) == ("race", trial) for job in jobs) for trial in range(4)}
    assert learned == {0: 3, 1: 4, 2: 4, 3: 3}
    assert {row[5] for row in rows_of(store, spec, "race")} == {"validation"}


def test_an_interrupted_race_ends_as_an_undisturbed_one(make_spec: Make, tmp_path: Path) -> None:
    whole, broken = open_store(str(tmp_path / "whole")), open_store(str(tmp_path / "broken"))
    spec = make_spec(*ASKED)
    jobs = play(ledger_of(spec, whole, RATES))
    ledger_of(spec, broken, RATES)
    again: list[Job] = []
    while True:
        fresh = Ledger(spec, broken)  # as a new driver, which knows the store alone
        done = play(fresh, jobs=random.Random(len(again)).randint(1, 4))
        if not done:
            break
        again += done
    assert again == jobs
    for phase in ("race", "confirm"):
        assert rows_of(broken, spec, phase) == rows_of(whole, spec, phase)
    assert verdict_of(broken, spec) == verdict_of(whole, spec)


def test_a_candidate_that_fails_is_out_and_the_race_goes_on(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    ledger = ledger_of(spec, store, RATES)
    best = race_candidates(ledger)[0].trial

    def learn(request: SequenceRequest, *rest: Any) -> Any:
        if (request.trial, request.phase) == (best, "race") and request.run_seed == spec.race_seeds()[1].run:
            raise CannotLearnError("DivergedError: the loss is no number")
        return known_curves.learn(request, *rest)

    play(ledger, learn)
    verdict = verdict_of(store, spec)
    assert verdict.winner.trial != best
    text = summary(ledger, Board(spec, None), 0)
    assert "1 failed" in text
    assert f"trial {best} failed: DivergedError: the loss is no number" in text


def test_where_every_candidate_fails_nothing_is_confirmed(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    ledger = ledger_of(spec, store, RATES)

    def learn(request: SequenceRequest, *rest: Any) -> Any:
        raise CannotLearnError("out of memory")

    assert set(phases(play(ledger, learn))) == {"race"}
    assert read_verdicts(store, spec.name) == []
    text = summary(ledger, Board(spec, None), 0)
    assert f"every candidate failed; nothing is confirmed. To try them again, remove {store.uri}/trials/" in text
    # Trials that are added race, though their objective is below that of those that failed.
    grown = make_spec("trials=5", *ASKED[1:])
    ledger = ledger_of(grown, store, [*RATES, 2.2e-3])
    assert {job.trial for job in play(ledger)} == {4, 0}
    assert verdict_of(store, grown).winner.trial == 4


def test_what_failed_takes_no_place_from_the_next_best(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=4", "race.top=2", "race.pairs=4", "eval_grid.threshold=[0.2]")
    ledger = ledger_of(spec, store, [5e-4, 1e-3, 1.3e-3, 1.4e-3])
    assert [one.trial for one in race_candidates(ledger)] == [1, 2, 0]
    job = next(job for job in follow_up(ledger) if job.trial == 2)
    ledger.fail_race(dataclasses.replace(job, run_seed=spec.seeds.run), {"cause": "E: e"})
    ledger.refresh()
    assert [one.trial for one in race_candidates(ledger)] == [1, 2, 0]  # on no pair of this race
    ledger.fail_race(job, {"cause": "E: e"})
    assert {job.trial for job in follow_up(ledger)} == {1, 3, 0}  # nothing more of the one that failed
    assert [one.trial for one in race_candidates(ledger)] == [1, 2, 3, 0]


# What it settles


def test_the_verdict_comes_after_the_race_and_before_any_test_row(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    ledger = ledger_of(spec, store, RATES)

    def learn(request: SequenceRequest, *rest: Any) -> Any:
        stands = standing(ledger)
        assert stands is not None
        if request.phase == "race":
            assert not stands.state.is_over
            assert read_verdicts(store, spec.name) == []
        else:
            assert stands.state.is_over
            assert len(read_verdicts(store, spec.name)) == 1
        if "test" in request.splits:
            assert request.phase == "confirm"
        return known_curves.learn(request, *rest)

    jobs = play(ledger, learn)
    assert phases(jobs) == sorted(phases(jobs), reverse=True)  # race, then confirm
    verdict = verdict_of(store, spec)
    assert verdict.winner.trial in (1, 2)
    # The published setting was dropped, and is confirmed all the same.
    assert verdict.race is not None
    out = {verdict.race["candidates"][drop["candidate"]]["trial"] for drop in verdict.race["dropped"]}
    assert 0 in out
    assert {job.trial for job in jobs if job.phase == "confirm"} == {0, verdict.winner.trial}


def test_shuffled_test_labels_change_no_decision(
    make_spec: Make, tmp_path: Path, noisy: Correct, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(*ASKED)
    found = []
    for name in ("as they are", "shuffled"):
        store = open_store(str(tmp_path / name))
        if name == "shuffled":
            monkeypatch.setattr(
                known_curves,
                "correct",
                lambda request, setting, learned, evaluated, split: (
                    random.Random(f"{request.trial}{request.run_seed}{learned}{evaluated}").randint(0, 1000)
                    if split == "test"
                    else noisy(request, setting, learned, evaluated, split)
                ),
            )
        ledger = ledger_of(spec, store, RATES)
        found.append(([job.name for job in play(ledger)], verdict_of(store, spec)))
        again = ledger_of(spec, store, RATES)
        assert play(again) == []
    assert found[0] == found[1]


def test_more_trials_with_another_winner_are_another_verdict(make_spec: Make, store: Store) -> None:
    small = make_spec("trials=2", "race.top=3", "race.pairs=3", "confirm.pairs=1")
    play(ledger_of(small, store, [5e-4, 7e-4]))
    grown = make_spec("trials=3", "race.top=3", "race.pairs=3", "confirm.pairs=1")
    ledger = ledger_of(grown, store, [5e-4, 7e-4, 1e-3])
    jobs = play(ledger)
    first, second = read_verdicts(store, grown.name)
    assert (first.winner.trial, second.winner.trial) == (1, 2)
    # The race of the two that raced before is not learned again, nor is the published setting confirmed again.
    assert {job.trial for job in jobs} == {2}
    assert "another winner of this sweep was confirmed on test before" in summary(ledger, Board(grown, None), 0)
    assert play(ledger) == []


def test_a_minimised_objective_races_for_the_lowest(make_spec: Make, store: Store) -> None:
    spec = make_spec("objective.metric=forgetting", *ASKED)
    ledger = ledger_of(spec, store, RATES)
    play(ledger)
    stands = standing(ledger)
    assert stands is not None
    assert stands.state.winner is not None
    left = dict(zip(stands.state.left, stands.state.means, strict=True))
    assert left[stands.state.winner] == min(left.values())


# What is said


def test_the_plan_and_the_summary_tell_of_the_race(make_spec: Make, store: Store) -> None:
    spec = make_spec(*ASKED)
    plan = make_plan(spec, store)
    assert (plan.race_stages, plan.race_left, plan.confirm_left) == (4 * 4 * 3, 4 * 4 * 3, 2 * 3)
    ledger = ledger_of(spec, store, RATES)
    play(ledger, jobs=2)
    text = summary(ledger, Board(spec, None), 0)
    assert "race on validation, 0 of up to 4 fresh pairs: 5 candidates, 0 dropped, 5 left" in text
    assert "no test row was read" in text
    assert make_plan(spec, store).race_left == (4 * 4 - 2) * 3
    play(ledger)
    plan = make_plan(spec, store)
    assert (plan.search_left, plan.race_left, plan.confirm_left) == (0, 0, 0)
    text = summary(ledger, Board(spec, None), 0)
    winner = verdict_of(store, spec).winner.trial
    assert f"won by trial {winner}, average " in text
    assert "confirmed on test, 1 fresh pair of run seed and order seed, average:" in text
    assert "no claim: 1 pair (8 are needed)" in text


def test_the_race_learns_no_further_than_its_protocol_permits(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2", "race.top=2", "race.pairs=3", "confirm.pairs=1", "protocol=first_tasks(2)")
    ledger = ledger_of(spec, store, [5e-4, 1e-3])
    assert phases(play(ledger)) == ["race"] * 6 + ["confirm"] * 2
    assert {row[3] for row in rows_of(store, spec, "race")} == {1, 2}
    assert {row[3] for row in rows_of(store, spec, "confirm")} == {1, 2, 3}
    assert verdict_of(store, spec).winner.trial == 1
    assert play(ledger) == []
