"""Metrics against figures computed by hand from the definitions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.results.metrics import LOWER_IS_BETTER, METRICS, acc_macro, acc_micro, accuracy_matrix, fwt

# Three tasks of 10, 40 and 100 images, class-incremental: the upper triangle is not evaluated.
COUNT = np.array([[10, 0, 0], [10, 40, 0], [10, 40, 100]])
CORRECT = np.array([[9, 0, 0], [5, 30, 0], [0, 20, 80]])  # accuracies 90 | 50 75 | 0 50 80

# Three domains of 10, 40 and 100 images, all evaluated after each.
X_COUNT = np.tile([10, 40, 100], (3, 1))
X_CORRECT = np.array([[9, 10, 30], [8, 30, 0], [7, 28, 90]])  # 90 25 30 | 80 75 0 | 70 70 90


def test_class_incremental_metrics_of_unequal_tasks() -> None:
    expected = {
        "final_acc_micro": 100 * 100 / 150,  # 0 + 20 + 80 of 150
        "final_acc_macro": (0 + 50 + 80) / 3,
        "aaa_micro": (90 + 100 * 35 / 50 + 100 * 100 / 150) / 3,
        "aaa_macro": (90 + 62.5 + 130 / 3) / 3,
        "last": (0 + 50 + 80) / 3,
        "forgetting": ((90 - 0) + (75 - 50)) / 2,
        "forgetting_coda": ((90 - 50) / 1 + ((50 - 0) + (75 - 50)) / 2) / 2,
        "forgetting_first": ((90 - 0) + (75 - 50)) / 2,
        "bwt": ((0 - 90) + (50 - 75)) / 2,
        "plasticity": (90 + 75 + 80) / 3,
    }
    for name, value in expected.items():
        assert METRICS[name](CORRECT, COUNT) == pytest.approx(value, abs=1e-12), name
    assert math.isnan(METRICS["transfer"](CORRECT, COUNT))
    assert math.isnan(METRICS["average"](CORRECT, COUNT))
    np.testing.assert_allclose(acc_micro(CORRECT, COUNT), [90, 70, 200 / 3])
    np.testing.assert_allclose(acc_macro(CORRECT, COUNT), [90, 62.5, 130 / 3])


def test_cross_domain_metrics_count_a_true_zero() -> None:
    # Transfer: column 2: 25; column 3: (30 + 0) / 2 = 15, and not 30 as with zeros masked.
    assert METRICS["transfer"](X_CORRECT, X_COUNT) == pytest.approx((25 + 15) / 2)
    assert METRICS["average"](X_CORRECT, X_COUNT) == pytest.approx((80 + 170 / 3 + 40) / 3)
    assert METRICS["last"](X_CORRECT, X_COUNT) == pytest.approx((70 + 70 + 90) / 3)
    # fwt: just before learning: 25 for task 2, 0 for task 3.
    assert fwt(X_CORRECT, X_COUNT, [50, 20, 10]) == pytest.approx(((25 - 20) + (0 - 10)) / 2)


def test_forgetting_takes_the_best_stage_and_may_include_the_last() -> None:
    correct = np.array([[50, 0, 0], [70, 60, 0], [60, 80, 10]])
    count = np.where(np.tri(3) > 0, 100, 0)
    # Task 1: best 70, final 60; task 2: best is the final 80, so 0 and not negative as in Chaudhry's original.
    assert METRICS["forgetting"](correct, count) == pytest.approx((10 + 0) / 2)
    assert METRICS["bwt"](correct, count) == pytest.approx((10 + 20) / 2)


def test_one_task() -> None:
    correct, count = np.array([[3]]), np.array([[4]])
    for name in ("final_acc_micro", "final_acc_macro", "aaa_micro", "aaa_macro", "average", "last", "plasticity"):
        assert METRICS[name](correct, count) == 75.0, name
    for name in ("transfer", "forgetting", "forgetting_coda", "forgetting_first", "bwt"):
        assert math.isnan(METRICS[name](correct, count)), name
    assert math.isnan(fwt(correct, count, [10.0]))


def test_what_was_not_evaluated_is_unknown_not_left_out() -> None:
    count = COUNT.copy()
    count[1, 0] = 0
    assert math.isnan(METRICS["aaa_micro"](CORRECT, count))
    assert math.isnan(METRICS["aaa_macro"](CORRECT, count))
    assert math.isnan(METRICS["forgetting"](CORRECT, count))
    assert METRICS["final_acc_micro"](CORRECT, count) == pytest.approx(200 / 3)  # needs the last row only
    assert math.isnan(accuracy_matrix(CORRECT, count)[1, 0])


def test_leading_axes_and_plain_numbers() -> None:
    correct, count = np.stack([CORRECT, CORRECT // 2]), np.stack([COUNT, COUNT])
    for name, metric in METRICS.items():
        many = metric(correct, count)
        single = [metric(CORRECT, COUNT), metric(CORRECT // 2, COUNT)]
        np.testing.assert_array_equal(many, single, err_msg=name)
        json.dumps(single[0])  # a number, not an array
    assert set(METRICS) > LOWER_IS_BETTER


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_against_the_definitions_written_as_loops(tasks: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    count = random.integers(1, 50, (1, tasks)).repeat(tasks, axis=0)
    correct = random.integers(0, count + 1)
    a, n, span = 100 * correct / count, count[0], range(tasks)
    micro = [sum(n[i] * a[t, i] for i in range(t + 1)) / sum(n[: t + 1]) for t in span]
    expected = {
        "final_acc_micro": micro[-1],
        "aaa_micro": sum(micro) / tasks,
        "aaa_macro": sum(sum(a[t, : t + 1]) / (t + 1) for t in span) / tasks,
        "average": sum(sum(a[t, j] for t in span) / tasks for j in span) / tasks,
        "last": sum(a[-1]) / tasks,
        "plasticity": sum(a[i, i] for i in span) / tasks,
    }
    if tasks > 1:
        expected["transfer"] = sum(sum(a[t, j] for t in range(j)) / j for j in range(1, tasks)) / (tasks - 1)
        expected["forgetting"] = sum(max(a[i:, i]) - a[-1, i] for i in range(tasks - 1)) / (tasks - 1)
        expected["bwt"] = sum(a[-1, i] - a[i, i] for i in range(tasks - 1)) / (tasks - 1)
        expected["forgetting_coda"] = sum(sum(a[t - 1, i] - a[t, i] for i in range(t)) / t for t in range(1, tasks)) / (
            tasks - 1
        )
    for name, value in expected.items():
        assert METRICS[name](correct, count) == pytest.approx(value, abs=1e-9), name
