"""Tables: what is loaded of a store or a file, what is left out, and that no test row is in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from made_up_store import write_sequence
from made_up_table import HOME, identity, noisy_curves, pair, settings, table_rows, write_rows

from clsearch.errors import UsageError
from clsearch.results.store import Store, open_store
from clsearch.results.table_files import (
    known_tables,
    rows_with_test_for_the_audit,
    table_bytes,
    validation_rows,
    write_table,
)
from clsearch.results.tables import Table, load_table, make_table

SETTINGS, EVALS, PAIRS, TASKS = 4, 2, 3, 3


def made_up_curves() -> Any:
    """Four settings; the last two were measured on a pair less."""
    truth = np.random.default_rng(3).uniform(30, 70, (SETTINGS, EVALS, TASKS)).round(1)
    curves = noisy_curves(truth, PAIRS, np.random.default_rng(4), pair_std=1.0, own_std=0.5)
    curves[2:, :, 2] = np.nan
    return curves


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "store"))
    write_rows(store, table_rows(made_up_curves(), settings(SETTINGS), identity((0.2, 0.0))))
    return store


def equal(one: Table, other: Table) -> bool:
    arrays = ("correct", "count", "learn_seconds", "evaluate_seconds")
    facts = ("sweep", "parameters", "trials", "settings", "eval_settings", "pairs", "metric", "permitted_tasks")
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in facts
    )


def test_a_store_has_a_table(store: Store) -> None:
    table = load_table(store.uri)
    assert table.trials == (0, 1, 2, 3)
    assert table.settings == tuple(settings(SETTINGS))
    assert table.eval_settings == ({"threshold": 0.2}, {"threshold": 0.0})  # the published one first
    assert table.pairs == (HOME, pair(1), pair(2))  # the search's first
    assert table.has().tolist() == [[True] * 3, [True] * 3, [True, True, False], [True, True, False]]
    assert table.correct.shape == table.count.shape == (SETTINGS, EVALS, PAIRS, TASKS, TASKS)
    assert not table.count[2:, :, 2].any()
    assert np.isnan(table.learn_seconds[2:, 2]).all()
    assert (table.learn_seconds[:, :2] == 10.0).all()
    assert (table.evaluate_seconds[:2] == 1.0).all()
    assert (table.metric, table.direction, str(table.protocol)) == ("final_acc_macro", "max", "end_of_sequence")


def test_curves_are_the_objective_after_each_task(store: Store) -> None:
    np.testing.assert_allclose(load_table(store.uri).curves(), made_up_curves(), atol=0.01)


def test_a_file_holds_the_same_table(store: Store, tmp_path: Path) -> None:
    table = load_table(store.uri)
    path = tmp_path / "made_up.parquet"
    assert write_table(store, None, path, table.trials) == "made-up"
    assert equal(load_table(str(path)), table)
    assert equal(load_table(str(path), "made-up"), table)
    with pytest.raises(UsageError, match="is there already"):
        write_table(store, None, path, table.trials)
    with pytest.raises(UsageError, match="holds sweep 'made-up', not 'beta'"):
        load_table(str(path), "beta")


def test_the_same_rows_give_the_same_bytes() -> None:
    found = table_rows(made_up_curves(), settings(SETTINGS), identity((0.2, 0.0)))
    turned = found.rows.take(list(range(found.rows.num_rows))[::-1])
    assert table_bytes("a", found.identity, found.rows) == table_bytes("a", found.identity, turned)


def test_no_test_row_is_in_a_table(store: Store, tmp_path: Path) -> None:
    before = load_table(store.uri)
    place = {"run_seed": HOME[0], "order_seed": HOME[1], "eval_setting": {"threshold": 0.2}, "sweep": "made-up"}
    write_sequence(store, [[99.0] * TASKS] * TASKS, trial=1, phase="analysis", split="test", **place)
    seeds = {"run_seed": 6, "order_seed": 8}
    write_sequence(store, [[99.0] * TASKS] * TASKS, trial=1, phase="confirm", split="test", **place | seeds)
    path = tmp_path / "made_up.parquet"
    write_table(store, None, path, before.trials)
    for where in (store.uri, str(path)):
        assert equal(load_table(where), before)
        assert set(validation_rows(where).rows["split"].to_pylist()) == {"validation"}
        found = rows_with_test_for_the_audit(where).rows
        assert set(zip(found["phase"].to_pylist(), found["split"].to_pylist(), strict=True)) == {
            ("search", "validation"),
            ("race", "validation"),
            ("analysis", "test"),
        }


def test_what_is_not_complete_is_left_out() -> None:
    curves = made_up_curves()
    curves[1, 1, 0] = np.nan  # no rows under one eval setting of the search's pair
    curves[3, 0, 1] = np.nan  # nor on a further pair
    table = make_table(table_rows(curves, settings(SETTINGS), identity((0.2, 0.0))))
    assert table.trials == (0, 2, 3)
    assert table.has().tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_no_complete_trial_says_what_to_do() -> None:
    curves = made_up_curves()
    curves[:, 0, 0] = np.nan
    with pytest.raises(UsageError, match="no complete trial: let its search end"):
        make_table(table_rows(curves, settings(SETTINGS), identity((0.2, 0.0))))


def test_a_protocol_cuts_the_curves() -> None:
    curves, known = made_up_curves(), settings(SETTINGS)
    first = make_table(table_rows(curves, known, identity((0.2, 0.0), protocol="first_tasks(2)")))
    np.testing.assert_allclose(first.curves(), curves[..., :2], atol=0.01)
    assert first.permitted_tasks == first.learn_seconds.shape[-1] == 2
    chosen = make_table(table_rows(curves, known, identity((0.2, 0.0), protocol="published")))
    with pytest.raises(UsageError, match="nothing is chosen"):
        chosen.curves()


def test_what_the_protocol_does_not_permit_need_not_be_learned(store: Store) -> None:
    """As a search of the first two of three tasks leaves it."""
    found = table_rows(made_up_curves(), settings(SETTINGS), identity((0.2, 0.0), protocol="first_tasks(2)"), "begun")
    write_rows(store, replace(found, rows=found.rows.filter(pc.field("task_learned") <= 2)))
    table = load_table(store.uri, "begun")
    assert table.trials == (0, 1, 2, 3)
    np.testing.assert_allclose(table.curves(), made_up_curves()[..., :2], atol=0.01)


def test_inactive_parameters_stand_at_their_published_value() -> None:
    asked = identity((0.2, 0.0))
    asked["space"]["learning_rate"]["if"] = {"new_rank": [16]}
    known = [{"learning_rate": 1e-3, "new_rank": rank} for rank in (16, 16, 8, 4)]
    table = make_table(table_rows(made_up_curves(), known, asked))
    assert [parameter.name for parameter in table.parameters] == ["new_rank", "learning_rate"]
    assert [setting["learning_rate"] for setting in table.settings] == [1e-3, 1e-3, 5e-4, 5e-4]


def test_places_that_hold_no_table(store: Store, tmp_path: Path) -> None:
    (tmp_path / "other.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(UsageError, match=r"other\.parquet is damaged"):
        load_table(str(tmp_path / "other.parquet"))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_table(str(tmp_path / "none.parquet"))
    with pytest.raises(UsageError, match="there is no table 'nowhere' in the package"):
        load_table("nowhere")
    with pytest.raises(UsageError, match="has no sweep 'made-down': did you mean 'made-up'"):
        load_table(store.uri, "made-down")
    write_rows(store, table_rows(made_up_curves(), settings(SETTINGS), identity((0.2, 0.0)), sweep="second"))
    with pytest.raises(UsageError, match="several sweeps: name one of made-up, second"):
        load_table(store.uri)
    assert load_table(store.uri, "second").sweep == "second"
    write_sequence(store, [[50.0]], sweep="third")
    with pytest.raises(UsageError, match="rows but no identity"):
        load_table(store.uri, "third")


@pytest.mark.parametrize("name", known_tables())
def test_a_table_of_the_package_is_whole(name: str) -> None:
    table = load_table(name)
    assert table.trials[0] == 0
    assert table.has()[:, :3].all()
    curves = table.curves()
    assert np.isfinite(curves[..., -1][table.has()[:, None].repeat(curves.shape[1], axis=1)]).all()
