"""Loading a sweep: layers, types, identity, and what others ask of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clsearch.errors import UsageError
from clsearch.results.store import open_store
from clsearch.spec.identity import check_identity, difference, register
from clsearch.spec.layers import as_tree, parse_overrides
from clsearch.spec.parameters import column_value
from clsearch.spec.sweep import Seeds, SweepSpec, load_sweep

Loader = Callable[..., SweepSpec]


def test_file_profile_and_override_lie_over_each_other(small: Loader) -> None:
    assert (small().trials, small().name, small().settings) == (4, "small", {"iterations": 6})
    tiny = small("profile=tiny")
    assert (tiny.trials, tiny.name, tiny.settings) == (2, "small-tiny", {"iterations": 6, "batch": 8})
    mine = small("profile=tiny", "trials=3", "settings.batch=4", "name=mine")
    assert (mine.trials, mine.name, mine.settings["batch"]) == (3, "mine", 4)
    assert mine.sources["trials"] == "override"
    assert tiny.sources["settings.batch"] == "profile tiny"
    assert mine.sources["settings.iterations"] == "yaml"


def test_values_take_the_type_of_their_key(small: Loader) -> None:
    spec = small(
        "space.temperature.high=1", "settings.learning_rate=1e-3", "name=12", "storage=s3://bucket/a", "keep=none"
    )
    assert spec.space[1].high == 1.0
    assert isinstance(spec.space[1].high, float)
    assert spec.settings["learning_rate"] == 0.001
    assert (spec.name, spec.storage, spec.keep) == ("12", "s3://bucket/a", "none")
    assert small("max_parallel=null", "storage=").max_parallel is None
    assert small("settings.projections=[q, v]").settings["projections"] == ("q", "v")


def test_null_takes_away(small: Loader) -> None:
    spec = small("space.new_rank=null", "settings.new_rank=8", "eval_grid.threshold=null", "settings.iterations=null")
    assert [parameter.name for parameter in spec.space] == ["temperature"]
    assert spec.full_settings()["new_rank"] == 8
    assert spec.full_settings()["iterations"] == 500
    assert spec.eval_settings() == [{"threshold": 0.2}]


def test_choices_replace_a_range_and_a_range_choices(small: Loader) -> None:
    spec = small("space.temperature.choices=[0.01, 0.03]", "space.new_rank.low=2", "space.new_rank.high=32")
    rank, temperature = spec.space
    assert (rank.type, rank.low, rank.high, rank.choices) == ("int", 2, 32, ())
    assert (temperature.type, temperature.low, temperature.choices) == ("choice", None, (0.01, 0.03))


def test_named_lists(small: Loader) -> None:
    change = ("new_rank: {choices: [4, 8, 16]}", "projections: {choices: {all: [q, k, v, out, fc1, fc2], qv: [q, v]}}")
    spec = small(change=change)
    parameter = spec.space[0]
    assert parameter.label(("q", "v")) == "qv"
    assert parameter.value("qv") == ("q", "v")
    assert column_value(parameter.value("qv")) == '["q","v"]'
    assert spec.setting_from_json(json.loads(json.dumps(spec.published_setting()))) == spec.published_setting()


def test_published_setting_and_eval_settings(small: Loader) -> None:
    spec = small()
    assert spec.published_setting() == {"new_rank": 16, "temperature": 0.01}
    assert spec.eval_settings() == [{"threshold": 0.2}, {"threshold": 0.0}]
    full = spec.full_settings({"new_rank": 4})
    assert (full["new_rank"], full["iterations"], full["beta2"]) == (4, 6, 0.9999)
    fixed = small("eval_grid.threshold=null", "settings.threshold=0.1")
    assert fixed.eval_settings() == [{"threshold": 0.1}]


def test_confirmation_seeds_are_fresh(small: Loader) -> None:
    spec = small("seeds.run=7", "confirm.pairs=2")
    assert spec.confirm_seeds() == [Seeds(8, 1), Seeds(9, 2)]
    assert spec.seeds not in spec.confirm_seeds()


def test_with_nothing_to_search_one_trial_is_all(small: Loader) -> None:
    spec = small("space=null", "trials=8")
    assert spec.trials == 1
    assert spec.notes == ("nothing is searched: 1 trial instead of 8",)


def test_a_spec_crosses_process_borders(small: Loader) -> None:
    spec = small()
    assert pickle.loads(pickle.dumps(spec)) == spec


EXTENT = ["trials=9", "confirm.pairs=9", "max_parallel=1", "storage=/tmp/x", "keep=none", "resources.cpus=2"]
IDENTITY = [
    "settings.batch=4",
    "space.temperature.high=0.2",
    "space.temperature.published=0.02",
    "space.temperature.log=false",
    "space.new_rank.choices=[4, 16]",
    "eval_grid.threshold=[0.2]",
    "sampler.startup=3",
    "sampler.name=random",
    "seeds.order=1",
    "precision=float64",
    "objective.metric=last",
    "benchmark=pocket_x_tail",
    "backbone=pocket_clip",
    "profile=tiny",
]


def test_extent_is_free_and_identity_is_not(small: Loader) -> None:
    spec = small()
    assert small(*EXTENT).identity() == spec.identity()
    hashes = {small(override, "name=small").identity_hash() for override in IDENTITY}
    assert len(hashes | {spec.identity_hash()}) == len(IDENTITY) + 1
    assert json.loads(json.dumps(spec.identity())) == spec.identity()


def test_golden_identity(small: Loader) -> None:
    """An identity that changes its form cuts every stored sweep off from its command."""
    identity = small().identity()
    settings = identity.pop("settings")
    assert identity == {
        "method": "mora",
        "backbone": "nano_clip",
        "benchmark": "nano_x_tail",
        "protocol": "end_of_sequence",
        "objective": {"metric": "average", "direction": "max"},
        "space": {
            "new_rank": {"type": "choice", "published": 16, "choices": [4, 8, 16], "labels": [4, 8, 16]},
            "temperature": {"type": "float", "published": 0.01, "low": 0.003, "high": 0.1, "log": True, "step": None},
        },
        "eval_grid": {"threshold": [0.2, 0.0]},
        "sampler": {"name": "tpe", "startup": 10},
        "profile": None,
        "seeds": {"run": 0, "order": 0},
        "precision": "float32",
    }
    assert settings.items() >= {"iterations": 6, "batch": 64, "beta2": 0.9999}.items()
    assert not {"new_rank", "temperature", "threshold"} & set(settings)


def test_a_setting_that_the_method_has_since_counts_as_its_default(small: Loader, folder: Path) -> None:
    store = open_store(str(folder / "store"))
    older = small().identity()
    del older["settings"]["momentum"]
    store.put_json(store.sweep_path("small"), older)
    assert check_identity(small(), store)
    with pytest.raises(UsageError, match=r"settings\.momentum: nothing -> 0\.5"):
        check_identity(small("settings.momentum=0.5"), store)


def test_same_name_with_another_identity_is_refused(small: Loader, folder: Path) -> None:
    store = open_store(str(folder / "store"))
    assert not check_identity(small(), store)
    register(small(), store)
    register(small("trials=9"), store)
    assert check_identity(small(), store)
    with pytest.raises(UsageError) as caught:
        register(small("space.temperature.high=0.2", "settings.iterations=7"), store)
    assert "settings.iterations: 6 -> 7; space.temperature.high: 0.1 -> 0.2" in str(caught.value)
    assert "name=small_2" in str(caught.value)
    assert check_identity(small(), store)


def test_difference_names_what_is_only_on_one_side() -> None:
    before, after = {"a": {"b": 1}, "c": []}, {"a": {"d": 1.0}, "c": [1]}
    assert difference(before, after) == ["a.b: 1 -> nothing", "a.d: nothing -> 1", "c: [] -> [1]"]


SCALARS = (
    st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.lists(st.integers(0, 99), min_size=1, max_size=4)
)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=3), SCALARS)
def test_an_override_gives_back_the_value_that_was_written(path: list[str], value: object) -> None:
    text = ".".join(path) + "=" + (json.dumps(value) if not isinstance(value, float) else repr(value))
    (override,) = parse_overrides([text])
    assert override.value == value
    assert type(override.value) is type(value)
    tree: object = as_tree([override])
    for name in path:
        assert isinstance(tree, dict)
        tree = tree[name]
    assert tree == value


@given(st.floats(1e-6, 1e3, exclude_min=True), st.sampled_from(["{!r}", "{:e}", "{:.0e}", "{:E}", "{:g}"]))
def test_every_spelling_of_a_float_is_a_float(value: float, form: str) -> None:
    text = form.format(value)
    (override,) = parse_overrides([f"settings.learning_rate={text}"])
    assert float(override.value) == float(text)
    assert not isinstance(override.value, str)


def test_a_path_and_the_working_directory_come_first(folder: Path, small: Loader) -> None:
    small()
    (folder / "search_spaces").mkdir()
    (folder / "small.yaml").rename(folder / "search_spaces" / "mora_clip.yaml")
    assert load_sweep("mora_clip").trials == 4
    assert load_sweep("mora_clip").file == "search_spaces/mora_clip.yaml"
    (folder / "search_spaces" / "mora_clip.yaml").unlink()
    assert load_sweep("mora_clip").benchmark == "x_tail"
