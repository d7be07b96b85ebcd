"""Replay over made-up tables, where the truth is known: worlds, what policies cost and hand out, what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from made_up_table import identity, noisy_curves, settings, table_rows

from clsearch.errors import UsageError
from clsearch.results.tables import Table, make_table
from clsearch.search.replay.handing import Run, hand_out
from clsearch.search.replay.policies import POLICIES, Policy, RaceOf, read_policies
from clsearch.search.replay.race_part import race_on_table
from clsearch.search.replay.searching import search
from clsearch.search.replay.space import units
from clsearch.search.replay.study import Study, Verdict, _Figures, replay
from clsearch.search.replay.worlds import World, costs, real_seeds, virtual_seeds

EVALS = (0.2, 0.0)
TASKS = 3


def made_up(
    number: int = 10,
    *,
    pairs: int = 12,
    dense: int | None = None,
    pair_std: float = 0.0,
    own_std: float = 0.0,
    truth: Any = None,
    known: Sequence[dict[str, Any]] | None = None,
    **over: Any,
) -> Table:
    """A table; settings from `dense` on were measured on 3 pairs alone. Without `truth`, final values are 1 apart."""
    if truth is None:
        final = 50.0 + np.random.default_rng(1).permutation(number)
        truth = (final[:, None] - 0.25 * np.arange(len(EVALS)))[:, :, None] + 2.0 * (TASKS - np.arange(1, TASKS + 1))
    curves = noisy_curves(truth, pairs, np.random.default_rng(2), pair_std, own_std)
    if dense is not None:
        curves[dense:, :, 3:] = np.nan
    evals = EVALS[: truth.shape[1]]
    return make_table(table_rows(curves, known or settings(number), identity(evals, **over)))


def of(study: Study, name: str) -> Verdict:
    return next(verdict for verdict in study.verdicts if verdict.policy.name == name)


def searched(policy: Policy, table: Table, world: World, stages: int = 10**6, seed: int = 0) -> Run:
    kind = units(table, policy.evals != "sampled")
    return hand_out(policy, kind, search(policy, kind, world, stages, seed), world, costs(table))


# Worlds


def test_virtual_seeds_have_the_covariance_of_the_dense_settings() -> None:
    table = made_up(pairs=12, dense=4, pair_std=1.5, own_std=0.7)
    measured = table.curves()[:4, 0, :, -1]
    draws = virtual_seeds(table).draw(20_000, np.random.default_rng(0)).scores[:, :, 0, -1]
    np.testing.assert_allclose(np.cov(draws[:, :4].T), np.cov(measured), rtol=0.05, atol=0.05)
    # The others have noise of the same size (4 dense settings tell it roughly), most of it the pair's: it cancels.
    sizes = np.diag(np.cov(draws.T))
    assert 0.6 < sizes[4:].mean() / sizes[:4].mean() < 1.5
    assert (draws[:, 4] - draws[:, 5]).std() < draws[:, 4].std()


def test_means_are_freed_of_what_their_pairs_do_to_all() -> None:
    table = made_up(pairs=12, dense=4, pair_std=3.0)  # no noise but the pairs'
    final = made_up(pairs=2).curves()[:, :, 0, -1]  # no noise
    found = virtual_seeds(table).means[:, :, -1]
    np.testing.assert_allclose(found - found[0, 0], final - final[0, 0], atol=0.05)


def test_a_replay_says_what_the_world_it_was_made_of_would_say() -> None:
    """One seed, everything tried: the regret of the highest of noisy values, by the generator and by the replay."""
    truth = np.linspace(50, 52, 12)[:, None, None] + np.zeros((12, 1, TASKS))
    table = made_up(12, pairs=12, pair_std=2.0, own_std=1.0, truth=truth)
    noise = virtual_seeds(table)
    random = np.random.default_rng(5)
    told = [world.truth.max() - world.truth[world.scores[0, :, :, -1].argmax(), 0] for world in worlds(noise, 4000)]
    final = truth[:, 0, -1]
    real = [final.max() - final[(final + random.normal(0, 1.0, 12)).argmax()] for _ in range(4000)]
    assert np.mean(told) == pytest.approx(np.mean(real), rel=0.3)  # 12 pairs tell the noise to about a tenth
    assert np.mean(told) > 0.2


def worlds(noise: Any, number: int) -> list[World]:
    return [noise.draw(1, np.random.default_rng([9, at])) for at in range(number)]


def test_real_seeds_score_on_the_pairs_that_were_not_searched() -> None:
    table = made_up(pairs=12, dense=4, own_std=1.0)
    curves = table.curves()
    world = real_seeds(table)(1)
    np.testing.assert_array_equal(world.scores[0], curves[:, :, 1])
    np.testing.assert_allclose(world.truth, curves[:, :, [0, 2], -1].mean(axis=-1))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda: made_up(pairs=1), "no seed that the search did not see: run its sweep with table.pairs=3"),
        (lambda: made_up(1, pairs=3), "one complete setting: there is nothing to search among"),
    ],
)
def test_tables_that_are_too_small(table: Any, said: str) -> None:
    for real in (False, True):
        with pytest.raises(UsageError, match=r"pairs=3|one complete setting"):
            replay(table(), read_policies(["tpe"]), 2, 0, real=real)
    with pytest.raises(UsageError, match=said):
        virtual_seeds(table())


# Searching


def quiet(table: Table, pairs: int = 13) -> World:
    """A world without noise."""
    return virtual_seeds(table).draw(pairs, np.random.default_rng(0))


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "asha"])
def test_without_noise_everything_finds_the_best(name: str) -> None:
    table = made_up()
    (policy,) = read_policies([name])
    run = searched(policy, table, quiet(table))
    assert run.regret[-1] == pytest.approx(0.0, abs=1e-9)
    assert (run.regret >= 0).all()


def test_what_trials_cost() -> None:
    table = made_up()  # 10 s to learn a task, 1 s to evaluate it under one eval setting
    world = quiet(table)
    sampled = searched(Policy(evals="sampled"), table, world)
    np.testing.assert_allclose(sampled.seconds, 5 * TASKS * 11 * np.arange(1, 21))
    np.testing.assert_allclose(sampled.sequences, 5 * np.arange(1, 21))
    today = searched(Policy(), table, world)
    np.testing.assert_allclose(today.seconds, 5 * TASKS * 22 * np.arange(1, 11))
    np.testing.assert_allclose(today.sequences, 10 * np.arange(1, 11))
    many = searched(Policy(evals="shared"), table, world)
    np.testing.assert_allclose(many.seconds, 5 * TASKS * 12 * np.arange(1, 11))


def test_a_search_ends_with_its_stages() -> None:
    table = made_up()
    policy = Policy(evals="sampled")
    steps = search(policy, units(table, False), quiet(table), stages=4 * 5 * TASKS, seed=0)
    assert len(steps) == 4
    assert steps[0].unit == 0  # the published setting


def test_the_race_is_paid_for_and_wins() -> None:
    table = made_up()
    world = quiet(table)
    race = RaceOf(top=2, pairs=3)
    run = searched(Policy(seeds=1, evals="sampled", race=race), table, world)
    alone = searched(Policy(seeds=1, evals="sampled"), table, world)
    spent = run.sequences[-1] - alone.sequences[-1]
    assert 2 * 3 <= spent <= 3 * 3  # two or three candidates on up to three pairs
    assert run.seconds[-1] - alone.seconds[-1] == pytest.approx(spent * TASKS * 11)
    assert run.seconds[0] == alone.seconds[0]  # one candidate: no race


def test_candidates_of_one_setting_share_their_training_where_trials_do() -> None:
    truth = np.full((3, 2, TASKS), 50.0)
    truth[0] = [[60.0] * TASKS, [61.0] * TASKS]  # the published setting is best, under another eval setting
    table = made_up(3, truth=truth, pair_std=0.1)
    race = RaceOf(top=1, pairs=3)
    many, each = (
        searched(Policy(seeds=1, evals=kind, race=race), table, quiet(table)) for kind in ("shared", "sampled")
    )
    assert many.sequences[-1] == 3 + 3
    assert each.sequences[-1] == 6 + 6


def test_asha_as_shipped_crowns_an_unfinished_trial_and_the_guard_does_not() -> None:
    """Curves that cross: what learns fast forgets fast (the reference's A_t = a - f log2 t, crossing 1)."""
    tasks, number = 10, 30
    plastic = np.random.default_rng(0).uniform(0, 1, number)
    t = np.arange(1, tasks + 1)
    start, loss = 60 + 10 * plastic, 1.0 + 6.0 * plastic
    truth = start[:, None, None] - loss[:, None, None] * np.log2(t)
    table = made_up(number, pairs=3, pair_std=0.5, own_std=0.2, truth=truth)
    study = replay(table, read_policies(["asha", "tpe", "tpe+stopping"]), 2, seed=0)
    asha, plain, guarded = (of(study, name) for name in ("asha", "tpe", "tpe+stopping"))
    assert asha.unfinished == 1.0
    assert asha.stopped > 0.5
    assert asha.regret.median > 3.0
    assert guarded.unfinished == 0.0
    assert guarded.regret.median <= plain.regret.median + 0.2


def test_guarded_stopping_saves_where_curves_keep_their_order() -> None:
    table = made_up(24, pairs=3)
    study = replay(table, read_policies(["tpe", "tpe+stopping"]), 1, seed=0)
    assert of(study, "tpe+stopping").stopped > 0.1
    assert of(study, "tpe+stopping").regret.median == pytest.approx(0.0, abs=1e-9)


def test_reuse_saves_only_where_training_repeats() -> None:
    ranks = [{"learning_rate": 5e-4, "new_rank": rank} for rank in (16, 4, 8)]
    choices = {"type": "choice", "published": 5e-4, "choices": [5e-4], "labels": [5e-4]}
    finite = identity(EVALS)
    finite["space"]["learning_rate"] = choices
    table = made_up(3, known=ranks, space=finite["space"])
    known, anew = (searched(Policy(evals="sampled", reuse=reuse), table, quiet(table)) for reuse in (True, False))
    assert known.stored > 0
    assert known.seconds[-1] < anew.seconds[-1]
    assert known.sequences[-1] >= 5 * 3  # every setting is learned once
    continuous = made_up()
    assert searched(Policy(evals="sampled", reuse=True), continuous, quiet(continuous)).stored == 0.0
    # Trials that differ in evaluation alone have the same stages.
    assert searched(Policy(reuse=True), continuous, quiet(continuous)).stored == pytest.approx(1 - 1 / len(EVALS))


def test_a_proposal_is_answered_by_its_nearest_neighbour() -> None:
    known = [
        {"learning_rate": 5e-4, "new_rank": 16},
        {"learning_rate": 1e-4, "new_rank": 8},
        {"learning_rate": 1e-3, "new_rank": 8},
    ]
    table = made_up(3, known=known)
    kind = units(table, True)
    asked = {"learning_rate": 3.5e-4, "new_rank": 8}  # nearer to 1e-3 by the logarithm, to 1e-4 without it
    assert kind.nearest(asked, [0, 1, 2]) == 2
    assert kind.nearest(asked, [0, 1]) == 1
    assert kind.nearest(asked, [0]) == 0
    assert len(units(table, False)) == 3 * len(EVALS)


# Reports


def test_cost_to_equal_regret_counts_from_when_it_stays() -> None:
    def run(regret: Sequence[float]) -> Run:
        cost = np.arange(1.0, len(regret) + 1)
        return Run(cost, cost / 10, np.array(regret), np.zeros(len(regret), bool), 0.0, 0.0)

    figures = _Figures(target=1.0, confirmation=4.0, confirmed=2, reference=[run([3, 1, 1])])
    assert figures.reached(run([3, 1, 2, 1, 0.5])) == (4.0, 0.4)  # back above it in between
    assert figures.reached(run([1, 1])) == (1.0, 0.1)
    assert figures.reached(run([0, 2])) == (np.inf, np.inf)
    verdict = figures.verdict(Policy(), [run([1, 1]), run([3, 1]), run([2, 2])])
    assert verdict.never == pytest.approx(1 / 3)
    assert (verdict.seconds.low, verdict.seconds.median, verdict.seconds.high) == (6.0, 6.0, np.inf)
    assert (verdict.factor.low, verdict.factor.median) == (0.0, 1.0)
    assert verdict.factor_search.median == 1.0


def test_a_study_is_repeatable_and_measures_against_today() -> None:
    table = made_up(8, pairs=4, pair_std=1.0, own_std=1.0)
    policies = read_policies(["today", "tpe_5seeds", "random", "clsearch"])
    one, same, other = (replay(table, policies, 4, seed) for seed in (3, 3, 4))
    assert one.verdicts == same.verdicts
    assert one.verdicts != other.verdicts
    assert of(one, "today").factor.median == 1.0
    assert {run.seconds[0] for run in one.runs["today"]} == {5 * TASKS * 11.0 * len(EVALS)}
    assert {run.seconds[0] for run in one.runs["tpe_5seeds"]} == {5 * TASKS * 11.0}
    ends = sorted(run.regret[-1] for run in one.runs["today"])
    assert one.target == ends[3]  # four of five, of 4 repetitions
    assert one.trials == 8
    assert one.confirmation == pytest.approx(16 * TASKS * 11)
    # A policy's figures do not depend on which others are asked for.
    assert of(replay(table, [policies[2]], 4, 3), "random") == of(one, "random")


def test_trials_of_today_can_be_chosen() -> None:
    table = made_up(8, pairs=3)
    study = replay(table, read_policies(["today"]), 2, 0, trials=3)
    assert [len(run.regret) for run in study.runs["today"]] == [2, 2]  # of two eval settings each
    with pytest.raises(UsageError, match="--trials 17: made-up answers 1 to 16 trials"):
        replay(table, read_policies(["today"]), 2, 0, trials=17)


def test_real_seeds_take_policies_of_one_pair() -> None:
    table = made_up(8, pairs=3, own_std=0.5)
    study = replay(table, read_policies(["tpe", "random", "tpe+evaluate_many"]), 3, 0, real=True)
    assert (study.seeds, study.reference) == ("real", "tpe")
    with pytest.raises(UsageError, match="policy 'clsearch' needs 6 pairs of seeds, and --real searches on one"):
        replay(table, read_policies(["clsearch"]), 3, 0, real=True)


def test_the_race_on_the_table() -> None:
    table = made_up(10, pairs=12, dense=5, pair_std=1.0, own_std=0.3)
    found = race_on_table(table, seed=0, races=200)
    assert (found.candidates, found.pairs) == (5, 5)
    assert found.tied_separated <= found.level
    assert found.best_dropped <= found.level / 2
    with pytest.raises(UsageError, match="--race needs two settings measured on 5 pairs"):
        race_on_table(made_up(pairs=3), seed=0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("clserch", "policy 'clserch' is unknown: did you mean 'clsearch'"),
        ("tpe+racing", "policy 'racing' is unknown: did you mean 'race'"),
        ("tpe:3x4", "only a race has a size"),
        ("race:1x4", "only a race has a size, the best TOP on up to PAIRS pairs: race:4x5"),
        ("asha+stopping", "policy 'asha.stopping': its parts want different 'stopping'"),
        ("asha+race", "there is nothing to race"),
    ],
)
def test_policies_that_there_are_not(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_policies([name])


def test_names_joined() -> None:
    (policy,) = read_policies(["tpe+evaluate_many+race:4x6"])
    assert policy == Policy(policy.name, seeds=1, evals="shared", race=RaceOf(4, 6))
    assert policy.pairs == 7
    assert [one.name for one in read_policies([])] == list(POLICIES)
