"""The leaderboard: what is ranked, what is only shown, what is hidden, and in which words."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from made_up_store import row, write_identity, write_sequence, write_trial
from scipy import stats

from clsearch.leaderboard import main
from clsearch.results.rows import SCHEMA_VERSION, encode, rows_table
from clsearch.results.store import Store, open_store

NAN = math.nan
FINALS = {0: (70.0, 71.0, 69.0, 72.0, 70.0), 2: (74.0, 72.0, 73.0, 75.0, 70.0)}  # test accuracy on task 2, by pair


def matrix(final: float) -> list[list[float]]:
    return [[90, NAN], [80, final]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Sweep alpha: confirmed on five pairs; beta (fm_lora): searched only; gamma: cross-domain, without trials."""
    store = open_store(str(tmp_path / "store"))
    write_identity(store, "alpha")
    for number, objective in enumerate((60.0, 50.0, 65.0)):
        write_trial(store, "alpha", number, objective)
        write_sequence(store, matrix(objective), trial=number)
    write_trial(store, "alpha", 3, status="pruned")
    write_trial(store, "alpha", 4, status="failed", cause="RuntimeError: out of [memory]\nat layer 3")
    write_trial(store, "alpha", 5, status=None)
    write_sequence(store, matrix(99), trial=3, stages=1)
    write_sequence(store, matrix(99), trial=5)  # whole, but its trial has not ended
    for number, finals in FINALS.items():
        for seed, final in enumerate(finals, start=1):
            write_sequence(
                store, matrix(final), trial=number, phase="confirm", split="test", run_seed=seed, order_seed=seed
            )
    write_sequence(store, matrix(99), trial=2, phase="confirm", split="test", run_seed=6, stages=1)
    write_sequence(store, matrix(99), trial=2, phase="analysis", split="test")
    write_identity(store, "beta", method="fm_lora")
    write_trial(store, "beta", 0, 95.0)
    write_trial(store, "beta", 1, 95.0)
    for number in (0, 1):
        write_sequence(store, matrix(95), sweep="beta", trial=number, method="fm_lora")
    write_sequence(
        store, [[90, 20], [80, 60]], [10, 40], sweep="gamma", benchmark="nano_x_tail", method="frozen", backbone="clip"
    )
    return store


