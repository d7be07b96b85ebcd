"""What is proposed depends on the store alone: rebuilt searches ask what an undisturbed one would have asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from clsearch.results.trials import TrialRecord
from clsearch.search.proposals import propose
from clsearch.search.study import distribution
from clsearch.spec.sweep import SweepSpec


def record(number: int, setting: dict[str, Any], **outcome: Any) -> TrialRecord:
    claim = {"setting": setting}
    return TrialRecord("s", number, claim, 1, {"tasks_learned": 3, **outcome} if outcome else None)


def ask(spec: SweepSpec, number: int, trials: list[TrialRecord]) -> dict[str, Any]:
    claims = {trial.number: trial.claim["setting"] for trial in trials if trial.claim}
    return propose(spec, number, trials, claims.__getitem__)


def search(spec: SweepSpec, count: int) -> list[TrialRecord]:
    trials: list[TrialRecord] = []
    for number in range(count):
        setting = ask(spec, number, trials)
        trials.append(record(number, setting, status="complete", objective=-abs(setting["learning_rate"] - 1e-3)))
    return trials


def settings(trials: list[TrialRecord]) -> list[dict[str, Any]]:
    return [dict(trial.claim["setting"]) for trial in trials if trial.claim]


def test_trial_0_is_the_published_setting(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec()
    assert ask(spec, 0, []) == spec.published_setting()


def test_every_setting_lies_in_the_space(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec()
    for setting in settings(search(spec, 12)):
        assert all(parameter.contains(setting[parameter.name]) for parameter in spec.space)


def test_a_setting_depends_on_number_and_records_only(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec()
    trials = search(spec, 12)
    for number in range(12):
        assert ask(spec, number, trials[:number]) == settings(trials)[number]


def test_trials_differ_from_each_other(make_spec: Callable[..., SweepSpec]) -> None:
    rates = {setting["learning_rate"] for setting in settings(search(make_spec(), 12))}
    assert len(rates) == 12


def test_another_process_proposes_the_same(make_spec: Callable[..., SweepSpec]) -> None:
    code = (
        "from clsearch.spec.sweep import load_sweep\n"
        "from test_proposals import search, settings\n"
        "print(settings(search(load_sweep('mora_clip', ['profile=nano']), 8)))"
    )
    texts = set()
    for seed in ("1", "2"):  # of Python's string hashes, on which an order of sets would depend
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": __file__.rsplit("/", 1)[0], "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
        texts.add(done.stdout.strip())
    assert texts == {str(settings(search(make_spec(), 8)))}


def test_optuna_is_told_how_each_trial_ended(
    make_spec: Callable[..., SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec()
    setting = spec.published_setting()
    trials = [
        record(0, setting, status="complete", objective=61.5),
        record(1, setting, status="pruned", objective=None, tasks_learned=2, curve=[None, 40.0]),
        record(2, setting, status="failed", objective=None, tasks_learned=1),
        record(3, setting),
    ]
    told: list[optuna.trial.FrozenTrial] = []
    add_trials = optuna.Study.add_trials
    monkeypatch.setattr(optuna.Study, "add_trials", lambda study, ts: (told.extend(ts), add_trials(study, ts)))
    ask(spec, 4, trials)
    states = optuna.trial.TrialState
    assert [trial.state for trial in told] == [states.COMPLETE, states.PRUNED, states.FAIL, states.RUNNING]
    assert told[0].value == 61.5
    assert told[1].intermediate_values == {2: 40.0}


def test_sampler_random_ignores_what_was_found(make_spec: Callable[..., SweepSpec]) -> None:
    spec = make_spec("sampler.name=random")
    trials = search(spec, 8)
    assert ask(spec, 7, []) == settings(trials)[7]


def test_named_lists_reach_optuna_by_name(make_spec: Callable[..., SweepSpec]) -> None:
    from clsearch.spec.sweep import load_sweep

    spec = load_sweep("fm_lora_vit", ["profile=nano"])
    lists = [parameter for parameter in spec.space if isinstance(parameter.published, tuple)]
    assert lists
    for parameter in lists:
        known = distribution(parameter)
        assert isinstance(known, optuna.distributions.CategoricalDistribution)
        assert all(isinstance(choice, str) for choice in known.choices)
    assert all(isinstance(ask(spec, 1, [])[parameter.name], tuple) for parameter in lists)
