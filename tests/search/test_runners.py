"""The same sequence in every runner: `process`, and `train` with one and with two workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from clsearch.learning.checkpoint import decode
from clsearch.results.store import Store, open_store
from clsearch.search.run import run_sweep
from clsearch.spec.sweep import SweepSpec

RUNNERS = {
    "process": ("runner=process",),
    "train x 1": ("runner=train", "resources.workers=1"),
    "train x 2": ("runner=train", "resources.workers=2"),
}
pytestmark = pytest.mark.usefixtures("ray_cluster")


def learn_everywhere(make_spec: Callable[..., SweepSpec], folder: Path, *overrides: str) -> dict[str, Store]:
    """One trial (the published setting) of the sweep in every runner, each in a store of its own."""
    stores = {}
    for name, runner in RUNNERS.items():
        stores[name] = open_store(str(folder / name.replace(" ", "")))
        spec = make_spec("trials=1", *runner, *overrides, f"storage={stores[name].uri}")
        assert run_sweep(spec, stores[name]) == 0
    return stores


def checkpoints(store: Store) -> dict[str, dict[str, torch.Tensor]]:
    return {path: decode(store.get(path)).state for path in store.list("stages/")}


def test_states_agree_in_float64_after_20_steps(make_spec: Callable[..., SweepSpec], tmp_path: Path) -> None:
    stores = learn_everywhere(
        make_spec, tmp_path, "precision=float64", "settings.iterations=20", "keep=all", "eval_grid.threshold=[0.2]"
    )
    alone = checkpoints(stores["process"])
    assert len(alone) == 3
    for name in ("train x 1", "train x 2"):
        together = checkpoints(stores[name])
        assert together.keys() == alone.keys(), "the number of workers must not be part of a stage's key"
        for path, state in alone.items():
            for tensor_name, tensor in state.items():
                other = together[path][tensor_name]
                assert float((other - tensor).double().norm()) <= 1e-6 * float(tensor.double().norm()), (
                    name,
                    tensor_name,
                )


def test_counts_agree_in_float32_at_the_published_learning_rate(
    make_spec: Callable[..., SweepSpec], tmp_path: Path
) -> None:
    stores = learn_everywhere(make_spec, tmp_path)
    found = {}
    for name, store in stores.items():
        rows = store.read_rows("mora_clip-nano").to_pylist()
        found[name] = {
            (row["task_learned"], row["task_evaluated"], row["eval_setting"]): (row["correct"], row["count"])
            for row in rows
        }
        assert {row["workers"] for row in rows} == {2 if name == "train x 2" else 1}
    for name in ("train x 1", "train x 2"):
        assert found[name].keys() == found["process"].keys()
        for place, (correct, count) in found["process"].items():
            assert found[name][place][1] == count
            assert abs(found[name][place][0] - correct) <= max(2, count // 100)
