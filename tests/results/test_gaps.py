"""The gap between two protocols: paired, on identical sequences alone, and told under the boards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_store import write_identity, write_sequence, write_trial
from scipy import stats

from clsearch.leaderboard import load_boards, main
from clsearch.results.gaps import ProtocolGap
from clsearch.results.store import Store, open_store

WHOLE, FIRST = "end_of_sequence", "first_tasks(2)"
Finals = dict[tuple[int, int], float]  # pair of seeds -> accuracy on the last task
NAN = float("nan")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def matrix(final: float, tasks: int = 3) -> list[list[float]]:
    return [[90.0 if i < t else final if i == t else NAN for i in range(tasks)] for t in range(tasks)]


def confirmed(
    store: Store, sweep: str, protocol: str, finals: Finals, tasks: int = 3, data: str = "d", **o: Any
) -> None:
    """A sweep under a protocol whose best setting was confirmed; the order seed is in the digest of the data."""
    write_identity(store, sweep, protocol=protocol, method=o.get("method", "mora"))
    write_trial(store, sweep, 0, 50.0)
    write_trial(store, sweep, 1, 60.0)
    for (run, order), final in finals.items():
        write_sequence(
            store, matrix(final, tasks), sweep=sweep, protocol=protocol, trial=1, phase="confirm", split="test",
            run_seed=run, order_seed=order, data_digest=f"{data}{order}", **o,
        )  # fmt: skip


def gaps(store: Store, metric: str | None = None) -> list[ProtocolGap]:
    return [gap for board in load_boards(store, metric) for gap in board.gaps]


def test_the_gap_is_paired_over_the_pairs_that_both_have(store: Store) -> None:
    whole = {(1, 1): 70.0, (2, 2): 74.0, (3, 3): 72.0, (4, 4): 99.0}
    first = {(1, 1): 64.0, (2, 2): 70.0, (3, 3): 63.0, (5, 5): 0.0}
    confirmed(store, "a", WHOLE, whole)
    confirmed(store, "b", FIRST, first)
    (gap,) = gaps(store)
    assert (gap.protocols, gap.sweeps, gap.metric) == ((WHOLE, FIRST), ("a", "b"), "final_acc_micro")
    differences = [(whole[pair] - first[pair]) / 3 for pair in whole if pair in first]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert gap.gap.pairs == 3
    assert gap.gap.mean == pytest.approx(sum(differences) / 3)
    assert (gap.gap.low, gap.gap.high) == pytest.approx((expected.low, expected.high))
    assert gaps(store, "last")[0].metric == "last"
    assert gaps(store, "average") == []  # which these sequences do not have


PAIR = {(1, 1): 70.0, (2, 2): 74.0}


@pytest.mark.parametrize(
    "other",
    [
        {"finals": {(3, 1): 70.0, (1, 2): 74.0}},
        {"tasks": 2},
        {"data": "of other tasks"},
        {"method": "lora"},
        {"backbone": "large"},
        {"benchmark": "nano_dil"},
    ],
    ids=["pairs", "number of tasks", "tasks", "method", "backbone", "benchmark"],
)
def test_where_anything_differs_there_is_no_gap(store: Store, other: dict[str, Any]) -> None:
    confirmed(store, "a", WHOLE, PAIR)
    facts = {"finals": PAIR, **other}
    confirmed(store, "b", "disjoint_tasks(2)", **facts)
    if "benchmark" in other:
        store.delete(store.sweep_path("b"))
        write_identity(store, "b", protocol="disjoint_tasks(2)", benchmark=other["benchmark"])
    assert gaps(store) == []


def test_unknown_data_are_not_taken_for_the_same(store: Store) -> None:
    for sweep, protocol in (("a", WHOLE), ("b", FIRST)):
        write_identity(store, sweep, protocol=protocol)
        write_trial(store, sweep, 0, 50.0)
        write_sequence(store, matrix(70), sweep=sweep, protocol=protocol, phase="confirm", split="test", run_seed=1)
    assert gaps(store) == []


def test_two_sweeps_of_one_protocol_have_no_gap(store: Store) -> None:
    confirmed(store, "a", WHOLE, PAIR)
    confirmed(store, "b", WHOLE, {(1, 1): 60.0, (2, 2): 65.0})
    assert gaps(store) == []


def test_of_three_protocols_each_pair_is_told_once_the_one_that_sees_more_first(store: Store) -> None:
    for sweep, protocol in (("c", "published"), ("b", FIRST), ("a", WHOLE), ("d", "first_tasks(1)")):
        confirmed(store, sweep, protocol.replace("(1)", "(3)"), PAIR)
    seen = [(WHOLE, FIRST), (WHOLE, "first_tasks(3)"), (WHOLE, "published"), (FIRST, "published"),
            ("first_tasks(3)", FIRST), ("first_tasks(3)", "published")]  # fmt: skip
    assert sorted(gap.protocols for gap in gaps(store)) == sorted(seen)


def test_every_format_tells_it_and_no_board_ranks_across(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    confirmed(store, "a", WHOLE, {(1, 1): 70.0, (2, 2): 74.0})
    confirmed(store, "b", FIRST, {(1, 1): 64.0, (2, 2): 70.0})
    said = f"gap: best of mora by {WHOLE} (a) - by {FIRST} (b) = +1.67 "
    for form in ("table", "md"):
        assert main([store.uri, "--format", form]) == 0
        text = capsys.readouterr().out
        assert said in text
        assert "points of Acc (micro) (95 % t), n = 2 pairs with identical tasks, order and seeds" in text
        assert text.index(f"protocol {WHOLE}") < text.index(f"protocol {FIRST}") < text.index("gap:")
    assert main([store.uri, "--format", "json"]) == 0
    whole, first = json.loads(capsys.readouterr().out)["tables"]
    assert [line["rank"] for line in whole["lines"]] == [line["rank"] for line in first["lines"]] == [1]
    assert whole["gaps"] == []
    (gap,) = first["gaps"]
    assert gap["protocols"] == [WHOLE, FIRST]
    assert gap["gap"]["mean"] == pytest.approx(5 / 3)


def test_one_pair_has_no_interval(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    confirmed(store, "a", WHOLE, {(1, 1): 70.0})
    confirmed(store, "b", FIRST, {(1, 1): 64.0})
    assert main([store.uri]) == 0
    assert "= +2.00 points of Acc (micro), n = 1 pair (no interval) with identical" in capsys.readouterr().out
