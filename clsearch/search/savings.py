"""What stopping saves, for the plan: on trials that were stopped, or what it would have saved on complete ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clsearch.results.trials import TrialRecord
from clsearch.search.stopping import Curve, Guard, Rule, decide, guard_at, past_curves, rule_of
from clsearch.spec.sweep import SweepSpec


@dataclass(frozen=True)
class Savings:
    """What stopping would have saved on complete trials, taken in the order of their numbers."""

    trials: int
    stopped: tuple[int, ...]  # numbers
    stages: int
    stages_saved: int
    best: int | None  # the trial that is best of all
    guards: tuple[Guard, ...]  # as they stand at the end

    @property
    def loses_best(self) -> bool:
        """Whether the best trial would have been stopped."""
        return self.best in self.stopped


def savings(rule: Rule, past: Iterable[Curve]) -> Savings:
    """What `rule` would have done to trials that are all complete, each judged by those of lower number."""
    whole = sorted((curve for curve in past if curve.final is not None), key=lambda curve: curve.number)
    seen: list[Curve] = []
    saved = 0
    for curve in whole:
        stops = (rung for rung in rule.rungs() if decide(rule, curve.number, curve.values[:rung], seen) is not None)
        rung = next(stops, None)
        seen.append(curve if rung is None else Curve(curve.number, curve.values[:rung], None))
        saved += 0 if rung is None else rule.tasks - rung
    sign = 1.0 if rule.direction == "max" else -1.0
    finite = [(sign * curve.final, -curve.number) for curve in whole if curve.final is not None]
    return Savings(
        trials=len(whole),
        stopped=tuple(curve.number for curve in seen if curve.final is None),
        stages=len(whole) * rule.tasks,
        stages_saved=saved,
        best=-max(finite)[1] if finite else None,
        guards=tuple(guard_at(rule, rung, seen) for rung in rule.rungs()),
    )


def stopping_lines(spec: SweepSpec, trials: Sequence[TrialRecord]) -> list[str]:
    """What a plan says of stopping, whether it is on or off: what it saves, and how the guard of each rung stands."""
    if spec.protocol.kind == "published":
        return []
    rule = rule_of(spec)
    on = spec.stopping.name != "none"
    if not rule.rungs():
        return [f"never, stopping.first_rung={rule.first_rung} is not before the last of {rule.tasks} tasks"]
    after = f"after {'task' if len(rule.rungs()) == 1 else 'tasks'} {', '.join(map(str, rule.rungs()))}"
    past = past_curves((trial.number, trial.outcome) for trial in trials)
    if not past:
        state = f"{spec.stopping.name}, by {rule.value} {after}" if on else "off"
        complete = sum(trial.status == "complete" for trial in trials)
        if complete:
            return [f"{state}; the {complete} complete trials do not show what it saves, their outcomes hold no curve"]
        return [f"{state}; no trial has ended yet that would show what it saves"]
    if on:
        stopped = [curve for curve in past if curve.final is None]
        saved = sum(rule.tasks - len(curve.values) for curve in stopped)
        text = f"{spec.stopping.name}, by {rule.value} {after}; of {len(past)} trials {len(stopped)} were stopped"
        guards = [guard_at(rule, rung, past) for rung in rule.rungs()]
        return [f"{text}, {_share(saved, len(past) * rule.tasks)} saved", *_guard_lines(guards)]
    would = savings(rule, past)
    lost = "would have been stopped too" if would.loses_best else "would not have been stopped"
    return [
        f"off; on the {would.trials} complete trials it would have stopped {len(would.stopped)} "
        f"and saved {_share(would.stages_saved, would.stages)} (by {rule.value} {after}); "
        f"the best, trial {would.best}, {lost}",
        *_guard_lines(would.guards),
    ]


def _share(saved: int, stages: int) -> str:
    return f"{saved} of {stages} stages ({saved / stages:.0%})"


def _guard_lines(guards: Iterable[Guard]) -> list[str]:
    return [f"  {guard}" for guard in guards]