def tables(capsys: pytest.CaptureFixture[str], store: Store, *options: str) -> list[dict[str, Any]]:
    assert main([store.uri, "--format", "json", *options]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["tables"]
    return found


def test_confirmed_lines_are_ranked_and_the_rest_is_not(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cil, cross = tables(capsys, store)
    assert (cil["benchmark"], cil["protocol"], cil["kind"]) == ("nano_cil", "end_of_sequence", "class_incremental")
    lines = [(one["rank"], one["sweep"], one["setting"], one["trial"], one["result"], one["n"]) for one in cil["lines"]]
    assert lines == [
        (1, "alpha", "best", 2, "confirmed (test)", 5),
        (2, "alpha", "published", 0, "confirmed (test)", 5),
        (None, "beta", "best = published", 0, "unconfirmed (validation)", 1),
    ]
    finals = FINALS[2]
    best = cil["lines"][0]
    assert best["final_acc_micro_mean"] == pytest.approx((80 + sum(finals) / 5) / 2)
    assert best["final_acc_micro_std"] == pytest.approx(stats.tstd(finals) / 2)
    assert best["average_mean"] is None
    assert best["trials_spent"] == 6
    assert cil["lines"][2]["final_acc_micro_std"] is None
    assert (cross["benchmark"], cross["kind"], cross["ranked_by"]) == ("nano_x_tail", "cross_domain", "average")
    assert cross["lines"][0]["transfer_mean"] == 20
    assert cross["lines"][0]["average_mean"] == (85 + 40) / 2
    assert cross["lines"][0]["rank"] is None


def test_paired_difference_and_its_interval(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (difference,) = tables(capsys, store, "--metric", "last")[0]["differences"]
    gaps = [(best - published) / 2 for best, published in zip(FINALS[2], FINALS[0], strict=True)]
    expected = stats.ttest_1samp(gaps, 0).confidence_interval(0.95)
    assert difference["pairs"] == 5
    assert difference["mean"] == pytest.approx(sum(gaps) / 5)
    assert (difference["low"], difference["high"]) == pytest.approx((expected.low, expected.high))


def test_only_common_pairs_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path))
    for number, pairs in ((0, [(1, 0), (2, 0)]), (1, [(2, 0), (2, 1)])):
        write_trial(store, "alpha", number, float(number))
        for run_seed, order_seed in pairs:
            place = {"phase": "confirm", "split": "test", "run_seed": run_seed, "order_seed": order_seed}
            write_sequence(store, matrix(50 + number), trial=number, **place)
    assert main([store.uri]) == 0
    assert "alpha: best - published = +0.50 points of Acc (micro), n = 1 pair (no interval)" in capsys.readouterr().out


def test_what_is_hidden_is_counted_with_the_reason(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (cil, _) = tables(capsys, store)
    assert cil["hidden"] == {"pruned": 1, "failed": 1, "running": 1, "confirmation not finished": 1}
    assert main([store.uri]) == 0
    shown = capsys.readouterr().out
    assert "hidden: 3 incomplete trials (1 pruned, 1 failed, 1 running or interrupted)" in shown
    assert "hidden: 1 × confirmation not finished" in shown
    assert "alpha trial 4 failed: RuntimeError: out of [memory]\n" in shown


def test_the_eval_setting_tells_best_from_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trial 0 wins, but under an eval setting that is not the published one: two lines of one trial."""
    store = open_store(str(tmp_path))
    write_identity(store, "alpha", eval_grid={"threshold": [0.2, 0.4]})
    write_trial(store, "alpha", 0, 60.0, eval_setting={"threshold": 0.4, "fixed": 1})
    for threshold, final in ((0.2, 50), (0.4, 60)):
        for phase, split, seed in (("search", "validation", 0), ("confirm", "test", 1), ("confirm", "test", 2)):
            setting = {"threshold": threshold, "fixed": 1}
            write_sequence(store, matrix(final), phase=phase, split=split, run_seed=seed, eval_setting=setting)
    (board,) = tables(capsys, store)
    assert [(one["setting"], one["eval_setting"]) for one in board["lines"]] == [
        ("best", '{"fixed":1,"threshold":0.4}'),
        ("published", '{"fixed":1,"threshold":0.2}'),
    ]
    assert board["differences"][0]["mean"] == pytest.approx(5)


def test_a_minimised_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path))
    write_identity(store, "alpha", objective={"metric": "forgetting", "direction": "min"})
    for number, objective in enumerate((10.0, 5.0, 20.0)):
        write_trial(store, "alpha", number, objective)
        write_sequence(store, [[90, NAN], [90 - objective, 50]], trial=number)
    (board,) = tables(capsys, store, "--metric", "forgetting")
    assert [(one["setting"], one["trial"]) for one in board["lines"]] == [("best", 1), ("published", 0)]


def test_formats(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, "--benchmark", "nano_cil"]) == 0
    table = capsys.readouterr().out
    assert "nano_cil · protocol end_of_sequence · ranked by Acc (micro), highest first" in table
    assert "nano_x_tail" not in table
    assert table.index("confirmed (test)") < table.index("unconfirmed (validation)") < table.index("fm_lora")
    assert "76.40 ± 0.96" in table
    assert "1.2k" in table
    assert main([store.uri, "--format", "md"]) == 0
    markdown = capsys.readouterr().out
    assert "### nano_cil" in markdown
    assert "| 1 | mora | alpha | best (#2) | 76.40 ± 0.96 |" in markdown
    assert main([store.uri, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["rank"] for line in lines] == ["1", "2", "", ""]
    assert float(lines[0]["final_acc_micro_mean"]) == pytest.approx(76.4)


def test_sort_changes_the_order_and_not_the_rank(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cil = tables(capsys, store, "--sort", "forgetting_coda", "--benchmark", "nano_cil")[0]
    assert {one["rank"] for one in cil["lines"]} == {1, 2, None}
    cil = tables(capsys, store, "--metric", "aaa_macro", "--sort", "trained")[0]
    assert cil["ranked_by"] == "aaa_macro"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metric", "forgeting"], "--metric: 'forgeting' is unknown: did you mean 'forgetting'?"),
        (["--format", "jsn"], "did you mean 'json'?"),
        (["--sort", "trails"], "did you mean 'trials'?"),
        (["--benchmark", "nano_cli"], "has nothing on 'nano_cli': did you mean 'nano_cil'?"),
    ],
)
def test_unknown_names(store: Store, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_places_without_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "is not a store: there is no such folder" in capsys.readouterr().err
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("-")
    assert main([str(tmp_path / "photos")]) == 2
    assert "is not a store" in capsys.readouterr().err
    store = open_store(str(tmp_path / "new"))
    assert main([store.uri]) == 0
    assert "holds no results yet" in capsys.readouterr().err
    write_trial(store, "alpha", 0, status="failed", cause="ValueError: no")
    write_identity(store, "alpha")
    assert main([store.uri]) == 0
    shown = capsys.readouterr().out
    assert "no complete trial yet\nhidden: 1 incomplete trial (1 failed)\nalpha trial 0 failed: ValueError: no" in shown


def test_damaged_and_newer_files(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow as pa

    path = store.rows_path("alpha", 9, "search", 0, 0, 1, "ab")
    newer = rows_table([row(trial=9)], {})
    newer = newer.set_column(0, "schema_version", pa.array([SCHEMA_VERSION + 1], pa.int32()))
    store.put(path, encode(newer))
    assert main([store.uri]) == 2
    assert "install a newer" in capsys.readouterr().err
    store.delete(path)
    store.put(path, b"PAR1")
    assert main([store.uri]) == 2
    assert f"row file {store.uri}/{path} is damaged" in capsys.readouterr().err


def test_the_same_board_from_s3(s3_uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(s3_uri)
    for number in (0, 1):
        write_trial(store, "alpha", number, float(number))
        write_sequence(store, matrix(50 + number), trial=number)
    (board,) = tables(capsys, store)
    assert [(one["setting"], one["trial"]) for one in board["lines"]] == [("best", 1), ("published", 0)]
    assert main(["s3://clsearch-missing/x"]) == 2
    assert "there is no bucket" in capsys.readouterr().err
