"""What a trial process writes of itself, and what it never says."""

from __future__ import annotations

from pathlib import Path

import pytest

from clsearch.execution.job import SPLITS, Job, make_job, make_request, search_job
from clsearch.execution.trial import begin_attempt, describe, redact
from clsearch.results.store import open_store
from clsearch.spec.sweep import Seeds, SweepSpec, load_sweep


@pytest.fixture(scope="module")
def spec() -> SweepSpec:
    return load_sweep("mora_clip", ["profile=nano"])


def test_attempts_are_numbered_in_order(spec: SweepSpec, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    job = search_job(spec, 3, spec.published_setting())
    assert [begin_attempt(store, spec, job, "a") for _ in range(3)] == [1, 2, 3]
    assert store.get_json(store.attempt_path(spec.name, 3, 2))["pid"] > 0


def test_a_job_survives_its_way_through_tune(spec: SweepSpec) -> None:
    job = search_job(spec, 3, spec.published_setting())
    assert Job.from_config(job.to_config()) == job


def test_the_phase_alone_says_which_splits_are_read(spec: SweepSpec) -> None:
    assert search_job(spec, 0, spec.published_setting()).splits == SPLITS["search"] == ("validation",)
    job = make_job(0, spec.published_setting(), "confirm", Seeds(1, 1), ())
    assert job.splits == SPLITS["confirm"] == ("validation", "test")


def test_the_request_holds_the_claimed_setting_over_the_sweeps(spec: SweepSpec) -> None:
    job = search_job(spec, 3, {**spec.published_setting(), "temperature": 0.05})
    request = make_request(spec, job, attempt=2)
    assert request.settings["temperature"] == 0.05
    assert request.settings["iterations"] == spec.settings["iterations"]
    assert request.eval_settings == tuple(spec.eval_settings())
    assert (request.run_seed, request.order_seed, request.attempt) == (spec.seeds.run, spec.seeds.order, 2)


def test_secrets_of_the_environment_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh12345")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "tokentoken")
    assert describe(ValueError("refused abcdefgh12345\nmore")) == "ValueError: refused ***"
    assert redact("with tokentoken") == "with ***"
