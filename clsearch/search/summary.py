"""The last words of a sweep: what is best, by how much, where its rows are, and what it took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Set

import numpy as np

from clsearch.results.claims import Scores, compare
from clsearch.results.reported import scores_on_test
from clsearch.results.spending import exhausted
from clsearch.results.store import parse_row_name
from clsearch.results.trials import TrialRecord, best_trial
from clsearch.results.verdicts import Choice, Pair, Verdict, read_verdicts
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.search.race import Standing, standing
from clsearch.spec.cost import spending_text
from clsearch.spec.parameters import show
from clsearch.spec.sweep import SweepSpec


def summary(ledger: Ledger, board: Board, failed_jobs: int) -> str:
    """The final text, from the store and this run's counts of stages."""
    spec = ledger.spec
    best = best_trial(ledger.trials, spec.objective.direction)
    lines = ["", *(_best_lines(ledger, best) if best is not None else [_none_best(ledger)])]
    stands = standing(ledger)
    lines += _race_lines(ledger, stands)
    if best is not None and (stands is None or stands.state.is_over):
        lines += _verdict_lines(ledger)
    states = Counter(trial.status for trial in ledger.trials)
    stopped = f"{states['pruned']} stopped early, " if states["pruned"] else ""
    over = sum(trial.status == "complete" and not trial.feasible for trial in ledger.trials)
    broken = f" ({over} over a constraint, none of which can be the best)" if over else ""
    lines.append(
        f"trials: {states['complete']} complete{broken}, {stopped}{states['failed']} failed, "
        f"{states['running']} incomplete"
    )
    lines += [
        f"  trial {trial.number} failed: {trial.outcome['cause']}"
        for trial in ledger.trials
        if trial.status == "failed" and trial.outcome is not None
    ]
    if failed_jobs:
        lines.append(f"confirmation: {failed_jobs} sequences failed; the same command tries them again")
    lines.append(f"stages: {board.stages_learned} learned, {board.stages_reused} from the store")
    lines.append(f"spent: {spending_text(ledger.spending())}")
    lines += _budget_lines(ledger)
    return "\n".join(lines)


def _none_best(ledger: Ledger) -> str:
    complete = any(trial.status == "complete" for trial in ledger.trials)
    return "no trial is the best: every complete one is over a constraint" if complete else "no trial is complete"


def _best_lines(ledger: Ledger, best: TrialRecord) -> list[str]:
    spec = ledger.spec
    assert best.outcome is not None
    return [
        f"best completed: {_named(best.number)}, {spec.objective.metric} {best.objective:.2f} on validation",
        f"  {_setting(ledger, Choice(best.number, best.outcome['eval_setting']))}",
        f"  rows: {ledger.store.uri}/rows/{spec.name}/{best.number}-*.parquet",
    ]


def _budget_lines(ledger: Ledger) -> Iterator[str]:
    """What ended the search, where it was not the number of its trials."""
    spec = ledger.spec
    gone = exhausted(spec.budget, ledger.spending(("search",)))
    if gone is not None and ledger.free_number() is not None:
        yield (
            f"the search ended because {gone} is spent, after {len(ledger.trials)} of {spec.trials} trials; "
            "the same command with a larger budget goes on"
        )


def _named(trial: int) -> str:
    return f"trial {trial}{' (the published setting)' if trial == 0 else ''}"


def _setting(ledger: Ledger, choice: Choice) -> str:
    setting = ledger.setting(choice.trial) | ledger.spec.setting_from_json(choice.eval_setting)
    return ", ".join(f"{name}={show(value)}" for name, value in setting.items())


