"""Speed as ratios within one run, with room for a noisy machine; the figures themselves come from the commands here."""

from __future__ import annotations

import tempfile
import time

import pytest
import torch

from clsearch.results.store import open_store
from tests.speed import grid, step


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("learned", "most"), [(1, 1.8), (10, 2.6)])
def test_a_step_of_mora_beside_lora(learned: int, most: float) -> None:
    assert step.compare("pocket", learned, repetitions=7)[2] <= most


def test_one_trial_with_twelve_settings_is_cheaper_than_twelve_trials() -> None:
    stores = [open_store(tempfile.mkdtemp()) for _ in range(3)]
    grid.learn("nano", stores[0], 0, grid.GRID[:1])
    begun = time.perf_counter()
    grid.learn("nano", stores[1], 0, grid.GRID)
    middle = time.perf_counter()
    for trial, eval_setting in enumerate(grid.GRID):
        grid.learn("nano", stores[2], trial, (eval_setting,))
    assert grid.counts(stores[1]) == grid.counts(stores[2])
    assert (time.perf_counter() - middle) / (middle - begun) >= 1.3
