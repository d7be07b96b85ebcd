"""The sweep files of the project: each loads under each profile, and searches what the reference says."""

from __future__ import annotations

from pathlib import Path

import pytest

from clsearch.benchmarks.catalogue import BENCHMARKS
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS
from clsearch.spec.backbones import BACKBONES
from clsearch.spec.schema import OBJECTIVES
from clsearch.spec.settings import METHODS, fields
from clsearch.spec.sweep import SweepSpec, load_sweep

FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
PROFILES = (None, "pocket", "nano")


def load(stem: str, profile: str | None = None) -> SweepSpec:
    return load_sweep(stem, [] if profile is None else [f"profile={profile}"])


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("stem", [path.stem for path in FILES])
def test_loads(stem: str, profile: str | None) -> None:
    spec = load(stem, profile)
    assert spec.name == (stem if profile is None else f"{stem}-{profile}")
    assert all(parameter.contains(parameter.published) for parameter in spec.space)
    if profile is not None:
        assert spec.backbone.startswith(profile)
        assert spec.benchmark.startswith(profile)
        assert (spec.runner, spec.workers, spec.gpus_per_worker) == ("process", 1, 0)


@pytest.mark.parametrize("stem", [path.stem for path in FILES])
def test_the_real_sweep_runs_at_the_published_setting(stem: str) -> None:
    """Full size states no published value but the method's own, except where the source is the backbone's."""
    spec = load(stem)
    differs = {p.name: p.published for p in spec.space if p.published != fields(spec.method)[p.name].default}
    assert differs == ({"learning_rate": 1e-5} if stem == "fine_tuning_clip" else {})


def test_every_method_has_sweeps() -> None:
    assert {load(path.stem).method for path in FILES} == set(METHODS)


def test_mora_is_searched_as_the_reference_says() -> None:
    spec = load("mora_clip")
    ranges = {parameter.name: (parameter.low, parameter.high, parameter.log) for parameter in spec.space}
    assert ranges["learning_rate"] == (5e-5, 5e-3, True)
    assert ranges["temperature"] == (0.003, 0.1, True)
    choices = {parameter.name: parameter.choices for parameter in spec.space if parameter.choices}
    assert choices == {"activation_budget": (2, 4, 8, 16, 32), "new_rank": (4, 8, 16)}
    assert (min(spec.eval_grid["threshold"]), max(spec.eval_grid["threshold"])) == (0.0, 0.5)
    assert spec.full_settings() == {name: field.default for name, field in fields("mora").items()}
    assert (spec.backbone, spec.benchmark) == ("clip_vit_b16_openai", "x_tail")


def test_fm_lora_is_searched_as_the_reference_says() -> None:
    spec = load("fm_lora_vit")
    space = {parameter.name: parameter for parameter in spec.space}
    assert (space["learning_rate"].low, space["learning_rate"].high) == (1e-4, 1e-2)
    assert (space["selector_temperature"].low, space["selector_temperature"].high) == (0.1, 5.0)
    assert space["prompt_tokens"].choices == (0, 1, 5, 10, 20)
    assert space["weight_decay"].choices[:2] == (0.0, 1e-5)
    assert [ranks[-1] for ranks in space["candidate_ranks"].choices] == [8, 16, 32]
    assert spec.full_settings() == {name: field.default for name, field in fields("fm_lora").items()}
    assert (spec.backbone, spec.benchmark) == ("vit_base_patch16_224.augreg_in21k_ft_in1k", "imagenet_r_10")


def test_objectives_are_metrics() -> None:
    assert set(OBJECTIVES) <= set(METRICS)
    assert {name for name, direction in OBJECTIVES.items() if direction == "min"} == set(OBJECTIVES) & LOWER_IS_BETTER


def test_a_profile_has_the_image_size_of_its_benchmark() -> None:
    for path in FILES:
        for profile in PROFILES:
            spec = load(path.stem, profile)
            assert BACKBONES[spec.backbone].image_size == BENCHMARKS[spec.benchmark].image_size
