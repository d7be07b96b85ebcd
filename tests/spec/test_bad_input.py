"""What cannot be asked is refused with one sentence that names the file or override, the key and what is valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clsearch.errors import UsageError
from clsearch.spec.sweep import load_sweep

OVERRIDES = [
    ("trails=3", "did you mean 'trials'?"),
    ("trials=many", "trials must be a whole number, not 'many'"),
    ("trials=2.5", "trials must be a whole number"),
    ("trials=true", "trials must be a whole number"),
    ("trials=0", "trials must be at least 1"),
    ("trials=", "no value"),
    ("trials=null", "trials must be a whole number"),
    ("pairs=3", "did you mean 'race.pairs' or 'confirm.pairs'"),
    ("confirm.pears=3", "did you mean 'confirm.pairs'?"),
    ("confirm=3", "'confirm' must be a mapping"),
    ("trials.x=3", "'trials' holds a value"),
    ("temperature=0.1", "'settings.temperature' or 'space.temperature'"),
    ("settings.bach=8", "did you mean 'settings.batch'?"),
    ("settings.batch=0", "'batch' must be at least 1"),
    ("settings.batch=1e3", "'batch' must be a whole number"),
    ("settings.learning_rate=0", "'learning_rate' must be above 0"),
    ("settings.learning_rate=.inf", "must be a finite number"),
    ("settings.optimiser=lion", "must be one of adamw, adam, sgd"),
    ("settings.projections=[q, z]", "must be one of q, k, v, out, fc1, fc2"),
    ("settings.new_rank=8", "'new_rank' is in 'space' and in 'settings'"),
    ("settings.threshold=0.1", "'threshold' is in 'eval_grid' and in 'settings'"),
    ("eval_grid.temperature=[0.01]", "'temperature' is in 'space' and in 'eval_grid'"),
    ("space.temperature.hihg=0.2", "did you mean 'space.temperature.high'?"),
    ("space.temperature.high=0.001", "is empty"),
    ("space.temperature.low=0.1", "is empty"),
    ("space.temperature.low=0", "must be above 0"),
    ("space.warmup={low: 0, high: 5, log: true}", "a log range needs low above 0"),
    ("space.warmup={low: 0, high: 5, step: 2}", "high must be low plus whole steps"),
    ("space.warmup={low: 0, high: 5, step: 0.5}", "step must be a number above 0"),
    ("space.temperature.low=-1", "must be above 0"),
    ("space.temperature.low=0.02", "published value 0.01 is not in 0.02 .. 0.1"),
    ("space.temperature.published=1", "published value 1 is not in"),
    ("space.temperature.log=1", "log must be true or false"),
    ("space.temperature.step=0.01", "a log range has no step"),
    ("space.new_rank.choices=[]", "not empty"),
    ("space.new_rank.choices=[4,4,16]", "a value twice"),
    ("space.new_rank.choices=[4,8]", "published value 16 is not in one of 4, 8"),
    ("space.new_rank.choices=[4,x]", "'new_rank' must be a whole number, not 'x'"),
    ("space.batch.low=3", "'high' is missing"),
    ("space.optimiser.low=3", "is not a number"),
    ("space.threshold.low=0", "acts only at evaluation: put its values under 'eval_grid'"),
    ("space.batch=8", "'space.batch' must be a mapping"),
    ("space=8", "'space' must be a mapping"),
    ("eval_grid.batch=[8]", "acts in training: put its range under 'space'"),
    ("eval_grid.threshold=[]", "a list of values that is not empty"),
    ("eval_grid.threshold=0.2", "a list of values that is not empty"),
    ("eval_grid.threshold=[0.1]", "must hold the published value 0.2"),
    ("eval_grid.threshold=[0.2,0.2]", "a value twice"),
    ("eval_grid.treshold=[0.2]", "did you mean 'eval_grid.threshold'?"),
    ("eval_grid.epoch=[2]", "did you mean 'eval_grid.temperature'?"),  # `epochs` acts in training
    ("method=moras", "did you mean 'mora'?"),
    ("backbone=nano_clap", "did you mean 'nano_clip'?"),
    ("backbone=open_clip:ViT-B-16", "open_clip:<name>/<tag>"),
    ("backbone=nano_vit", "is for clip backbones"),
    ("benchmark=nano_x_tale", "did you mean 'nano_x_tail'?"),
    ("benchmark=nano_cil", "does not have: objective.metric may be"),
    ("protocol=publishd", "did you mean 'published'?"),
    ("protocol=first_tasks", "is written first_tasks(k)"),
    ("protocol=first_tasks(1)", "k is a whole number of at least 2"),
    ("race.top=1", "a race of one"),
    ("table.dense=2", "must be above table.pairs=0"),
    ("table.dense_pairs=5", "table.dense=0 has none: give table.dense, or take table.dense_pairs away"),
    ("race.top=3", "a race needs pairs"),
    ("confirm.claim=true", "a claim takes at least 8 pairs"),
    ("company.ours.temprature=0.1", "temprature"),
    ("objective.metric=avrage", "did you mean 'average'?"),
    ("sampler.name=tpa", "did you mean 'tpe'?"),
    ("profile=pocet", "no profile 'pocet': valid are: tiny"),
    ("profile=tin", "did you mean 'tiny'?"),
    ("profiles.tiny.trials=3", "did you mean 'profile'?"),
    ("runner=ray", "cannot be 'ray'"),
    ("resources.workers=2", "runner 'process' has one worker"),
    ("resources.gpus=-1", "at least 0"),
    ("max_parallel=0", "at least 1"),
    ("seeds.order=-1", "at least 0"),
    ("seeds.run=4294967296", "at most"),
    ("precision=float16", "did you mean"),
    ("keep=some", "cannot be 'some'"),
    ("name=a/b", "letters, digits"),
    ("trials=[3", "override 'trials=[3': "),
    (".trials=3", "write key=value"),
]


@pytest.mark.parametrize(("override", "sentence"), OVERRIDES, ids=[override for override, _ in OVERRIDES])
def test_override(refused: Callable[..., str], override: str, sentence: str) -> None:
    assert sentence in refused(override)


FILES = [
    ("trials: 4", "trials: 4\ntrials: 5", "line 12: key 'trials' is given twice"),
    ("low: 0.003", "low: 0.003, low: 0.004", "key 'low' is given twice"),
    ("trials: 4", "trails: 4", "did you mean 'trials'?"),
    ("trials: 4\n", "", "'trials' is missing"),
    ("method: mora\n", "", "method is missing"),
    ("method: mora\n", "method: [mora]\n", "method is missing or not a text"),
    ("objective: {metric: average}\n", "", "'objective.metric' is missing"),
    ("settings: {iterations: 6}", "settings: [6]", "'settings' must be a mapping"),
    ("trials: 4", "trials: !!python/name:os.system", "could not determine a constructor"),
    ("trials: 4", "trials: {4", "line"),
    ("trials: 4", "4: trials", "key 4 is not a text"),
    ("trials: 2}", "trails: 2}", "profile 'tiny': unknown key 'trails'"),
    ("batch: 8}", "bach: 8}", "profile 'tiny': unknown key 'settings.bach'"),
    ("trials: 2}", "method: frozen}", "profile 'tiny' cannot change 'method'"),
    ("  tiny: {settings: {batch: 8}, trials: 2}", "  tiny: 3", "profile 'tiny' must be a mapping"),
    ("choices: [4, 8, 16]", "choices: [4, 8, 16], low: 3", "both 'choices' and 'low'"),
    ("low: 0.003, high: 0.1, log: true", "", "'low' is missing"),
    ("  new_rank: {choices: [4, 8, 16]}", "  projections: {choices: [[q], [v]]}", "name them"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), FILES, ids=[f"{old} -> {new}"[:50] for old, new, _ in FILES])
def test_file(refused: Callable[..., str], old: str, new: str, sentence: str) -> None:
    message = refused(change=(old, new))
    assert message.startswith("small.yaml") or message.startswith("/")
    assert "small.yaml" in message
    assert sentence in message


def test_a_profile_may_be_wrong_only_in_its_values_until_it_is_chosen(small: Callable[..., object]) -> None:
    wrong = ("batch: 8}, trials: 2", "batch: x}, trials: 2")
    small(change=wrong)
    with pytest.raises(UsageError, match=r"small.yaml, profile tiny: settings: 'batch' must be a whole number"):
        small("profile=tiny", change=wrong)


def test_a_table_stops_no_trial(refused: Callable[..., str]) -> None:
    message = refused("table.pairs=2", "stopping.name=guarded")
    assert message.startswith("override 'stopping.name=guarded': a table holds complete trials")
    assert message.endswith("take stopping.name=none, or table.pairs away")


def test_every_setting_named_beforehand_has_a_trial(refused: Callable[..., str], small: Callable[..., object]) -> None:
    company = [f"company.{name}.temperature={value}" for name, value in (("a", 0.02), ("b", 0.03), ("c", 0.04))]
    sentence = "trials={} is fewer than the 4 settings named beforehand: give trials=4 or more"
    assert refused("trials=3", *company) == f"override 'trials=3': {sentence.format(3)}"
    assert refused("profile=tiny", *company) == f"small.yaml, profile tiny: {sentence.format(2)}"
    small("trials=4", *company)


def test_repeated_override(refused: Callable[..., str]) -> None:
    assert "given twice" in refused("trials=3", "trials=4")
    assert "contradicts" in refused("space.temperature.low=0.1", "space.temperature=3")


def test_unknown_sweep() -> None:
    with pytest.raises(UsageError, match="unknown sweep 'mora_clap': did you mean 'mora_clip'"):
        load_sweep("mora_clap")
    with pytest.raises(UsageError, match=r"no sweep file 'nowhere/x.yaml'"):
        load_sweep("nowhere/x.yaml")


def test_unreadable_file(folder: Path) -> None:
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"bytes.yaml: cannot be read"):
        load_sweep("bytes.yaml")
    (folder / "list.yaml").write_text("- 1\n")
    with pytest.raises(UsageError, match=r"list.yaml: must be a mapping"):
        load_sweep("list.yaml")
