"""How many stages race, confirmation and table take, at most, and what is left of them by what a store holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from clsearch.results.verdicts import Verdict
from clsearch.spec.sweep import SweepSpec


def racing(spec: SweepSpec) -> int:
    """The most trials that race: the best ones and the published one. 0: no race, or nobody to race against."""
    if not spec.race.top or spec.protocol.kind == "published":
        return 0
    trials = min(spec.race.top + 1, spec.trials)
    return trials if trials > 1 or len(spec.eval_settings()) > 1 else 0


def confirmed(spec: SweepSpec) -> int:
    """The most settings that are confirmed: the best, the published and the company."""
    return 2 + len(spec.company) if spec.space and spec.protocol.kind != "published" else 1


def race_stages(spec: SweepSpec) -> int:
    """The most stages that the race learns: what is dropped early learns fewer."""
    return racing(spec) * spec.race.pairs * spec.course("race").tasks


def confirm_stages(spec: SweepSpec) -> int:
    """The most stages that the confirmation learns: one setting may be winner, published and company at once."""
    return confirmed(spec) * spec.confirm.pairs * spec.course("confirm").tasks


def table_stages(spec: SweepSpec, trials: int) -> int:
    """The stages that a table learns beside the search, of so many trials: further pairs for all, dense ones for some.

    Its test rows (phase analysis) are of these stages and of the search's.
    """
    further = max(0, spec.table.pairs - 1)
    return (trials * further + dense(spec, trials) * dense_pairs(spec)) * spec.course("race").tasks


def dense(spec: SweepSpec, trials: int) -> int:
    """How many of so many trials get the dense pairs."""
    return min(spec.table.dense, trials)


def dense_pairs(spec: SweepSpec) -> int:
    """How many pairs of seeds the dense trials get beyond the others'."""
    return max(0, spec.table.dense_pairs - spec.table.pairs)


def analysis_stages(spec: SweepSpec, trials: int) -> int:
    """The stages of a table that are evaluated on test, of so many trials."""
    return trials * spec.course("search").tasks + table_stages(spec, trials) if spec.table.pairs else 0


def left(stages: int, trials: Collection[int], held: Mapping[int, int]) -> int:
    """How many of the stages of a table are not there yet; `held`: those in the store, by trial."""
    return max(0, stages - sum(held.get(trial, 0) for trial in trials))


def settled(spec: SweepSpec, verdicts: Sequence[Verdict], search_left: int) -> Verdict | None:
    """The latest verdict, where search and race have ended as they are asked for now; None where they have not."""
    if search_left or not verdicts:
        return None
    race = verdicts[-1].race
    if not racing(spec):
        return verdicts[-1] if race is None else None
    asked = {"top": spec.race.top, "pairs": spec.race.pairs, "level": spec.race.level}
    return verdicts[-1] if race is not None and asked.items() <= race.items() else None


def race_left(spec: SweepSpec, verdict: Verdict | None, held: int) -> int:
    """The most stages of the race that are still to be learned; `held`: those that are in the store."""
    return 0 if verdict is not None else max(0, race_stages(spec) - held)


def confirm_left(spec: SweepSpec, verdict: Verdict | None, held: Mapping[int, int]) -> int:
    """The most stages of the confirmation that are still to be learned; `held`: those in the store, by trial."""
    if verdict is None:
        return max(0, confirm_stages(spec) - sum(held.values()))
    each = spec.confirm.pairs * spec.course("confirm").tasks
    return sum(max(0, each - held.get(trial, 0)) for trial in {choice.trial for choice in verdict.choices().values()})
