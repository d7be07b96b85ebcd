"""Worlds to search in: what trials would have scored under other seeds, and what their settings are truly worth.

A table has few pairs of seeds, a search of five seeds with a race after it needs many. So scores on a pair are drawn:
a setting's mean over the table's pairs, plus noise with the covariance that was measured where there are most pairs
(the table's dense settings). The noise of a pair has two parts, each a combination of measured residuals with normal
weights of variance 1/(n-1) over the n dense pairs, so that its covariance over eval settings and tasks is theirs:

- what the pair does to all settings alike (a kind order of classes): the mean residual over the dense settings, with
  weights common to all settings. It cancels where settings are compared on the same pair, as it does in truth;
- what is left. A dense setting has its own, with the same weights; any other setting has that of a dense setting drawn
  for it, with weights of its own.

Why not resample the pairs themselves: drawn with replacement, a race would meet the same pair twice and take noise for
certainty; without, eight of twelve residuals nearly cancel. What the model cannot know: noise that is not normal, and
noise of poor settings, where the dense ones are good. All of this is our choice.

The means are what regret is scored against. A dense setting's pairs and another's are not the same, so each mean is
freed of what its pairs do to all (as far as the dense settings show it). The scores work on curves, one value of the
objective per task learned and eval setting, larger being better throughout this package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clsearch.errors import UsageError
from clsearch.results.tables import Table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class World:
    """What one repetition searches in.

    Attributes:
        scores: [pair, setting, eval setting, task learned]; the first pairs are the search's, the rest the race's.
        truth: [setting, eval setting]: what regret is scored against. No search sees it.
    """

    scores: Floats
    truth: Floats


@dataclass(frozen=True, eq=False)
class Costs:
    """Seconds of every stage: medians over the table's pairs, since single timings are noisy.

    Attributes:
        learn: [setting, task].
        evaluate: [setting, eval setting, task]; a share of the common evaluation, which is no more than alone.
    """

    learn: Floats
    evaluate: Floats

    @property
    def sequence(self) -> float:
        """Seconds of a sequence under one eval setting, the median over all."""
        return float(np.median(self.learn.sum(-1)[:, None] + self.evaluate.sum(-1)))


@dataclass(frozen=True, eq=False)
class Noise:
    """The model of the module's text.

    Attributes:
        means: [setting, eval setting, task].
        residuals: [dense setting, eval setting, dense pair, task].
        dense: the settings, by position, that the residuals were measured on.
    """

    means: Floats
    residuals: Floats
    dense: tuple[int, ...]

    def draw(self, pairs: int, random: np.random.Generator) -> World:
        """A world with so many fresh pairs of seeds."""
        settings, evals, tasks = self.means.shape
        count, _, measured, _ = self.residuals.shape
        common = self.residuals.mean(axis=0)
        # The rest is freed of its own mean over the dense settings, which takes from its variance: given back.
        rest = (self.residuals - common) * np.sqrt(count / (count - 1))
        donors = random.integers(count, size=settings)
        # Pair by pair, so that a pair is the same however many others are asked for.
        drawn = np.array([random.standard_normal((1 + settings, measured)) for _ in range(pairs)])
        weights, own = drawn[:, 0] / np.sqrt(measured - 1), drawn[:, 1:] / np.sqrt(measured - 1)
        scores = np.einsum("pn,ent->pet", weights, common)[:, None] + np.zeros((pairs, settings, evals, tasks))
        scores += np.einsum("psn,sent->pset", own, rest[donors])
        scores[:, list(self.dense)] = np.einsum("pn,dent->pdet", weights, self.residuals)
        return World(scores + self.means, self.means[..., -1])


def virtual_seeds(table: Table) -> Noise:
    """The noise model of a table; raises UsageError where it has too few settings or pairs for one."""
    curves, has = _curves(table), table.has()
    _check_size(table)
    by_setting = np.sort(has.sum(axis=1))[::-1]
    most = int(by_setting[1])  # the largest number of pairs that at least two settings have
    if most < 2:
        raise UsageError(
            f"{table.where}: fewer than two settings have a second pair of seeds, so there is no noise to draw from "
            "and no seed that the search did not see: run its sweep with table.pairs=3 or with a race"
        )
    dense = [int(s) for s in np.flatnonzero(has.sum(axis=1) >= most)]
    shared = np.flatnonzero(has[dense].all(axis=0))
    if len(shared) < 2:
        raise UsageError(f"{table.where}: no two settings have two pairs of seeds in common: run it with table.pairs=3")
    measured = curves[dense][:, :, shared]
    residuals = measured - measured.mean(axis=2, keepdims=True)
    effects = np.zeros(curves.shape[1:])  # [eval setting, pair, task]
    effects[:, shared] = residuals.mean(axis=0)
    known = has[:, None, :, None]
    means = np.where(known, curves - effects, 0.0).sum(axis=2) / known.sum(axis=2)
    return Noise(means, residuals, tuple(dense))


def real_seeds(table: Table) -> Callable[[int], World]:
    """Worlds without a model: one real pair is searched on, and regret is scored on the others that all settings have.

    The result makes the world of a repetition: each pair in its turn. Raises UsageError below two common pairs.
    """
    _check_size(table)
    curves = _curves(table)
    shared = np.flatnonzero(table.has().all(axis=0))
    if len(shared) < 2:
        raise UsageError(
            f"{table.where}: all its settings have {len(shared)} pair of seeds in common; --real takes two or more: "
            "run its sweep with table.pairs=3"
        )

    def world(repetition: int) -> World:
        at = shared[repetition % len(shared)]
        others = [pair for pair in shared if pair != at]
        return World(curves[:, :, at][None], curves[:, :, others, -1].mean(axis=2))

    return world


def costs(table: Table) -> Costs:
    """What everything takes; raises UsageError where the rows do not say."""
    tasks = table.permitted_tasks
    learn, evaluate = table.learn_seconds[..., :tasks], table.evaluate_seconds[..., :tasks]
    if not (np.isfinite(learn).any(axis=1).all() and np.isfinite(evaluate).any(axis=2).all()):
        raise UsageError(f"{table.where}: its rows do not say how long learning and evaluating took: no cost to replay")
    return Costs(np.nanmedian(learn, axis=1), np.nanmedian(evaluate, axis=2))


def _curves(table: Table) -> Floats:
    """The table's curves, larger being better."""
    return table.curves() * (1.0 if table.direction == "max" else -1.0)


def _check_size(table: Table) -> None:
    if len(table.settings) < 2:
        raise UsageError(f"{table.where} has one complete setting: there is nothing to search among")
