"""The audit's door: what it prints, where it keeps what was chosen by test, what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from made_up_store import write_identity, write_sequence

from clsearch.audit import main
from clsearch.results.audit_show import QUARANTINE
from clsearch.results.store import Store, open_store
from clsearch.results.table_files import write_table

NAN = math.nan


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two methods with three settings each; the last one of each is lucky on the test rows of the search pair."""
    store = open_store(str(tmp_path / "store"))
    for name, scores in {"lora": (50, 60, 55), "mora": (52, 58, 57)}.items():
        for trial, score in enumerate(scores):
            place = {"sweep": f"{name}_table", "method": name, "trial": trial}
            write_sequence(store, matrix(score), **place)
            for seed in range(4):
                seen = score if seed else (97 if trial == 2 else score)
                test = {"phase": "analysis", "split": "test", "run_seed": seed, "order_seed": seed}
                write_sequence(store, matrix(seen + seed), **place, **test)
    return store


def matrix(score: float) -> list[list[float]]:
    return [[score, NAN, NAN], [score, score, NAN], [score, score, score]]


def test_json_keeps_what_was_chosen_by_test_apart(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, "--format", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["benchmarks"]
    lora, mora = one["methods"]
    assert set(lora["chosen_by"]) == {"end_of_sequence", "first_tasks(2)", "published"}
    assert lora["chosen_by"]["end_of_sequence"]["trial"] == 1
    assert lora["chosen_by"]["end_of_sequence"]["less_end_of_sequence"] is None
    assert lora["chosen_by"]["published"]["less_end_of_sequence"]["pairs"] == 3
    assert mora["chosen_by"]["published"]["mean"] == pytest.approx(52 + 2)
    assert all("test" not in (tau["first"], tau["second"]) for tau in one["kendall_tau"])
    apart = one["quarantined"]
    assert apart["what_it_is"] == QUARANTINE
    assert [line["trial"] for line in apart["chosen_by_test"]] == [2, 2]
    assert apart["chosen_by_test"][0]["optimism"] == pytest.approx(97 - (55 + 2))
    assert {tau["tau"] for tau in apart["kendall_tau"]} == {1.0, -1.0}


def test_text_says_what_is_quarantined(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("table", "md"):
        assert main([store.uri, "--format", form]) == 0
        shown = capsys.readouterr().out
        before, after = shown.split(QUARANTINE)
        assert "nano_cil · test final_acc_micro" in before
        assert "#2" not in before
        assert "97.00" not in before
        assert "97.00" in after
        assert "lora: 3 cells (trial, eval setting) took part, 0 left out" in after
        assert "tau is coarse" in after
    assert "| lora | end_of_sequence | #1 | {} | 62.00 ± 1.00 |" in shown


def test_a_table_in_one_file(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_identity(store, "lora_table", method="lora", eval_grid={}, seeds={"run": 0, "order": 0}, space={})
    path = tmp_path / "lora.parquet"
    write_table(store, "lora_table", path, [0, 1, 2])
    assert main([store.uri, "--format", "json"]) == 0
    whole = json.loads(capsys.readouterr().out)["benchmarks"][0]["methods"][0]
    assert main([str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["benchmarks"][0]["methods"] == [whole]
    assert main(["lora_pocket_tabel"]) == 2
    assert "tables of the package" in capsys.readouterr().err


def test_several_places(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = open_store(str(tmp_path / "other"))
    place = {"sweep": "lora_table", "method": "lora"}
    write_sequence(other, matrix(40), **place)
    for seed in range(2):
        test = {"phase": "analysis", "split": "test", "run_seed": seed, "order_seed": seed}
        write_sequence(other, matrix(40), **place, **test)
    assert main([store.uri, other.uri, "--format", "json"]) == 0
    labels = [method["label"] for method in json.loads(capsys.readouterr().out)["benchmarks"][0]["methods"]]
    assert sorted(labels) == sorted([f"lora (lora_table of {where})" for where in (store.uri, other.uri)] + ["mora"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "jsn"], "--format: 'jsn' is unknown: did you mean 'json'?"),
        (["--metric", "bw"], "--metric: 'bw' is unknown: did you mean 'bwt'?"),
        (["--benchmark", "nano_cli"], "there are no rows on 'nano_cli': did you mean 'nano_cil'?"),
        (["--first", "3"], "--first 3: 'nano_cil' is a sequence of 3 tasks: k is 2 to 2"),
    ],
)
def test_unknown_names(store: Store, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_nothing_to_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "plain"))
    assert main([store.uri]) == 2
    assert "nothing to audit: there are no rows of phases search and analysis" in capsys.readouterr().err
    write_sequence(store, matrix(50))
    assert main([store.uri]) == 2
    said = capsys.readouterr().err
    assert "alpha, mora: left out: it has no test rows of phase analysis" in said
    assert "a sweep with 'table: {pairs: 3}'" in said
    assert main([str(tmp_path / "nowhere")]) == 2
