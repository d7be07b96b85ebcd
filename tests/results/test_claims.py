"""The claim and the verdict it stands on: one test, at a number of pairs that was fixed before test rows were read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from clsearch.results.claims import Comparison, compare
from clsearch.results.intervals import t_test
from clsearch.results.store import Store, open_store
from clsearch.results.verdicts import Choice, Verdict, read_all_verdicts, read_verdicts, write_verdict

PAIRS = tuple((10 + i, i) for i in range(1, 13))
RANDOM = np.random.default_rng(3)
OURS = dict(zip(PAIRS, (61 + RANDOM.normal(size=12)).tolist(), strict=True))
THEIRS = dict(zip(PAIRS, (60 + RANDOM.normal(size=12)).tolist(), strict=True))


def verdict(pairs: int = 8, *, claim: bool = True, winner: int = 3) -> Verdict:
    return Verdict(
        winner=Choice(winner, {"threshold": 0.1}),
        published=Choice(0, {"threshold": 0.2}),
        company={"prior_work": Choice(1, {"threshold": 0.1})},
        race=None,
        seeds=PAIRS[:pairs],
        claim=claim,
    )


def claimed(pairs: int, said: Verdict | None, **over: str) -> Comparison:
    ours, theirs = ({pair: scores[pair] for pair in PAIRS[:pairs]} for scores in (OURS, THEIRS))
    words = {"against": "published", "metric": "average", "direction": "max", "objective": "average", **over}
    compared = compare(ours, theirs, verdict=said, **words)
    assert compared is not None
    return compared


def test_the_claim_is_scipys_paired_t_test() -> None:
    ours, theirs = [*OURS.values()][:8], [*THEIRS.values()][:8]
    expected = stats.ttest_rel(ours, theirs)
    compared = claimed(8, verdict())
    assert compared.claim is not None
    assert compared.claim.p == pytest.approx(expected.pvalue, rel=1e-6)
    interval = expected.confidence_interval(0.95)
    assert (compared.gap.low, compared.gap.high) == pytest.approx((interval.low, interval.high))
    assert compared.claim.separated == (expected.pvalue < 0.05)
    for size in (2, 3, 30):
        differences = RANDOM.normal(0.3, 1, size)
        assert t_test(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-6)


def test_more_pairs_sharpen_the_interval_and_leave_the_claim() -> None:
    eight, twelve = claimed(8, verdict()), claimed(12, verdict())
    assert twelve.claim == eight.claim
    assert (eight.gap.pairs, twelve.gap.pairs) == (8, 12)
    assert twelve.gap.mean == pytest.approx(np.mean([OURS[pair] - THEIRS[pair] for pair in PAIRS]))


@pytest.mark.parametrize(
    ("pairs", "said", "why"),
    [
        (5, verdict(5, claim=False), "no claim: 5 pairs (8 are needed)"),
        (12, verdict(5, claim=False), "no claim: 5 pairs were fixed beforehand (8 are needed)"),
        (8, verdict(8, claim=False), "no claim: none was fixed before test rows were read"),
        (6, verdict(8), "no claim: 6 of the 8 pairs fixed beforehand are complete"),
        (8, None, "no claim: no number of pairs was fixed before test rows were read"),
    ],
)
def test_no_claim_says_why(pairs: int, said: Verdict | None, why: str) -> None:
    compared = claimed(pairs, said)
    assert compared.claim is None
    assert compared.said.endswith(why)
    assert f"n = {pairs}" in str(compared)


def test_the_claim_is_about_the_objective_and_the_published_setting_alone() -> None:
    assert claimed(8, verdict(), metric="last").said.endswith("no claim: the sweep's claim is about average")
    beside = claimed(8, verdict(), against="prior_work")
    assert (beside.claim, beside.no_claim) == (None, None)


def test_each_further_winner_of_a_sweep_has_to_be_clearer(store: Store) -> None:
    """Under no difference at all, three winners in turn would be claimed 14 times in 100 without this."""
    first = write_verdict(store, "s", verdict())
    second = write_verdict(store, "s", verdict(winner=4))
    third = write_verdict(store, "s", verdict(winner=5))
    assert [one.level for one in (first, second, third)] == pytest.approx([0.05, 0.025, 0.05 / 3])
    again = write_verdict(store, "s", verdict(winner=4))
    assert (again.number, again.level) == (4, 0.025)
    said = claimed(8, third).said
    assert "at 1.7 %, shared among the sweep's 3 winners so far (" in said


def test_words() -> None:
    same = dict.fromkeys(PAIRS[:8], 60.0)
    words = {"against": "published", "metric": "average", "objective": "average"}
    tie = compare(same, same, verdict=verdict(), direction="max", **words)
    assert str(tie) == (
        "+0.00 points, 95 % interval [+0.00, +0.00], n = 8: "
        "not separated at 5 % (paired t test on the 8 pairs fixed beforehand, p = 1)"
    )
    lower = dict.fromkeys(PAIRS[:8], 59.0)
    assert compare(lower, same, verdict=verdict(), direction="min", **words).said.startswith("separated at 5 % (paired")
    worse = compare(lower, same, verdict=verdict(), direction="max", **words)
    assert worse.said.startswith("separated at 5 %, the published setting is better (")
    one = {PAIRS[0]: 60.0}
    assert str(compare(one, same, verdict=None, direction="max", **words)).startswith(
        "+0.00 points, no interval, n = 1: no"
    )
    assert compare(one, {PAIRS[1]: 60.0}, verdict=None, direction="max", **words) is None
    company = compare(same, same, verdict=verdict(), direction="max", **{**words, "against": "prior_work"})
    assert company.said == "not separated"


# Verdicts


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_a_verdict_is_written_once_and_never_again(store: Store) -> None:
    first = write_verdict(store, "alpha", verdict())
    path = store.verdict_path("alpha", 1)
    written = store.get(path)
    assert (first.number, first.confirm_pairs) == (1, 8)
    assert store.get_json(path)["winner"] == {"trial": 3, "eval_setting": {"threshold": 0.1}}
    assert write_verdict(store, "alpha", verdict()) == first
    assert not store.put_json(path, {"winner": None})
    assert store.list("verdicts/") == [path]
    assert store.get(path) == written
    assert read_all_verdicts(store) == {"alpha": [first]}
    assert read_verdicts(store, "beta") == []


def test_another_winner_is_another_verdict(store: Store) -> None:
    for winner in (3, 5, 5, 3):
        write_verdict(store, "alpha", verdict(winner=winner))
    assert [(one.number, one.winner.trial) for one in read_verdicts(store, "alpha")] == [(1, 3), (2, 5), (3, 3)]


def test_the_pairs_of_a_claim_cannot_be_changed_after_test_rows_were_read(store: Store) -> None:
    write_verdict(store, "alpha", verdict(5, claim=False))
    again = write_verdict(store, "alpha", verdict(8))
    assert (again.number, again.confirm_pairs, again.claim) == (1, 5, False)
    other = write_verdict(store, "alpha", verdict(8, winner=4))
    assert (other.number, other.confirm_pairs, other.claim) == (2, 8, True)
    back = write_verdict(store, "alpha", verdict(12))
    assert (back.number, back.confirm_pairs, back.claim) == (3, 5, False)


def test_pairs_may_be_fixed_later_where_none_were_asked_for(store: Store) -> None:
    write_verdict(store, "alpha", verdict(0, claim=False))
    later = write_verdict(store, "alpha", verdict(8))
    assert (later.number, later.confirm_pairs, later.claim) == (2, 8, True)


def test_the_race_is_kept_with_the_verdict(store: Store) -> None:
    race = {
        "candidates": [{"trial": 3, "eval_setting": {}}],
        "means": [60.25],
        "dropped": [{"p": 1e-4}],
        "p_drop": 0.1 / 3,
    }
    first = write_verdict(store, "alpha", replace(verdict(), race=race))
    assert first.race == race
    assert write_verdict(store, "alpha", replace(verdict(), race=race)).number == 1
    assert write_verdict(store, "alpha", replace(verdict(), race={**race, "pairs": 9})).number == 2