def _race_lines(ledger: Ledger, stands: Standing | None) -> Iterator[str]:
    race = ledger.spec.race
    if not race.top:
        if ledger.spec.table.pairs:
            yield from _failure_lines(ledger, {trial.number for trial in ledger.trials}, ", and is not in the table")
        return
    if stands is None:
        yield "race: none, there are fewer than two candidates"
        return
    state = stands.state
    dropped = [drop for drop in state.dropped if drop.p is not None]
    failed = len(state.dropped) - len(dropped)
    ends = [f"{len(dropped)} dropped", *([f"{failed} failed"] if failed else []), f"{len(state.left)} left"]
    yield (
        f"race on validation, {state.pairs_done} of up to {race.pairs} fresh pairs: "
        f"{len(stands.candidates)} candidates, {', '.join(ends)}"
    )
    yield from _failure_lines(ledger, {stands.candidates[drop.candidate].trial for drop in state.dropped})
    if not state.is_over:
        yield "  it is not over, so no test row was read; the same command goes on"
    elif state.winner is None:
        failures = f"{ledger.store.uri}/trials/{ledger.spec.name}/*/failed-race-*.json"
        yield f"  every candidate failed; nothing is confirmed. To try them again, remove {failures}"
    else:
        winner = stands.candidates[state.winner]
        mean = state.means[state.left.index(state.winner)]
        yield f"  won by {_named(winner.trial)}, {ledger.spec.objective.metric} {mean:.2f}"
        yield f"  {_setting(ledger, Choice(winner.trial, winner.eval_setting))}"


def _failure_lines(ledger: Ledger, trials: Set[int], and_so: str = "") -> Iterator[str]:
    for trial, (run, order) in sorted(ledger.race_failures()):
        if trial in trials:
            cause = ledger.store.get_json(ledger.store.race_failure_path(ledger.spec.name, trial, order, run))["cause"]
            yield f"  trial {trial} failed{and_so}: {cause}"


def _verdict_lines(ledger: Ledger) -> Iterator[str]:
    spec = ledger.spec
    verdicts = read_verdicts(ledger.store, spec.name)
    if not verdicts or not spec.confirm.pairs:
        return
    verdict = verdicts[-1]
    choices = verdict.choices()
    tested = {role: _scores(ledger, choice) for role, choice in choices.items()}
    # The pairs that all of them have, so that every line below says the same n.
    pairs = [pair for pair in tested["best"] if all(pair in scores for scores in tested.values())]
    if not pairs:
        yield "confirmation: no pair of seeds is complete"
        return
    missing = f" of {spec.confirm.pairs} asked for" if len(pairs) < spec.confirm.pairs else ""
    many = "pair" if len(pairs) == 1 else "pairs"
    yield f"confirmed on test, {len(pairs)} fresh {many} of run seed and order seed{missing}, {spec.objective.metric}:"
    if any(known.seeds and known.winner != verdict.winner for known in verdicts):
        yield f"  (verdict {verdict.number}: another winner of this sweep was confirmed on test before)"
    wide = max(map(len, choices))
    for role in choices:
        yield f"  {role:<{wide}}  {_mean_std([tested[role][pair] for pair in pairs])}"
    if verdict.published is None:
        yield "  no difference to the published setting: trial 0 is not complete"
    yield from _differences(spec, verdict, tested)


def _differences(spec: SweepSpec, verdict: Verdict, tested: dict[str, Scores]) -> Iterator[str]:
    metric, direction = spec.objective.metric, spec.objective.direction
    for role, choice in verdict.choices().items():
        if role == "best":
            continue
        if choice == verdict.winner:
            yield f"  no difference to report: the {role} setting is the best"
            continue
        said = compare(tested["best"], tested[role], role, verdict, metric, direction, metric)
        if said is not None:
            yield f"  best - {role}: {said}"


def _scores(ledger: Ledger, choice: Choice) -> Scores:
    """The objective on test by pair, of the pairs that are complete, in the order in which they are spent."""
    spec = ledger.spec
    names = [parse_row_name(path) for path in ledger.store.row_names(spec.name)]
    mine = [name for name in names if name is not None and (name.trial, name.phase) == (choice.trial, "confirm")]
    pairs = {(name.run_seed, name.order_seed) for name in mine}
    found: dict[Pair, float] = {}
    for run, order in sorted(pairs, key=lambda pair: (pair[0] - spec.seeds.run) % 2**32):
        rows = ledger.store.read_rows(spec.name, trial=choice.trial, phase="confirm", order_seed=order, run_seed=run)
        (score,) = scores_on_test(rows, spec.objective.metric, [choice.eval_setting])
        if math.isfinite(score):
            found[run, order] = score
    return found


def _mean_std(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"
