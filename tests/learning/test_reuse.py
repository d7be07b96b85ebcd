"""A stage that anybody has measured is neither learned nor measured again, whoever asks and whatever was kept of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from clsearch.benchmarks.streams import open_stream
from clsearch.learning import known, measure
from clsearch.learning.keys import request_stages, stage_keys
from clsearch.learning.request import SequenceRequest
from clsearch.learning.sequence import run_sequence
from clsearch.results.layout import counts_prefix
from clsearch.results.store import Store, StoreConflict, StoreError, open_store
from clsearch.spec.settings import MoRASettings, make_settings

REQUEST = SequenceRequest(
    sweep="s", trial=0, phase="search", protocol="end_of_sequence", method="mora",
    settings={"iterations": 2, "batch": 8, "new_rank": 2}, backbone="nano_clip", benchmark="nano_x_tail",
    order_seed=0, run_seed=0, eval_settings=({"threshold": 0.2}, {"threshold": 0.0}), parameters={"new_rank": 2},
    metric="average",
)  # fmt: skip
FM_LORA = dataclasses.replace(
    REQUEST, method="fm_lora", backbone="nano_vit", benchmark="nano_cil", eval_settings=({},), parameters={},
    settings={"iterations": 2, "batch": 8, "candidate_ranks": (2, 4), "prompt_tokens": 1}, metric="final_acc_micro",
)  # fmt: skip
keeps = pytest.mark.parametrize("keep", ["all", "last", "none"])


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(eval settings, tasks) of every evaluation that takes place."""
    calls: list[tuple[int, int]] = []
    count = measure.count_correct

    def noted(method: Any, sets: Any, grid: Any, *rest: Any) -> Any:
        calls.append((len(grid), len(sets)))
        return count(method, sets, grid, *rest)

    monkeypatch.setattr(measure, "count_correct", noted)
    return calls


def ask(request: SequenceRequest, **changes: Any) -> SequenceRequest:
    settings = request.settings | changes.pop("settings", {})
    return dataclasses.replace(request, settings=settings, **changes)


def rows(store: Store, request: SequenceRequest) -> list[dict[str, Any]]:
    """The request's rows, without what says whose they are."""
    table = store.read_rows(request.sweep, trial=request.trial, phase=request.phase, run_seed=request.run_seed)
    own = ("sweep", "trial", "phase", "protocol", "started_at", "attempt")
    return [{name: value for name, value in row.items() if name not in own} for row in table.to_pylist()]


@keeps
@pytest.mark.parametrize(
    "change",
    [
        {"trial": 7},
        {"sweep": "other", "trial": 3},
        {"sweep": "other", "metric": "final_acc_micro"},
        {"phase": "race", "attempt": 2},
        {"sweep": "later", "eval_settings": ({"threshold": 0.0},)},
    ],
)
def test_asked_again_under_another_name(store: Store, measured: list[Any], keep: Any, change: dict[str, Any]) -> None:
    request = ask(REQUEST, keep=keep)
    first = run_sequence(request, store)
    stages = store.list("stages/")
    measured.clear()
    again = run_sequence(ask(request, **change), store)
    assert (again.stages_learned, again.stages_reused, again.evaluate_seconds) == (0, 3, 0)
    assert not measured
    assert again.records == first.records
    assert store.list("stages/") == stages
    wanted = {json.dumps(setting) for setting in ask(request, **change).eval_settings}
    before = [row for row in rows(store, request) if json.dumps(json.loads(row["eval_setting"])) in wanted]
    assert rows(store, ask(request, **change)) == before  # seconds, device and code too: those of the measurement


@keeps
def test_a_further_pair_of_seeds_learns_that_pair_alone(store: Store, keep: Any) -> None:
    for seed, learned in ((0, 3), (1, 3), (0, 0), (1, 0)):
        request = ask(REQUEST, keep=keep, run_seed=seed, trial=seed + 2 * (learned == 0))
        assert run_sequence(request, store).stages_learned == learned


def test_only_what_is_new_is_measured(store: Store, measured: list[Any]) -> None:
    run_sequence(REQUEST, store)
    measured.clear()
    wider = ask(REQUEST, trial=1, eval_settings=({"threshold": 0.1}, {"threshold": 0.0}))
    assert run_sequence(wider, store).stages_learned == 0
    assert measured == [(1, 3)] * 3
    measured.clear()
    confirm = ask(REQUEST, phase="confirm", splits=("validation", "test"))
    result = run_sequence(confirm, store)
    assert result.stages_learned == 0
    assert measured == [(2, 3)] * 3  # the test split; validation is known
    assert {row["split"] for row in rows(store, confirm)} == {"validation", "test"}


def test_a_search_asks_for_no_test_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sequence(ask(REQUEST, phase="confirm", splits=("validation", "test")), store)
    tests = {path for path in store.list("counts/") if store.get_json(path)["split"] == "test"}
    assert len(tests) == 6
    opened: list[str] = []
    read = store.get
    monkeypatch.setattr(store, "get", lambda path: opened.append(path) or read(path))
    assert run_sequence(ask(REQUEST, trial=1), store).stages_learned == 0
    assert not tests & {*opened}


