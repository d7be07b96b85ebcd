"""The last words of a sweep: what is best, by how much, where its rows are, and what it took."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from clsearch.results.trials import TrialRecord, best_trial
from clsearch.search.confirm import PairedResult, candidates, difference_interval, read_result
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.spec.parameters import show


def summary(ledger: Ledger, board: Board, failed_jobs: int) -> str:
    """The final text, from the store and this run's counts of stages."""
    spec = ledger.spec
    best = best_trial(ledger.trials, spec.objective.direction)
    lines = ["", *(_best_lines(ledger, best) if best is not None else ["no trial is complete"])]
    if best is not None and spec.confirm.pairs:
        lines += _confirmation_lines(ledger)
    states = Counter(trial.status for trial in ledger.trials)
    incomplete = states["running"] + states["pruned"]
    lines.append(f"trials: {states['complete']} complete, {states['failed']} failed, {incomplete} incomplete")
    lines += [
        f"  trial {trial.number} failed: {trial.outcome['cause']}"
        for trial in ledger.trials
        if trial.status == "failed" and trial.outcome is not None
    ]
    if failed_jobs:
        lines.append(f"confirmation: {failed_jobs} sequences failed; the same command tries them again")
    lines.append(f"stages: {board.stages_learned} learned, {board.stages_reused} from the store")
    return "\n".join(lines)


def _best_lines(ledger: Ledger, best: TrialRecord) -> list[str]:
    spec = ledger.spec
    assert best.outcome is not None
    setting = ledger.setting(best.number) | spec.setting_from_json(best.outcome["eval_setting"])
    chosen = ", ".join(f"{name}={show(value)}" for name, value in setting.items())
    published = " (the published setting)" if best.number == 0 else ""
    return [
        f"best completed: trial {best.number}{published}, {spec.objective.metric} {best.objective:.2f} on validation",
        f"  {chosen}",
        f"  rows: {ledger.store.uri}/rows/{spec.name}/{best.number}-*.parquet",
    ]


def _confirmation_lines(ledger: Ledger) -> list[str]:
    spec = ledger.spec
    result = read_result(ledger)
    n = len(result.best)
    if n == 0:
        return ["confirmation: no pair of seeds is complete"]
    missing = f" of {spec.confirm.pairs} asked for" if n < spec.confirm.pairs else ""
    head = f"confirmed on test, {n} fresh pairs of run seed and order seed{missing}, {spec.objective.metric}:"
    lines = [head, f"  best       {_mean_std(result.best)}"]
    if not result.published:
        zero = "the published setting is the best" if candidates(ledger)[0].trial == 0 else "trial 0 is not complete"
        return [*lines, f"  no difference to report: {zero}"]
    return [*lines, f"  published  {_mean_std(result.published)}", _difference_line(result)]


def _difference_line(result: PairedResult) -> str:
    mean, half = difference_interval(result.best, result.published)
    n = len(result.best)
    if math.isnan(half):
        return f"  best - published: {mean:+.2f} points, n = {n}: no interval"
    verdict = "" if abs(mean) > half else ", not separated"
    interval = f"95 % interval [{mean - half:+.2f}, {mean + half:+.2f}]"
    return f"  best - published: {mean:+.2f} points, {interval}, n = {n}{verdict}"


def _mean_std(values: tuple[float, ...]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
