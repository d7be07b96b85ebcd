"""The audit: which setting each rule chooses, what it scores where it saw nothing, what is left out and why."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from made_up_store import write_identity, write_sequence

from clsearch.errors import UsageError
from clsearch.results.audit import END, PUBLISHED, TEST, BenchmarkAudit, audit
from clsearch.results.audit_cells import audit_sources
from clsearch.results.store import Store, open_store

NAN = math.nan
SEARCH = (5, 5)
OTHERS = ((1, 1), (2, 2), (3, 3))


@pytest.fixture
def store(tmp_path: Any) -> Store:
    return open_store(str(tmp_path / "store"))


def three_tasks(first: float, final: float) -> list[list[float]]:
    """A class-incremental matrix whose entries up to task 2 are `first` and whose last row is `final`."""
    return [[first, NAN, NAN], [first, first, NAN], [final, final, final]]


def write_cell(
    store: Store,
    trial: int,
    validation: Sequence[Sequence[float]],
    tests: Mapping[tuple[int, int], Sequence[Sequence[float]]],
    **over: Any,
) -> None:
    """A complete cell: validation on the search pair, test on the given pairs."""
    write_sequence(store, validation, trial=trial, run_seed=SEARCH[0], order_seed=SEARCH[1], **over)
    for (run, order), matrix in tests.items():
        place = {"phase": "analysis", "split": "test", "run_seed": run, "order_seed": order}
        write_sequence(store, matrix, trial=trial, **place, **over)


def scored(shown: float, honest: float, pairs: Sequence[tuple[int, int]] = OTHERS) -> dict[Any, Any]:
    return {SEARCH: three_tasks(shown, shown)} | {pair: three_tasks(honest, honest) for pair in pairs}


def audited(store: Store, **options: Any) -> BenchmarkAudit:
    (one,) = audit(audit_sources(store), {"nano_cil": "class_incremental"}, **options)
    return one


def test_each_rule_chooses_by_what_it_sees(store: Store) -> None:
    write_identity(store, "alpha", seeds={"run": 5, "order": 5})
    write_cell(store, 0, three_tasks(50, 50), scored(50, 51))
    write_cell(store, 1, three_tasks(60, 80), scored(70, 72))  # best at the end
    write_cell(store, 2, three_tasks(80, 60), scored(60, 65))  # best after two tasks
    write_cell(store, 3, three_tasks(55, 55), scored(90, 60))  # lucky on the test rows of the search pair
    (method,) = audited(store).methods
    chosen = {rule: (choice.trial, choice.mean, choice.gap.mean) for rule, choice in method.choices.items()}
    assert chosen == {
        TEST: (3, pytest.approx(60), pytest.approx(-12)),
        END: (1, pytest.approx(72), 0),
        "first_tasks(2)": (2, pytest.approx(65), pytest.approx(-7)),
        PUBLISHED: (0, pytest.approx(51), pytest.approx(-21)),
    }
    assert (method.search_pair, method.pairs) == (SEARCH, OTHERS)
    assert method.choices[TEST].shown == 90
    assert method.optimism == pytest.approx(30)
    assert method.pair_effect == pytest.approx(((50 - 51) + (70 - 72) + (60 - 65) + (90 - 60)) / 4)
    assert method.left_out == {}


def test_choosing_by_test_flatters_where_settings_differ_by_noise_alone(store: Store) -> None:
    random = np.random.default_rng(0)
    for trial in range(12):
        scores = random.normal(50, 5, 1 + len(OTHERS))
        tests = {pair: three_tasks(s, s) for pair, s in zip((SEARCH, *OTHERS), scores, strict=True)}
        write_cell(store, trial, three_tasks(*random.normal(50, 5, 2)), tests)
    (method,) = audited(store).methods
    assert method.optimism - method.pair_effect > 3
    assert method.choices[TEST].shown == max(choice.shown for choice in method.choices.values())


def test_the_gap_has_an_interval_of_paired_differences(store: Store) -> None:
    from scipy import stats

    write_cell(
        store,
        0,
        three_tasks(50, 50),
        {SEARCH: three_tasks(1, 1), (1, 1): three_tasks(0, 40), (2, 2): three_tasks(0, 30)},
    )
    write_cell(
        store,
        1,
        three_tasks(50, 60),
        {SEARCH: three_tasks(2, 2), (1, 1): three_tasks(0, 44), (2, 2): three_tasks(0, 32)},
    )
    gap = audited(store).methods[0].choices[PUBLISHED].gap
    expected = stats.ttest_rel([40, 30], [44, 32]).confidence_interval(0.95)
    assert (gap.mean, gap.low, gap.high, gap.pairs) == pytest.approx((-3, expected.low, expected.high, 2))


def test_an_eval_setting_is_chosen_with_its_trial(store: Store) -> None:
    write_identity(store, "alpha", eval_grid={"threshold": [0.4, 0.2]}, seeds={"run": 5, "order": 5})
    for threshold, final in ((0.2, 60), (0.4, 50)):
        setting = {"threshold": threshold, "fixed": 1}
        write_cell(store, 0, three_tasks(50, final), scored(final, final), eval_setting=setting)
    choices = audited(store).methods[0].choices
    assert choices[END].eval_setting == '{"fixed":1,"threshold":0.2}'
    assert choices[PUBLISHED].eval_setting == '{"fixed":1,"threshold":0.4}'


def test_pairs_that_only_the_choices_have_are_scored_too(store: Store) -> None:
    """As in a table: all settings on few pairs, the best ones on more."""
    extra = tuple((pair, pair) for pair in range(10, 14))
    for trial, (validation, pairs) in enumerate(
        [(60, (*OTHERS, *extra)), (70, (*OTHERS, *extra)), (40, OTHERS), (41, OTHERS), (42, OTHERS)]
    ):
        write_cell(store, trial, three_tasks(validation, validation), scored(validation, validation, pairs))
    (method,) = audited(store).methods
    assert method.pairs == (*OTHERS, *extra)
    assert method.cells == 5


def test_what_is_left_out_is_counted_with_the_reason(store: Store) -> None:
    good = three_tasks(50, 50)
    for trial in range(4):
        write_cell(store, trial, good, scored(50, 50))
    write_cell(store, 4, good, scored(99, 99, OTHERS[:1]))  # two pairs short
    write_cell(store, 5, good, dict.fromkeys(OTHERS, good))  # no test rows of the search pair
    write_sequence(store, good, trial=6, run_seed=5, order_seed=5, stages=2)  # stopped
    write_sequence(store, good, trial=7, run_seed=5, order_seed=5)  # no test rows at all
    (method,) = audited(store).methods
    assert method.cells == 4
    assert method.left_out == {
        "test rows of the search pair are not complete": 2,
        "validation rows of the search pair are not complete": 1,
        "test rows of the other pairs are not complete": 1,
    }


def test_a_method_that_cannot_be_audited_is_named(store: Store) -> None:
    good = three_tasks(50, 50)
    write_cell(store, 0, good, {SEARCH: good}, sweep="seen", method="lora")
    write_sequence(store, good, sweep="plain", method="frozen")
    one = audited(store)
    assert one.methods == ()
    assert any(
        note.startswith("seen, lora: left out: it has complete test rows of the search pair alone")
        for note in one.notes
    )
    assert any(note.startswith("plain, frozen: left out: it has no test rows of phase analysis") for note in one.notes)


def test_rankings_are_compared_by_kendalls_tau(store: Store) -> None:
    """Four methods: validation at the end ranks them 4 3 2 1, published 1 2 3 4, and after two tasks one swap."""
    end, early, published = (40, 30, 20, 10), (40, 30, 10, 20), (10, 20, 30, 40)
    for i in range(4):
        names = {"sweep": f"s{i}", "method": f"m{i}"}
        write_cell(store, 0, three_tasks(1, 1), scored(0, published[i]), **names)
        write_cell(store, 1, three_tasks(2, 9), scored(0, end[i]), **names)
        write_cell(store, 2, three_tasks(9, 2), scored(0, early[i]), **names)
    one = audited(store)
    taus = {(tau.first, tau.second): tau.tau for tau in one.agreements}
    assert taus[END, PUBLISHED] == pytest.approx(-1)
    assert taus[END, "first_tasks(2)"] == pytest.approx((5 - 1) / 6)
    assert {tau.methods for tau in one.agreements} == {4}
    assert not any("tau" in note for note in one.notes)


def test_few_methods_are_said_to_be_few(store: Store) -> None:
    write_cell(store, 0, three_tasks(50, 50), scored(50, 50))
    assert any("needs two" in note for note in audited(store).notes)
    assert audited(store).agreements == ()
    write_cell(store, 0, three_tasks(50, 50), scored(60, 60), sweep="again")
    one = audited(store)
    assert [method.label for method in one.methods] == ["mora (again)", "mora (alpha)"]
    assert any("tau is coarse: without ties it can only be -1 or 1" in note for note in one.notes)


def test_a_metric_to_be_low(store: Store) -> None:
    write_identity(store, "alpha", objective={"metric": "forgetting", "direction": "min"}, seeds={"run": 5, "order": 5})
    for trial, final in enumerate((40, 50, 30)):
        write_cell(store, trial, three_tasks(60, final), scored(final, final))
    one = audited(store)
    assert (one.metric, one.direction, one.methods[0].choices[END].trial) == ("forgetting", "min", 1)
    other = audited(store, metric="final_acc_micro")
    assert (other.metric, other.direction) == ("final_acc_micro", "max")


def test_a_k_outside_the_sequence(store: Store) -> None:
    write_cell(store, 0, three_tasks(50, 50), scored(50, 50))
    assert set(audited(store, first=[2]).methods[0].choices) == {TEST, END, "first_tasks(2)", PUBLISHED}
    for k in (1, 3):
        with pytest.raises(UsageError, match=f"--first {k}: 'nano_cil' is a sequence of 3 tasks: k is 2 to 2"):
            audited(store, first=[k])


def test_rows_of_other_phases_change_nothing(store: Store) -> None:
    write_cell(store, 0, three_tasks(50, 50), scored(50, 50))
    write_cell(store, 1, three_tasks(60, 60), scored(60, 60))
    before = audited(store).methods
    for phase, split in (("race", "validation"), ("confirm", "test")):
        for run, order in (SEARCH, *OTHERS):
            place = {"phase": phase, "split": split, "run_seed": run, "order_seed": order}
            write_sequence(store, three_tasks(99, 99), trial=0, **place)
    assert audited(store).methods == before


def test_shuffled_test_labels_change_no_choice_by_validation(store: Store) -> None:
    random = np.random.default_rng(1)
    finals = random.uniform(20, 80, 6)
    for name, tests in (("alpha", finals), ("shuffled", random.permutation(finals))):
        for trial, (validation, test) in enumerate(zip(finals, tests, strict=True)):
            write_cell(store, trial, three_tasks(validation, validation), scored(test, test), sweep=name, method=name)
    plain, shuffled = audited(store).methods
    assert all(plain.choices[r].trial == shuffled.choices[r].trial for r in plain.choices if r != TEST)