def test_an_eval_setting_left_to_the_defaults_is_the_one_that_names_them(store: Store) -> None:
    run_sequence(ask(REQUEST, eval_settings=({"threshold": 0.2},)), store)
    counts = store.list("counts/")
    unnamed = ask(REQUEST, trial=1, keep="none", eval_settings=({},))
    assert run_sequence(unnamed, store).stages_learned == 0
    named = ask(REQUEST, trial=2, keep="none", eval_settings=({"threshold": 0.2, "temperature": 0.01},))
    assert run_sequence(named, store).stages_learned == 0
    assert store.list("counts/") == counts


@keeps
@pytest.mark.parametrize("change", [{"rank_selector": "fixed"}, {"selector_epochs": 2, "selector_temperature": 0.5}])
def test_a_parameter_of_later_tasks_shares_the_first_stage(store: Store, keep: Any, change: dict[str, Any]) -> None:
    run_sequence(ask(FM_LORA, keep=keep), store)
    result = run_sequence(ask(FM_LORA, trial=1, keep=keep, settings=change), store)
    # Its checkpoint is there, also of those that keep the last; else the way to task 2 leads over task 1, not measured.
    assert result.stages_learned == {"all": 3, "last": 3, "none": 4}[keep]
    stored = {(row["trial"], row["task_learned"]): row for row in store.read_rows("s").to_pylist()}
    assert stored[0, 1]["stage_key"] == stored[1, 1]["stage_key"]
    assert stored[0, 1]["eval_seconds"] == stored[1, 1]["eval_seconds"]
    assert stored[0, 2]["stage_key"] != stored[1, 2]["stage_key"]


def test_keeping_the_last_removes_what_it_wrote_itself(store: Store) -> None:
    table = ask(REQUEST, sweep="table", max_tasks=2)
    run_sequence(table, store)
    theirs = store.list("stages/")
    run_sequence(ask(REQUEST, keep="last"), store)
    kept = store.list("stages/")
    assert len(kept) == 3
    assert {*theirs} < {*kept}
    run_sequence(ask(REQUEST, keep="last", run_seed=1), store)
    assert len({*store.list("stages/")} - {*kept}) == 1


def test_keeping_the_last_keeps_the_stage_that_a_later_parameter_goes_on_from(store: Store) -> None:
    run_sequence(ask(FM_LORA, keep="last"), store)
    kept = {row["task_learned"] for row in rows(store, FM_LORA) if store.exists(store.stage_path(row["stage_key"]))}
    assert kept == {1, 4}


def test_first_stages_of_an_old_store_that_have_rows_and_no_counts(store: Store, measured: list[Any]) -> None:
    """Their trial was resumed by a version that writes counts; another one comes to what has counts."""
    first, other = ask(REQUEST, keep="none"), ask(REQUEST, keep="none", trial=1)
    run_sequence(first, store)
    run_sequence(other, store)
    for key in {row["stage_key"] for row in rows(store, first) if row["task_learned"] < 3}:
        for path in store.list(counts_prefix(key)):
            Path(store.uri, path).unlink()
    before = rows(store, other)
    for path in store.row_names("s"):
        if path.startswith("rows/s/1-") and "-t3-" in path:
            Path(store.uri, path).unlink()
    measured.clear()
    assert run_sequence(other, store).stages_learned == 0
    assert not measured
    assert rows(store, other) == before


@keeps
def test_a_longer_sequence_learns_what_is_new(store: Store, measured: list[Any], keep: Any) -> None:
    run_sequence(ask(FM_LORA, keep=keep, max_tasks=2), store)
    measured.clear()
    result = run_sequence(ask(FM_LORA, sweep="longer", keep=keep), store)
    assert result.stages_learned == {"all": 2, "last": 2, "none": 4}[keep]
    assert measured == [(1, 3), (1, 4)]
    assert [record["task"] for record in result.records] == [1, 2, 3, 4]


def test_a_longer_stream_that_is_answered_as_a_whole_is_measured_as_a_whole(store: Store, measured: list[Any]) -> None:
    """Cross-domain: every task is measured from the start, so the counts of the shorter one do not serve."""
    run_sequence(ask(REQUEST, max_tasks=2), store)
    measured.clear()
    assert run_sequence(ask(REQUEST, sweep="longer"), store).stages_learned == 1
    assert measured == [(2, 3)] * 3


def test_a_method_that_reads_the_length_learns_a_longer_sequence_anew(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MoRASettings, "reads_tasks_total", True)
    request = ask(REQUEST)
    stream, settings = open_stream("nano_x_tail", 0), make_settings("mora", request.settings)
    keys = {n: stage_keys(request, settings, dataclasses.replace(stream, tasks_total=n), "w") for n in (3, 4)}
    assert not {*keys[3]} & {*keys[4]}
    run_sequence(request, store)
    assert run_sequence(ask(request, trial=1), store).stages_learned == 0


