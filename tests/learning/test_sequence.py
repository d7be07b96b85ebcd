"""A sequence against a store: what is there is not done again, what is damaged is named, what is asked is checked."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from clsearch.errors import UsageError
from clsearch.learning import known
from clsearch.learning.checkpoint import decode
from clsearch.learning.request import SequenceRequest, TaskReport
from clsearch.learning.sequence import run_sequence
from clsearch.results.store import Store, StoreConflict, StoreError, open_store

REQUEST = SequenceRequest(
    sweep="s", trial=0, phase="search", protocol="end_of_sequence", method="mora",
    settings={"iterations": 4, "batch": 8, "new_rank": 4}, backbone="nano_clip", benchmark="nano_x_tail",
    order_seed=0, run_seed=0, eval_settings=({"threshold": 0.2}, {"threshold": 0.0}), parameters={"new_rank": 4},
    metric="average",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def rows(store: Store) -> dict[tuple[Any, ...], tuple[int, int, str]]:
    return {
        (r["trial"], r["task_learned"], r["task_evaluated"], r["split"], r["eval_setting"]): (
            r["correct"],
            r["count"],
            r["stage_key"],
        )
        for r in store.read_rows("s").to_pylist()
    }


def forget(store: Store, *tasks: int) -> None:
    """Lose the rows of these stages, and the counts that they could be written from again."""
    for name in store.row_names("s"):
        if any(f"-t{task}-" in name for task in tasks):
            os.unlink(Path(store.uri, name))
    for name in store.list("counts/"):
        os.unlink(Path(store.uri, name))


def test_a_sequence_writes_every_row_and_says_so(store: Store) -> None:
    told: list[TaskReport] = []
    result = run_sequence(REQUEST, store, report=told.append)
    assert (result.stages_learned, result.stages_reused, result.tasks_total) == (3, 0, 3)
    assert [report.task for report in told] == [1, 2, 3]
    assert not any(report.reused for report in told)
    # cross-domain: every domain after every task, under both eval settings, on validation alone
    assert len(rows(store)) == 3 * 3 * 2
    table = store.read_rows("s").to_pylist()
    assert {row["split"] for row in table} == {"validation"}
    assert {row["param_threshold"] for row in table} == {0.2, 0.0}
    assert {row["param_new_rank"] for row in table} == {4}
    assert all(row["trained_parameters"] > 0 and row["stored_parameters"] > 0 for row in table)


def test_the_same_request_again_learns_and_evaluates_nothing(store: Store) -> None:
    run_sequence(REQUEST, store)
    before = rows(store)
    result = run_sequence(REQUEST, store)
    assert (result.stages_learned, result.stages_reused) == (0, 3)
    assert result.evaluate_seconds == 0
    assert rows(store) == before


@pytest.mark.parametrize("keep", ["all", "last", "none"])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_lost_rows_come_back_as_they_were(store: Store, keep: Any, lost: int) -> None:
    request = dataclasses.replace(REQUEST, keep=keep)
    run_sequence(request, store)
    before = rows(store)
    assert len(store.list("stages/")) == {"all": 3, "last": 1, "none": 0}[keep]
    forget(store, lost)
    result = run_sequence(request, store)
    assert rows(store) == before
    if keep == "all":
        assert result.stages_learned == 0


def test_an_interrupted_sequence_goes_on_bit_for_bit(store: Store, tmp_path: Path) -> None:
    whole = open_store(str(tmp_path / "whole"))
    run_sequence(REQUEST, whole)

    class StopError(Exception):
        pass

    def stop(report: TaskReport) -> None:
        if report.task == 2:
            raise StopError

    with pytest.raises(StopError):
        run_sequence(REQUEST, store, report=stop)
    result = run_sequence(REQUEST, store)
    assert (result.stages_learned, result.stages_reused) == (1, 2)
    assert rows(store) == rows(whole)
    for path in whole.list("stages/"):
        there, here = decode(whole.get(path)), decode(store.get(path))
        assert there.state.keys() == here.state.keys()
        assert all(torch.equal(there.state[name], here.state[name]) for name in there.state)


def test_another_trial_with_the_same_stages_learns_nothing(store: Store) -> None:
    run_sequence(REQUEST, store)
    other = dataclasses.replace(REQUEST, trial=1, eval_settings=({"threshold": 0.4}, {"threshold": 0.2}))
    result = run_sequence(other, store)
    assert (result.stages_learned, result.stages_reused) == (0, 3)
    table = rows(store)
    same = [place for place in table if place[0] == 1 and "0.2" in place[-1]]
    assert same
    assert all(table[place] == table[(0, *place[1:])] for place in same)


def test_a_damaged_checkpoint_is_named_and_learned_again_once_it_is_removed(store: Store) -> None:
    run_sequence(dataclasses.replace(REQUEST, keep="last"), store)
    before = rows(store)
    (path,) = store.list("stages/")
    damaged = Path(store.uri, path)
    damaged.write_bytes(damaged.read_bytes()[:500])
    forget(store, 3)
    with pytest.raises(StoreError, match=path):
        run_sequence(REQUEST, store)
    damaged.unlink()
    run_sequence(REQUEST, store)
    assert rows(store) == before


def test_a_damaged_row_file_is_named(store: Store) -> None:
    run_sequence(REQUEST, store)
    name = store.row_names("s")[0]
    Path(store.uri, name).write_bytes(b"PAR1 not whole")
    with pytest.raises(StoreError, match=name):
        run_sequence(REQUEST, store)


def test_rows_of_another_stage_under_the_same_name_are_refused(store: Store) -> None:
    run_sequence(REQUEST, store)
    changed = dataclasses.replace(REQUEST, settings=REQUEST.settings | {"iterations": 5})
    with pytest.raises(StoreError, match=r"another stage .* or the form of its keys \(see CHANGELOG.md\)"):
        run_sequence(changed, store)


def test_counts_that_contradict_stored_ones_are_refused(store: Store) -> None:
    from clsearch.benchmarks.streams import open_stream
    from clsearch.learning.rows import StageRows
    from clsearch.results.counts import StageCounts
    from clsearch.spec.settings import make_settings

    run_sequence(REQUEST, store)
    stream = open_stream("nano_x_tail", 0)
    key = next(row["stage_key"] for row in store.read_rows("s").to_pylist() if row["task_learned"] == 1)
    record = {"trained_parameters": 1, "stored_parameters": 1, "learn_seconds": 0.0}
    counts = StageCounts(key, {}, "validation", (99, 0, 0), (100, 1, 1), record, 0.0, 1, "cpu", {})
    stage = StageRows(REQUEST, stream, make_settings("mora", REQUEST.settings), 1, key)
    with pytest.raises(StoreConflict):
        stage.write(store, {"threshold": 0.2}, stream.tasks, {"validation": counts})


def test_a_search_cannot_reach_the_test_split(store: Store) -> None:
    from clsearch.benchmarks.streams import open_stream
    from clsearch.learning.stages import examples_of

    task = open_stream("nano_x_tail", 0).tasks[0]
    assert not hasattr(task, "test")
    with pytest.raises(TypeError):
        examples_of(task, "test")
    confirm = dataclasses.replace(REQUEST, phase="confirm", splits=("test",), eval_settings=({"threshold": 0.0},))
    run_sequence(confirm, store)
    assert {row["split"] for row in store.read_rows("s").to_pylist()} == {"test"}


def test_a_setting_that_diverges_says_where(store: Store) -> None:
    request = dataclasses.replace(
        REQUEST, method="fine_tuning", eval_settings=({},), parameters={},
        settings={"iterations": 4, "batch": 8, "optimiser": "sgd", "learning_rate": 1e20},
    )  # fmt: skip
    with pytest.raises(RuntimeError, match=r"the loss became (nan|inf) at step \d of 4 of learn, task \d"):
        run_sequence(request, store)


def test_a_backbone_of_another_image_size_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"takes images of 48 px.*gives 16 px"):
        run_sequence(dataclasses.replace(REQUEST, backbone="pocket_clip"), store)


def test_the_record_of_every_task_outlives_the_checkpoints_that_are_not_kept(store: Store) -> None:
    """FM-LoRA's r_t, H_t and p(r) of each task, also where the sequence was interrupted and only the last is kept."""
    request = dataclasses.replace(
        REQUEST, method="fm_lora", backbone="nano_vit", benchmark="nano_cil", keep="last", eval_settings=({},),
        settings={"iterations": 3, "batch": 8, "candidate_ranks": (2, 4), "prompt_tokens": 1}, parameters={},
        metric="final_acc_micro",
    )  # fmt: skip

    class StopError(Exception):
        pass

    def stop(report: TaskReport) -> None:
        if report.task == 3:
            raise StopError

    with pytest.raises(StopError):
        run_sequence(request, store, report=stop)
    result = run_sequence(request, store)
    assert [record["task"] for record in result.records] == [1, 2, 3, 4]
    assert result.records[0]["method"] == {"rank": 4}
    for record in result.records[1:]:
        chosen = record["method"]
        assert chosen["rank"] in (2, 4)
        assert chosen["inner_loss"] > 0
        assert sum(chosen["p"]) == pytest.approx(1)
        assert chosen["rank"] == (2, 4)[chosen["p"].index(max(chosen["p"]))]
    # The first stage is kept for other values of what acts from task 2 on, the third for whoever interrupted it.
    records = [decode(store.get(path)).record for path in store.list("stages/")]
    assert sorted(record["task"] for record in records) == [1, 3, 4]
    stored = max(records, key=lambda record: record["task"])
    assert [record["method"] for record in [*stored["before"], stored]] == [r["method"] for r in result.records]


