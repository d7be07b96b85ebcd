"""Evaluation under a grid of eval settings: images are decoded once, each setting is a forward pass of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clsearch.benchmarks.examples import ExampleSet
from clsearch.layers.workers import Workers
from clsearch.learning.optimisation import in_order
from clsearch.methods.base import Method

EVALUATION_BATCH = 128  # images; no result depends on it


def count_correct(
    method: Method,
    sets: Sequence[ExampleSet],
    grid: Sequence[Mapping[str, Any]],
    candidates: Sequence[int],
    prepare: Callable[[Any], Tensor],
    workers: Workers,
) -> list[list[int]]:
    """Correct answers [eval setting][set of examples], over all workers.

    An answer is one of the `candidates` (the labels met so far, or all where names are known from the start); the first
    of equal scores answers.
    """
    device = next(method.backbone.parameters()).device
    allowed = torch.tensor(candidates, device=device)
    correct = torch.zeros(len(grid), len(sets), dtype=torch.long, device=device)
    with torch.inference_mode():
        predictors = [method.predictor(eval_setting) for eval_setting in grid]
        for j, examples in enumerate(sets):
            for batch in in_order(examples, EVALUATION_BATCH, prepare, ("evaluate",), workers):
                if len(batch.labels) == 0:
                    continue
                for i, predict in enumerate(predictors):
                    answers = allowed[predict(batch.images)[:, allowed].argmax(1)]
                    correct[i, j] += (answers == batch.labels).sum()
    counts: list[list[int]] = workers.sum(correct).tolist()
    return counts