def test_what_is_measured_is_in_the_name_of_the_counts() -> None:
    """Validation and test examples, each of its own; the order of tasks; the labels to choose from."""
    stream = open_stream("nano_x_tail", 0)
    asked = ask(REQUEST, splits=("validation", "test"))

    def paths(**changes: Any) -> dict[tuple[int, str], str]:
        (first, *_) = request_stages(asked, dataclasses.replace(stream, **changes), "w")
        return dict(first.counts)

    before = paths()
    assert len({*before.values()}) == 4
    for split in ("validation", "test"):
        digests = list(stream.evaluation_digests)
        digests[2] = {**digests[2], split: "others"}
        after = paths(evaluation_digests=tuple(digests))
        assert {place[1] for place, path in after.items() if path != before[place]} == {split}
    swapped = (stream.tasks[0], stream.tasks[2], stream.tasks[1])
    assert not {*paths(tasks=swapped).values()} & {*before.values()}
    assert not {*paths(class_names=(*stream.class_names, "more")).values()} & {*before.values()}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda value: "no JSON", "not JSON|damaged"),
        (lambda value: json.dumps([1]), "not an object"),
        (lambda value: json.dumps(value | {"correct": [1]}), "'correct' is no list of 3"),
        (lambda value: json.dumps(value | {"correct": [10**6, 0, 0]}), "more correct answers than examples"),
        (lambda value: json.dumps(value | {"record": {}}), "its record lacks"),
        (lambda value: json.dumps({k: v for k, v in value.items() if k != "device"}), "without device"),
    ],
)
def test_damaged_counts_are_named(store: Store, damage: Any, said: str) -> None:
    run_sequence(REQUEST, store)
    path = store.list("counts/")[0]
    Path(store.uri, path).write_text(damage(store.get_json(path)))
    with pytest.raises(StoreError, match=f"{path}.*({said})"):
        run_sequence(ask(REQUEST, trial=1), store)
    Path(store.uri, path).unlink()
    assert run_sequence(ask(REQUEST, trial=1), store).stages_learned == 0  # the checkpoint is there to be measured


def test_counts_that_contradict_stored_ones_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_sequence(REQUEST, store)
    monkeypatch.setattr(known, "known_counts", lambda store, keys: set())
    right = measure.count_correct

    def wrong(*arguments: Any) -> list[list[int]]:
        return [[number + 1 for number in row] for row in right(*arguments)]

    monkeypatch.setattr(measure, "count_correct", wrong)
    with pytest.raises(StoreConflict, match="numerics version"):
        run_sequence(ask(REQUEST, trial=1), store)


@pytest.mark.parametrize("keep", ["all", "none"])
def test_whoever_measures_a_stage_second_agrees(store: Store, monkeypatch: pytest.MonkeyPatch, keep: Any) -> None:
    """Two that came to a stage at once, of whom neither found anything."""
    request = ask(REQUEST, keep=keep)
    run_sequence(request, store)
    before = {path: store.get(path) for path in store.list("counts/")}
    exists = store.exists
    monkeypatch.setattr(store, "exists", lambda path: not path.startswith("stages/") and exists(path))
    monkeypatch.setattr(known, "known_counts", lambda store, keys: set())
    second = ask(request, trial=1)
    assert run_sequence(second, store).stages_learned == 3
    assert {path: store.get(path) for path in store.list("counts/")} == before
    same = ("stage_key", "task_evaluated", "correct", "count")
    assert [[row[name] for name in same] for row in rows(store, second)] == [
        [row[name] for name in same] for row in rows(store, request)
    ]


GOLDEN_KEYS = {
    ("mora", "nano_clip", "nano_x_tail"): "2454982788d97c68",
    ("mora", "pocket_clip", "pocket_x_tail_5"): "d3c7e8a0a634f54c",
    ("fm_lora", "nano_vit", "nano_cil"): "0bc3f0ed22dd971f",
    ("sequential_lora", "nano_vit", "nano_cil"): "4962ec476ea5c54d",
    ("incremental_lora", "nano_clip", "nano_x_tail"): "be32fd5fb645ec01",
    ("fine_tuning", "nano_vit", "nano_dil"): "fe204bdc99eac6e9",
    ("frozen", "nano_clip", "nano_x_tail"): "30c88eaeb3f31925",
}


@pytest.mark.parametrize(("case", "key"), GOLDEN_KEYS.items())
def test_golden_keys(case: tuple[str, str, str], key: str) -> None:
    """The key of the second stage at default settings. One that changes voids what every store holds of the method."""
    method, backbone, benchmark = case
    request = ask(REQUEST, method=method, backbone=backbone, benchmark=benchmark, run_seed=5)
    keys = stage_keys(request, make_settings(method, {}), open_stream(benchmark, 0), "weights")
    assert keys[1].startswith(key)
