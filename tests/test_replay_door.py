"""The door `clsearch.replay`: what it prints, draws and exports, and what it says to what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from made_up_table import identity, noisy_curves, settings, table_rows, write_rows

from clsearch.replay import main
from clsearch.results.store import Store, open_store
from clsearch.results.table_files import table_bytes
from clsearch.results.tables import load_table


def made_up(pairs: int = 8) -> Any:
    truth = np.random.default_rng(0).uniform(40, 60, (6, 2, 1)) + np.array([4.0, 2.0, 0.0])
    curves = noisy_curves(truth, pairs, np.random.default_rng(1), pair_std=1.0, own_std=0.5)
    return table_rows(curves, settings(6), identity((0.2, 0.0)))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = made_up()
    path = tmp_path_factory.mktemp("table") / "made_up.parquet"
    path.write_bytes(table_bytes(found.sweep, found.identity, found.rows))
    return str(path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    write_rows(store, made_up(pairs=2))
    return store


def test_a_table_for_people(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([file, "today", "clsearch", "--repetitions", "3", "--race"]) == 0
    out = capsys.readouterr().out
    assert "made-up · mora on nano_cil · protocol end_of_sequence · final_acc_macro" in out
    assert "6 settings x 2 eval settings, 3 repetitions on virtual seeds" in out
    lines = out.splitlines()
    assert any(line.startswith("today") and "1.0x" in line for line in lines)
    assert any(line.startswith("clsearch: our defaults") for line in lines)
    assert any(line.startswith("race: 1000 races of 6 settings on up to 5 of the table's real pairs") for line in lines)
    assert "observed on virtual seeds" in out
    assert "16 sequences" in out


def test_json_for_machines(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([file, "today", "random", "--repetitions", "3", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    today, random = found["policies"]
    assert (found["repetitions"], found["reference"], found["seeds"]) == (3, "today", "virtual")
    assert today["factor_against_today"]["median"] == 1.0
    assert today["cost_to_equal_regret"]["seconds"]["median"] > found["confirmation"]["seconds"]
    assert set(random) == set(today)
    assert len(random["cost_to_equal_regret"]["sequences"]["quartiles"]) == 2
    assert 0 <= random["never_reached"] <= 1
    assert found["race"] is None


def test_markdown_on_real_seeds(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([file, "tpe", "random", "--real", "--repetitions", "2", "--format", "md"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("### made-up")
    assert "| tpe |" in out
    assert "- observed on real seeds" in out


def test_the_picture(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "regret.svg"
    assert main([file, "today", "random", "race", "--repetitions", "2", "--plot", str(path)]) == 0
    picture = ElementTree.fromstring(path.read_text())
    space = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{space}polyline")) == 3
    words = [str(text.text) for text in picture.findall(f"{space}text")]
    assert {"today", "random", "race"} <= set(words)


def test_export(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.parquet"
    assert main([store.uri, "--export", str(path)]) == 0
    assert "sweep 'made-up', 6 settings x 2 eval settings, 2 pairs of seeds" in capsys.readouterr().out
    np.testing.assert_array_equal(load_table(str(path)).correct, load_table(store.uri).correct)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no table 'nowhere' in the package"),
        (["FILE", "tday"], "policy 'tday' is unknown: did you mean 'today'?"),
        (["FILE", "--repetitions", "0"], "--repetitions 0: must be at least 1"),
        (["FILE", "--format", "jsn"], "--format: 'jsn' is unknown: did you mean 'json'?"),
        (["FILE", "--plot", "a.png"], "--plot a.png: the picture is an SVG"),
        (["FILE", "today", "--real"], "policy 'today' needs 5 pairs of seeds"),
        (["FILE", "--export", "b.parquet"], "--export writes the table of a store"),
        (["FILE", "--sweep", "beta"], "holds sweep 'made-up', not 'beta'"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], said: str, file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([file if argument == "FILE" else argument for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.startswith("error: ")


def test_a_store_with_no_complete_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put_json(store.sweep_path("begun"), identity())
    assert main([store.uri]) == 2
    assert "has no validation rows of phase search: run the sweep" in capsys.readouterr().err
