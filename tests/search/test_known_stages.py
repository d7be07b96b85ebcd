"""What a plan says of the stages that a store knows is what a run then does not learn."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from clsearch.execution.job import Job, make_job, make_request, search_job
from clsearch.learning.request import SequenceResult
from clsearch.learning.sequence import run_sequence
from clsearch.results.layout import counts_prefix
from clsearch.results.store import Store
from clsearch.search.designs import coming_settings
from clsearch.search.ledger import Ledger
from clsearch.search.proposals import propose
from clsearch.search.reuse import known_stages
from clsearch.spec.plan import Reusable, make_plan
from clsearch.spec.show import render
from clsearch.spec.sweep import SweepSpec, load_sweep

Make = Callable[..., SweepSpec]
SHORT = ("settings.iterations=2", "settings.batch=8", "trials=4")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make(make_spec: Make) -> Make:
    """A shorter sweep; `make("a", ...)` names it."""
    return lambda name, *overrides: make_spec(f"name={name}", *SHORT, *overrides)


def learn(spec: SweepSpec, store: Store, job: Job, **changes: Any) -> SequenceResult:
    return run_sequence(dataclasses.replace(make_request(spec, job, 1), **changes), store)


def text(spec: SweepSpec, store: Store) -> str:
    return render(dataclasses.replace(make_plan(spec, store), reusable=known_stages(spec, store)))


def test_nothing_is_known_of_an_empty_store(make: Make, store: Store) -> None:
    assert known_stages(make("a"), store) == Reusable(search=0, later=0, asked=0)
    assert "stages known from the store: none" in text(make("a"), store)


def test_the_published_setting_is_known_from_another_sweep(make: Make, store: Store) -> None:
    first = make("a", "confirm.pairs=2")
    learn(first, store, search_job(first, 0, first.published_setting()))
    again = make("b", "confirm.pairs=2", "objective.metric=final_acc_micro")
    assert known_stages(again, store) == Reusable(search=3, later=0, asked=9)
    assert "stages known from the store: 3 of the 9 whose settings are known now" in text(again, store)

    seeds = first.confirm_seeds()[1]
    job = make_job(0, first.published_setting(), "confirm", seeds, (first.eval_settings()[0],))
    learn(first, store, job)
    assert known_stages(again, store) == Reusable(search=3, later=3, asked=9)
    plan = make_plan(again, store)
    known = dataclasses.replace(plan, reusable=known_stages(again, store))
    assert plan.stages_left - known.stages_left == 6
    assert learn(again, store, job).stages_learned == 0
    # What has rows of its own is held, not reused.
    assert known_stages(again, store) == Reusable(search=3, later=0, asked=6)


def test_a_race_of_the_published_setting(make: Make, store: Store) -> None:
    spec = make("a", "race.top=2", "race.pairs=3")
    assert known_stages(spec, store).asked == 0
    job = make_job(0, spec.published_setting(), "race", spec.race_seeds()[0], (spec.eval_settings()[0],))
    learn(make("b"), store, job)
    assert known_stages(spec, store) == Reusable(search=0, later=3, asked=3 + 3 * 3)


def test_a_claimed_trial_is_asked_for_and_an_ended_one_is_not(make: Make, store: Store) -> None:
    spec = make("a")
    setting = spec.published_setting() | {"new_rank": 4}
    learn(make("b"), store, search_job(spec, 3, setting))
    ledger = Ledger(spec, store)
    ledger.claim(1, setting)
    assert known_stages(spec, store) == Reusable(search=3, later=0, asked=6)
    ledger.end(1, {"status": "complete", "objective": 1.0})
    assert known_stages(spec, store) == Reusable(search=0, later=0, asked=3)


CELLS = """\
method: mora
backbone: nano_clip
benchmark: nano_x_tail
objective: {metric: average}
space:
  new_rank: {choices: [2, 4, 16]}
  activation_budget: {choices: [2, 16]}
settings: {iterations: 2, batch: 8}
trials: 4
"""


@pytest.mark.parametrize("sampler", ["sobol", "grid"])
def test_the_whole_of_a_design_is_known_beforehand(store: Store, tmp_path: Path, sampler: str) -> None:
    (tmp_path / "cells.yaml").write_text(CELLS)

    def make(name: str) -> SweepSpec:
        return load_sweep(str(tmp_path / "cells.yaml"), [f"name={name}", f"sampler.name={sampler}"])

    spec = make("a")
    claimed: dict[int, dict[str, Any]] = {2: spec.published_setting() | {"new_rank": 4}}
    coming = coming_settings(spec, claimed)
    assert sorted(coming) == [0, 1, 3]
    ledger = Ledger(spec, store)
    ledger.claim(2, claimed[2])
    for number in (0, 1, 3):
        setting = propose(spec, number, ledger.trials, ledger.setting)
        assert setting == coming[number]
        ledger.claim(number, setting)
    other = make("b")
    settings = list(coming_settings(other, {}).values())
    learn(make("c"), store, search_job(other, 9, settings[3]))
    assert known_stages(other, store) == Reusable(search=3 * settings.count(settings[3]), later=0, asked=12)


@pytest.mark.parametrize("keep", ["all", "last", "none"])
@pytest.mark.parametrize("part", ["fewer tasks", "fewer eval settings"])
def test_a_plan_says_what_a_run_then_does(make: Make, store: Store, keep: str, part: str) -> None:
    first, spec = make("a", f"keep={keep}"), make("b", f"keep={keep}")
    job = search_job(first, 0, first.published_setting())
    fewer = {"max_tasks": 2} if part == "fewer tasks" else {"eval_settings": (first.eval_settings()[0],)}
    learn(first, store, job, **fewer)
    told = known_stages(spec, store)
    result = learn(spec, store, job)
    assert (told.search, told.asked) == (result.stages_reused, 3)


def test_stages_whose_parents_have_rows_and_no_counts(make: Make, store: Store) -> None:
    first, spec = make("a", "keep=none"), make("b", "keep=none")
    job = search_job(first, 0, first.published_setting())
    learn(first, store, job)
    learn(spec, store, job)
    keys = {row["stage_key"] for row in store.read_rows("b", task_learned=1).to_pylist()}
    lost = [path for key in keys for path in store.list(counts_prefix(key))]
    for path in [*lost, *(path for path in store.row_names("b") if "-t3-" in path)]:
        Path(store.uri, path).unlink()
    assert known_stages(spec, store) == Reusable(search=1, later=0, asked=1)
    assert learn(spec, store, job).stages_learned == 0


def test_weights_of_another_day_do_not_hide_what_is_known(make: Make, store: Store) -> None:
    spec = make("a")
    learn(spec, store, search_job(spec, 0, spec.published_setting()))
    store.put_json("backbones/nano_clip-float32-0.json", {
        "backbone": "nano_clip", "precision": "float32", "weights": "0" * 64,
    })  # fmt: skip
    assert known_stages(make("b"), store).search == 3


def test_it_is_told_without_torch(make: Make, store: Store) -> None:
    spec = make("a")
    learn(spec, store, search_job(spec, 0, spec.published_setting()))
    code = (
        "import sys; from clsearch.sweep import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'ray', 'optuna', 'timm', 'open_clip'} & set(sys.modules); "
        "sys.exit(f'imported {sorted(heavy)}' if heavy else code)"
    )
    words = ["mora_clip", "profile=nano", "name=b", *SHORT, f"storage={store.uri}", "confirm.pairs=0", "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, env=os.environ, cwd=Path(store.uri).parent
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "stages known from the store: 3 of the 3 whose settings are known now" in done.stdout
