"""Whether a trial is stopped: the guard, the exempt, both directions, and what it is worth on curves that cross."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import crossing_curves
import numpy as np
import pytest
from crossing_curves import TASKS
from scipy.stats import spearmanr

from clsearch.results.trials import TrialRecord
from clsearch.search.savings import savings, stopping_lines
from clsearch.search.stopping import (
    Curve,
    Rule,
    decide,
    extrapolate,
    guard_at,
    lower_bound,
    past_curves,
    rule_of,
    spearman,
)
from clsearch.spec.sweep import SweepSpec

RULE = Rule(tasks=5)


def straight(count: int, first: int = 0) -> list[Curve]:
    """Complete trials whose order never changes: the value of trial n is n after every task."""
    return [Curve(n, (float(n),) * 5, float(n)) for n in range(first, first + count)]


def crossed(count: int, first: int = 0) -> list[Curve]:
    """Complete trials whose order turns round at the end."""
    return [Curve(n, (float(n),) * 4 + (-float(n),), -float(n)) for n in range(first, first + count)]


def test_rungs_double_and_lie_before_the_last_task() -> None:
    assert Rule(10).rungs() == (2, 4, 8)
    assert Rule(8).rungs() == (2, 4)
    assert Rule(10, first_rung=3).rungs() == (3, 6)
    assert Rule(2).rungs() == ()


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    random = np.random.default_rng(0)
    x = random.integers(0, 5, 30).astype(float)
    y = x + random.normal(size=30)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_where_all_are_equal_nothing_is_known() -> None:
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))
    equal = [Curve(n, (1.0,) * 5, float(n)) for n in range(9)]
    assert not guard_at(RULE, 2, equal).open
    assert decide(RULE, 11, [0.0, 0.0], equal) is None


def test_the_bound_covers_the_true_correlation_about_nine_times_in_ten() -> None:
    random = np.random.default_rng(1)
    pearson, n = 0.8, 20
    true = 6 / math.pi * math.asin(pearson / 2)  # Spearman's, of a bivariate normal
    covered = 0
    for _ in range(2000):
        x = random.normal(size=n)
        y = pearson * x + math.sqrt(1 - pearson**2) * random.normal(size=n)
        covered += lower_bound(spearman(x, y), n) < true
    assert 0.87 < covered / 2000 < 0.94


def test_a_perfect_correlation_is_no_certainty() -> None:
    assert 0.5 < lower_bound(1.0, 8) < lower_bound(1.0, 20) < 1.0


def test_a_trial_below_the_median_is_stopped_and_one_above_goes_on() -> None:
    past = straight(9)  # values 0 .. 8
    stop = decide(RULE, 11, [3.0, 3.0], past)
    assert stop is not None
    assert (stop.value, stop.median, stop.compared, stop.guard.trials) == (3.0, 4.0, 9, 9)
    assert stop.to_json()["task"] == 2
    assert decide(RULE, 11, [5.0, 5.0], past) is None
    assert decide(RULE, 11, [4.0, 4.0], past) is None, "the median itself is not below it"


def test_only_at_a_rung_and_never_after_the_last_task() -> None:
    past = straight(9)
    worst = [-1.0] * 5
    assert [t for t in range(1, 6) if decide(RULE, 11, worst[:t], past)] == [2, 4]


def test_smaller_is_better_where_the_metric_says_so() -> None:
    rule = Rule(tasks=5, direction="min")
    past = straight(9)
    assert decide(rule, 11, [3.0, 3.0], past) is None
    assert decide(rule, 11, [5.0, 5.0], past) is not None
    assert decide(rule, 11, [-9.0, -9.0], past) is None


def test_the_guard_needs_eight_complete_trials_that_agree() -> None:
    assert not guard_at(RULE, 2, straight(7)).open
    assert guard_at(RULE, 2, straight(8)).open
    assert not guard_at(RULE, 2, crossed(20)).open
    assert decide(RULE, 11, [-9.0, -9.0], straight(7)) is None
    assert decide(RULE, 21, [-9.0, -9.0], crossed(20)) is None


def test_the_guard_closes_again_as_evidence_grows() -> None:
    past = straight(9)
    assert guard_at(RULE, 2, past).open
    past += crossed(6, first=9)
    closed = guard_at(RULE, 2, past)
    assert not closed.open
    assert "closed" in str(closed)
    assert f"{closed.bound:.2f}" in str(closed)


def test_the_guard_opens_rung_by_rung() -> None:
    random = np.random.default_rng(0)
    finals = random.permutation(12).astype(float)
    early = random.permutation(12).astype(float)
    past = [Curve(n, (early[n], early[n], finals[n], finals[n], finals[n]), finals[n]) for n in range(12)]
    assert [guard_at(RULE, rung, past).open for rung in RULE.rungs()] == [False, True]


def test_one_trial_in_five_and_the_named_settings_are_never_stopped() -> None:
    rule = Rule(tasks=5, named=3)
    past = straight(9)
    stopped = [n for n in range(20) if decide(rule, n, [-9.0, -9.0], past)]
    assert stopped == [n for n in range(3, 20) if n % 5]


def test_survivors_are_no_evidence() -> None:
    """Of the trials after the first stopped one only the exempt ones tell how well a rung predicts."""
    past = [*straight(8), Curve(8, (0.0, 0.0), None), *crossed(12, first=9)]
    guard = guard_at(RULE, 2, past)
    assert guard.trials == 8 + len([n for n in range(9, 21) if n % 5 == 0])


def test_stopped_trials_are_compared_with_at_the_rungs_they_reached() -> None:
    past = [*straight(9), *(Curve(n, (-5.0, -5.0), None) for n in range(9, 30))]
    at_2, at_4 = (decide(RULE, 31, [3.0] * rung, past) for rung in (2, 4))
    assert at_2 is None, "most of those who reached task 2 were worse"
    assert at_4 is not None
    assert at_4.compared == 9


def test_the_extrapolated_value_is_the_models() -> None:
    curve = 80.0 - 3.0 * np.log2(np.arange(1, 11))
    assert extrapolate(curve[:4].tolist(), 10) == pytest.approx(curve[-1])
    assert extrapolate([math.nan, *curve[1:4].tolist()], 10) == pytest.approx(curve[-1])
    assert math.isnan(extrapolate([80.0], 10))
    assert math.isnan(extrapolate([math.nan, 80.0], 10))


def test_extrapolation_sees_who_forgets() -> None:
    """The faster learner is ahead after two tasks, and behind in the end."""
    tasks = np.arange(1, 6)

    def curve(n: int, last: int) -> list[float]:
        return (60.0 + 3.0 * n - (1.0 + 2.0 * n) * np.log2(tasks))[:last].tolist()

    past = [Curve(n, tuple(curve(n, 5)), curve(n, 5)[-1]) for n in range(10)]
    assert not guard_at(Rule(5), 2, past).open
    rule = Rule(5, value="extrapolated")
    assert guard_at(rule, 2, past).open
    assert decide(rule, 11, curve(9, 2), past) is not None
    assert decide(rule, 11, curve(1, 2), past) is None


def test_undefined_values_stop_nothing_and_are_compared_with_nobody() -> None:
    undefined = [Curve(n, (math.nan,) * 5, float(n)) for n in range(9, 19)]
    assert decide(RULE, 21, [math.nan, math.nan], straight(9)) is None
    assert guard_at(RULE, 2, [*straight(9), *undefined]).trials == 9
    stop = decide(RULE, 21, [3.0, 3.0], [*straight(9), *undefined])
    assert stop is not None
    assert stop.compared == 9


def test_curves_come_from_outcomes() -> None:
    outcomes = [
        (0, {"status": "complete", "curve": [None, 2.0, 3.0], "objective": 3.0}),
        (1, {"status": "pruned", "curve": [1.0], "objective": None}),
        (2, {"status": "failed", "objective": None}),
        (3, {"status": "complete", "objective": 3.0}),  # written before curves were
        (4, None),
    ]
    first, second = past_curves(outcomes)
    assert (first.number, first.final, first.values[1:]) == (0, 3.0, (2.0, 3.0))
    assert math.isnan(first.values[0])
    assert second == Curve(1, (1.0,), None)


def test_savings_are_those_of_a_sweep_that_had_stopped() -> None:
    past = straight(9) + [Curve(n, (value,) * 5, value) for n, value in ((9, 7.0), (10, 0.5), (11, 1.5))]
    would = savings(RULE, past)
    assert would.stopped == (11,), "8 and 9 are above the median, 10 is exempt"
    assert (would.stages_saved, would.stages) == (3, 60)
    assert would.best == 8
    assert not would.loses_best
    assert [guard.open for guard in would.guards] == [True, True]


def test_savings_tell_when_the_best_would_have_been_lost() -> None:
    late = Curve(9, (1.0, 1.0, 1.0, 1.0, 99.0), 99.0)
    assert savings(RULE, [*straight(9), late]).loses_best


def records(spec: SweepSpec, curves: Sequence[Curve]) -> list[TrialRecord]:
    outcomes = (
        {"status": "pruned" if curve.final is None else "complete", "curve": curve.values, "objective": curve.final}
        for curve in curves
    )
    return [
        TrialRecord(spec.name, curve.number, {}, 1, outcome) for curve, outcome in zip(curves, outcomes, strict=True)
    ]


def test_the_plan_says_what_stopping_would_have_saved(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec("trials=20")  # of 3 tasks: one rung
    past = [Curve(n, (value,) * 3, value) for n, value in enumerate([*range(9), 7, 0, 1])]
    off, guard = stopping_lines(spec, records(spec, [Curve(c.number, c.values, float(c.values[-1])) for c in past]))
    assert "off; on the 12 complete trials it would have stopped 1 and saved 1 of 36 stages (3%)" in off
    assert "trial 8, would not have been stopped" in off
    assert "task 2 is open" in guard
    on = make_spec("trials=20", "stopping.name=guarded")
    head, _ = stopping_lines(on, records(on, [*past[:-1], Curve(11, (1.0, 1.0), None)]))
    assert "guarded, by so_far after task 2; of 12 trials 1 were stopped, 1 of 36 stages (3%) saved" in head
    assert "no trial has ended yet" in stopping_lines(spec, [])[0]
    ended = [TrialRecord(spec.name, n, {}, 1, {"status": "complete", "objective": 1.0}) for n in range(3)]
    assert "off; the 3 complete trials do not show what it saves" in stopping_lines(spec, ended)[0]
    assert "never" in stopping_lines(make_spec("stopping.first_rung=3"), [])[0]


def test_the_rule_of_a_sweep(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec("stopping.name=guarded", "stopping.value=extrapolated", "objective.metric=forgetting")
    assert rule_of(spec) == Rule(tasks=3, direction="min", value="extrapolated", first_rung=2, named=1)
    assert rule_of(make_spec("protocol=first_tasks(2)")).tasks == 2


# The pathology. Measured once with 20 seeds and 200 tasks a sweep: Ray crowned an unfinished trial in 60 sweeps of 60,
# at 3.5, 6.6 and 11.1 points below the optimum for crossing 0, 0.5 and 1 (the reference has 2.9, 8.3 and 10.8). Ours,
# with 300 tasks, was 0.4 to 1.4 below.
CROSSINGS = (0.0, 0.5, 1.0)


@pytest.mark.parametrize("crossing", CROSSINGS)
def test_rays_asha_as_shipped_crowns_an_unfinished_trial(crossing: float) -> None:
    runs = [crossing_curves.shipped(crossing, seed, budget=100) for seed in range(7)]
    assert all(run.tasks < TASKS for run in runs)
    regret = crossing_curves.optimum(crossing) - np.mean([run.final for run in runs])
    assert regret > 2.0


@pytest.mark.parametrize("value", ["so_far", "extrapolated"])
@pytest.mark.parametrize("crossing", CROSSINGS)
def test_ours_crowns_complete_trials_and_is_not_worse_than_no_stopping(crossing: float, value: str) -> None:
    """At equal budget, over the same settings and noise. Means of 60 differences: -0.05 to -0.13, each +- 0.05."""
    rule = Rule(TASKS, value=value)  # type: ignore[arg-type]
    seeds = range(25)
    stopping = [crossing_curves.ours(crossing, seed, 300, "random", rule) for seed in seeds]
    none = [crossing_curves.ours(crossing, seed, 300, "random", None) for seed in seeds]
    assert all(run.tasks == TASKS for run in [*stopping, *none])
    assert np.mean([run.stopped for run in stopping]) > 3
    worse = np.mean([one.final - other.final for one, other in zip(none, stopping, strict=True)])
    assert worse <= 0.0


def test_ours_is_not_worse_with_tpe_either() -> None:
    """Where curves cross most. Over 150 seeds the worst mean difference of any cell was 0.04 +- 0.02 points."""
    seeds = range(20)
    rule = Rule(TASKS)
    stopping = [crossing_curves.ours(1.0, seed, 160, "tpe", rule) for seed in seeds]
    none = [crossing_curves.ours(1.0, seed, 160, "tpe", None) for seed in seeds]
    assert all(run.tasks == TASKS for run in stopping)
    assert np.mean([one.final - other.final for one, other in zip(none, stopping, strict=True)]) < 0.15
