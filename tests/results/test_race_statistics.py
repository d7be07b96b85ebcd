"""The race's statistics: what is dropped and what is not, how often by mistake, whatever is measured first."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from clsearch.results.race import FIRST_LOOK, Direction, RaceState, drop_level, race
from clsearch.results.race_study import race_study

LEVEL = 0.05
RACES = 2000
Scores = NDArray[np.float64]


def tied(random: np.random.Generator, pairs: int, candidates: int) -> Scores:
    """Equally good candidates: noise of each pair that all share, and noise of their own."""
    return 60 + 3 * random.normal(size=(pairs, 1)) + random.normal(size=(pairs, candidates))


@pytest.mark.parametrize(("pairs", "candidates"), [(3, 2), (8, 2), (10, 5)])
def test_what_is_tied_is_dropped_within_the_level(pairs: int, candidates: int) -> None:
    random = np.random.default_rng(7)
    races = [race(tied(random, pairs, candidates), LEVEL, "max") for _ in range(RACES)]
    # Three standard errors of a share of LEVEL over so many races.
    slack = 3 * math.sqrt(LEVEL * (1 - LEVEL) / RACES)
    dropped = [{drop.candidate for drop in state.dropped} for state in races]
    if candidates == 2:
        assert np.mean([bool(gone) for gone in dropped]) <= LEVEL + slack
    for candidate in range(candidates):
        assert np.mean([candidate in gone for gone in dropped]) <= LEVEL / 2 + slack


def test_the_true_best_is_kept_and_the_clearly_worse_are_dropped() -> None:
    random = np.random.default_rng(8)
    behind = np.array([0.0, 0.3, 4.0, 4.0])
    races = [race(tied(random, 10, 4) - behind, LEVEL, "max") for _ in range(RACES)]
    assert np.mean([0 in [drop.candidate for drop in state.dropped] for state in races]) <= LEVEL / 2
    assert np.mean([{2, 3} <= {drop.candidate for drop in state.dropped} for state in races]) > 0.95
    assert np.mean([state.winner in (0, 1) for state in races]) == 1.0


def test_a_drop_is_the_one_sided_t_test_at_the_corrected_level() -> None:
    scores = tied(np.random.default_rng(9), 6, 3) - np.array([0.0, 0.0, 6.0])
    (drop,) = race(scores, LEVEL, "max").dropped
    rows = scores[: drop.pairs]
    assert drop.leader is not None
    p = stats.ttest_rel(rows[:, drop.leader], rows[:, drop.candidate], alternative="greater").pvalue
    assert drop.p == pytest.approx(p, rel=1e-6)
    # Four looks (3, 4, 5 and 6 pairs), two possible leaders, two directions.
    assert p < LEVEL / (4 * 2 * 2) == drop_level(LEVEL, 6, 3)


def test_nobody_is_dropped_before_the_first_look_and_a_race_may_be_too_short_for_one() -> None:
    scores = np.array([[70.0, 10.0], [71.0, 10.1], [70.5, 10.2], [70.1, 10.3]])
    assert race(scores, LEVEL, "max").dropped[0].pairs == FIRST_LOOK
    short = race(scores[:2], LEVEL, "max")
    assert (short.dropped, short.is_over, short.winner) == ((), True, 0)


def test_the_winner_has_the_best_mean_over_the_pairs_of_all_that_are_left() -> None:
    scores = np.array([[60.0, 61.0, 61.0], [62.0, 61.0, 61.0], [60.0, 60.5, 60.5]])
    state = race(scores, LEVEL, "max")
    assert (state.left, state.winner) == ((0, 1, 2), 1)  # the first of equals
    assert state.means == pytest.approx(scores.mean(axis=0).tolist())


def test_lower_is_better_the_other_way_round() -> None:
    scores = tied(np.random.default_rng(10), 8, 4) - np.array([0.0, 1.0, 5.0, 6.0])
    up, down = race(scores, LEVEL, "max"), race(-scores, LEVEL, "min")
    assert (up.dropped, up.left, up.winner) == (down.dropped, down.left, down.winner)
    assert down.winner == 0


@pytest.mark.parametrize("direction", ["max", "min"])
def test_whatever_is_measured_first_the_race_is_the_same(direction: Direction) -> None:
    """A race is asked again and again while scores come in, one by one and in any order."""
    random = np.random.default_rng(11)
    scores = tied(random, 8, 4) - np.array([0.0, 0.5, 4.0, 5.0])
    whole = race(scores, LEVEL, direction)
    for _ in range(20):
        known = np.full(scores.shape, np.nan)
        state = race(known, LEVEL, direction)
        asked: list[RaceState] = [state]
        while not state.is_over:
            assert state.needs is not None
            missing = [(pair, one) for pair in range(state.needs) for one in state.left if np.isnan(known[pair, one])]
            assert missing
            for place in random.permutation(missing)[: random.integers(1, len(missing) + 1)]:
                known[tuple(place)] = scores[tuple(place)]
            state = race(known, LEVEL, direction)
            asked.append(state)
        assert state == whole
        # Whatever was decided on the way stands.
        for before in asked:
            assert state.dropped[: len(before.dropped)] == before.dropped
        # What was dropped was not measured any further.
        assert all(np.isnan(known[drop.pairs :, drop.candidate]).all() for drop in state.dropped)


def test_rounding_separates_nothing() -> None:
    scores = np.array([[60.1, 60.1 + 1e-13], [61.3, 61.3 + 1e-13], [59.9, 59.9 + 1e-13]])
    assert race(scores, LEVEL, "max").dropped == ()
    # A difference that is the same in every pair leaves no doubt.
    assert race(scores + np.array([0.0, 0.5]), LEVEL, "max").dropped[0].p == 0.0


def test_a_candidate_that_fails_is_out() -> None:
    scores = np.full((5, 3), np.nan)
    scores[:4] = [[60, 61, 60], [61, -np.inf, 61.5], [60, np.nan, 60], [60, np.nan, 60.1]]
    state = race(scores, LEVEL, "max")
    assert [(drop.candidate, drop.pairs, drop.p) for drop in state.dropped] == [(1, 2, None)]
    assert (state.left, state.pairs_done, state.needs) == ((0, 2), 4, 5)
    nobody = race(np.full((3, 2), np.inf), LEVEL, "min")
    assert (nobody.left, nobody.winner, nobody.is_over) == ((), None, True)


def test_a_race_of_one_is_none() -> None:
    with pytest.raises(ValueError, match="at least two candidates"):
        race(np.zeros((5, 1)), LEVEL, "max")


# The study


def test_the_study_of_a_table_of_noise_stays_within_the_level() -> None:
    table = tied(np.random.default_rng(12), 12, 6)
    study = race_study(table, LEVEL, 1000, seed=1)
    slack = 3 * math.sqrt(LEVEL * (1 - LEVEL) / 1000)
    assert study.tied_separated <= LEVEL + slack
    assert study.best_dropped <= LEVEL / 2 + slack
    assert (study.pairs, study.candidates, study.repetitions) == (12, 6, 1000)
    assert race_study(table, LEVEL, 200, seed=1) == race_study(table, LEVEL, 200, seed=1)


def test_the_study_of_a_clear_table_finds_the_best_and_saves_pairs() -> None:
    table = tied(np.random.default_rng(13), 12, 5) - np.array([6.0, 0.0, 8.0, 9.0, 7.0])
    study = race_study(table, LEVEL, 300, seed=2, pairs=8)
    assert (study.best_won, study.best_dropped, study.regret) == (1.0, 0.0, 0.0)
    assert study.pairs_spent < 0.8
    lower = race_study(-table, LEVEL, 300, seed=2, pairs=8, direction="min")
    assert lower == study
    assert race_study(table - np.array([0.0, 60, 0, 0, 0]), LEVEL, 50, seed=2).best_won > 0.5


@pytest.mark.parametrize(
    ("table", "pairs"), [(np.full((4, 2), np.nan), None), (np.zeros((4, 1)), None), (np.zeros((4, 2)), 5)]
)
def test_a_study_takes_a_whole_table(table: Scores, pairs: int | None) -> None:
    with pytest.raises(ValueError, match="study"):
        race_study(table, LEVEL, 10, seed=0, pairs=pairs)
