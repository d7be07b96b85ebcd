"""`leaderboard --diff A B`: exactly what was changed, and the paired difference of what came out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from made_up_store import write_identity, write_sequence, write_trial
from scipy import stats

from clsearch.leaderboard import main
from clsearch.results.store import Store, open_store

NAN = math.nan
FINALS = {"alpha": (70.0, 72.0, 75.0), "beta": (71.0, 76.0, 76.0)}  # on runs 1, 2, 3


def matrix(final: float) -> list[list[float]]:
    return [[90, NAN], [80, final]]


def identity(**over: Any) -> dict[str, Any]:
    fixed = {"settings": {"optimiser": "adamw"}, "sampler": {"name": "tpe", "startup": 5}, "space": {}}
    return fixed | {"seeds": {"run": 0, "order": 0}} | over


def write_sweep(store: Store, name: str, finals: tuple[float, ...] = (), **over: Any) -> None:
    """Trial 0 at 50 and trial 1 at 60 on validation; the latter confirmed on runs 1, 2, ..."""
    rate = over.pop("learning_rate", 0.1)
    rows = {key: over.pop(key) for key in ("git_sha", "lock_hash", "data_digest", "tasks_total") if key in over}
    write_identity(store, name, **identity(**over))
    for trial, objective in enumerate((50.0, 60.0)):
        setting = {"learning_rate": rate if trial else 0.5, "optimiser": "adamw"}
        write_trial(store, name, trial, objective)
        place = {"sweep": name, "trial": trial, "setting": setting, **rows}
        place["protocol"] = over.get("protocol", "end_of_sequence")
        write_sequence(store, matrix(objective), **place)
        for run, final in enumerate(finals if trial else (), start=1):
            confirmed = {"phase": "confirm", "split": "test", "run_seed": run, "order_seed": run}
            write_sequence(store, matrix(final), **place, **confirmed)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    write_sweep(store, "alpha", FINALS["alpha"], git_sha="aaa", lock_hash="one")
    sampler = {"name": "gp", "startup": 5}
    write_sweep(store, "beta", FINALS["beta"], git_sha="bbb", lock_hash="one", sampler=sampler, learning_rate=0.2)
    return store


def diff(capsys: pytest.CaptureFixture[str], store: Store, *names: str) -> dict[str, Any]:
    assert main([store.uri, "--format", "json", "--diff", *names]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def outcome(found: dict[str, Any], split: str, metric: str) -> dict[str, Any]:
    (one,) = [one for one in found["outcomes"] if (one["split"], one["metric"]) == (split, metric)]
    assert isinstance(one, dict)
    return one


def test_exactly_what_was_changed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = diff(capsys, store, "alpha", "beta")
    assert found["sweeps"] == {"sampler.name": ["tpe", "gp"]}
    assert found["settings"] == {"learning_rate": ["0.1", "0.2"]}
    assert found["ran_with"] == {"git_sha": ["aaa", "bbb"]}
    assert (found["a"]["trial"], found["b"]["trial"]) == (1, 1)
    assert found["unpaired"] == {}


def test_the_paired_difference_of_what_came_out(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = diff(capsys, store, "alpha", "beta")
    one = outcome(found, "test", "last")
    expected = [(80 + final) / 2 for final in FINALS["alpha"]], [(80 + final) / 2 for final in FINALS["beta"]]
    assert (one["a"]["values"], one["b"]["values"]) == expected
    interval = stats.ttest_rel(*expected).confidence_interval(0.95)
    gap = one["difference"]
    assert (gap["low"], gap["high"], gap["pairs"]) == pytest.approx((interval.low, interval.high, 3))
    validation = outcome(found, "validation", "last")
    assert validation["difference"] == {"mean": 0.0, "low": None, "high": None, "pairs": 1}


def test_trials_by_number(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    found = diff(capsys, store, "alpha:0", "alpha:1")
    assert found["sweeps"] == {}
    assert found["settings"] == {"learning_rate": ["0.5", "0.1"]}
    assert outcome(found, "validation", "last")["difference"]["mean"] == -5
    assert found["unpaired"] == {"test": "one of the two has no complete sequences there"}
    assert outcome(found, "test", "last")["a"] == {"mean": None, "values": []}


def test_a_verdict_names_the_winner(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    choice = {"trial": 0, "eval_setting": {}}
    verdict = {"winner": choice, "published": choice, "company": {}, "race": None, "seeds": [], "claim": False}
    store.put_json("verdicts/alpha/1.json", {**verdict, "level": 0.05, "confirm_pairs": 0, "written_at": "now"})
    assert diff(capsys, store, "alpha", "beta")["a"]["trial"] == 0


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"protocol": "first_tasks(2)"}, "different protocols (end_of_sequence and first_tasks(2))"),
        ({"data_digest": "other"}, "their data differ on every common pair of seeds"),
    ],
)
def test_what_cannot_be_paired_stands_side_by_side(
    tmp_path: Path, over: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(str(tmp_path))
    write_sweep(store, "alpha", (70.0, 72.0), data_digest="same")
    write_sweep(store, "beta", (71.0, 76.0), **{"data_digest": "same", **over})
    found = diff(capsys, store, "alpha", "beta")
    assert why in found["unpaired"]["test"]
    assert why in found["unpaired"]["validation"]
    one = outcome(found, "test", "last")
    assert (one["a"]["mean"], one["b"]["mean"], one["difference"]) == (75.5, 76.75, None)
    assert main([store.uri, "--diff", "alpha", "beta"]) == 0
    assert f"no difference on test: {'they have ' if 'protocol' in over else ''}{why}" in capsys.readouterr().out


def test_without_common_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path))
    write_sweep(store, "alpha", (70.0,))
    write_sweep(store, "beta")
    write_sequence(
        store,
        matrix(70),
        sweep="beta",
        trial=1,
        phase="confirm",
        split="test",
        run_seed=9,
        setting={"learning_rate": 0.1},
    )
    found = diff(capsys, store, "alpha", "beta")
    assert found["unpaired"] == {"test": "no pair of (run seed, order seed) is common to both"}


def test_a_setting_that_came_later_stands_at_its_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path))
    write_sweep(store, "alpha", settings={})
    write_sweep(store, "beta", settings={"new_rank": 16})  # the default
    assert diff(capsys, store, "alpha", "beta")["sweeps"] == {}
    write_sweep(store, "gamma", settings={"new_rank": 8}, eval_grid={"threshold": [0.2, 0.4]})
    changed = diff(capsys, store, "alpha", "gamma")["sweeps"]
    assert changed == {
        "eval_grid.threshold": ["nothing", "[0.2, 0.4]"],
        "settings.new_rank": ["16", "8"],
        "settings.threshold": ["0.2", "nothing"],
    }


def test_texts(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([store.uri, "--diff", "alpha", "beta"]) == 0
    shown = capsys.readouterr().out
    assert "A = alpha (trial 1, eval setting {})" in shown
    assert "what was asked of the sweeps  A: alpha  B: beta" in shown
    assert "last (validation)" in shown
    assert "average" not in shown
    assert main([store.uri, "--diff", "alpha", "beta", "--format", "md", "--metric", "last"]) == 0
    shown = capsys.readouterr().out
    assert "| sampler.name | tpe | gp |" in shown
    assert "| last (test) | 76.17 ± 1.26 | 3 | 77.17 ± 1.44 | 3 | -1.00 [-3.15, +1.15] | 3 |" in shown
    assert "aaa_micro" not in shown
    assert main([store.uri, "--diff", "alpha", "alpha"]) == 0
    assert "what was asked of the sweeps: no difference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--diff", "alpha", "betta"], "has no sweep 'betta': did you mean 'beta'?"),
        (["--diff", "alpha:7", "beta"], "sweep 'alpha' has no trial '7': valid are: 0, 1"),
        (["--diff", "alpha", "beta", "--format", "csv"], "'csv' is unknown: valid are: json, md, table"),
        (["--diff", "alpha", "beta", "--sort", "method"], "--sort is for boards"),
        (["--diff", "alpha", "stopped:0"], "trial 0 of sweep 'stopped' is pruned"),
        (["--diff", "alpha", "stopped"], "sweep 'stopped' has no complete trial yet"),
        (["--diff", "alpha", "stray"], "it has rows but no identity"),
    ],
)
def test_what_cannot_be_compared(
    store: Store, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_identity(store, "stopped", **identity())
    write_trial(store, "stopped", 0, status="pruned")
    write_sequence(store, matrix(1), sweep="stray")
    assert main([store.uri, *options]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