def test_a_checkpoint_that_vanishes_is_looked_for_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another attempt at the same trial may go on and remove what this one was about to read."""
    run_sequence(REQUEST, store)
    before = rows(store)
    forget(store, 2, 3)
    read, vanished = store.get, []

    def get(path: str) -> bytes:
        if path.startswith("stages/") and not vanished:
            vanished.append(path)
            os.unlink(Path(store.uri, path))
        return read(path)

    monkeypatch.setattr(store, "get", get)
    run_sequence(REQUEST, store)
    assert vanished
    assert rows(store) == before


def test_a_race_for_one_stage_is_decided_by_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second takes up the winner's checkpoint and ends with the same rows."""
    run_sequence(REQUEST, store)
    exists = store.exists
    monkeypatch.setattr(store, "exists", lambda path: not path.startswith("stages/") and exists(path))
    monkeypatch.setattr(known, "known_counts", lambda store, keys: set())
    other = dataclasses.replace(REQUEST, trial=1)
    result = run_sequence(other, store)
    assert result.stages_learned == 3
    table = rows(store)
    assert all(table[(1, *place[1:])] == table[place] for place in table if place[0] == 0)


def test_only_missing_rows_are_evaluated(store: Store) -> None:
    run_sequence(REQUEST, store)
    before = {path: store.get(path) for path in store.row_names("s")}
    gone = store.row_names("s")[0]
    os.unlink(Path(store.uri, gone))
    run_sequence(REQUEST, store)
    assert {path: data for path, data in before.items() if path != gone} == {
        path: store.get(path) for path in store.row_names("s") if path != gone
    }
    assert store.exists(gone)
