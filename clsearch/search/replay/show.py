"""A replay as text: a table for people, Markdown, JSON for machines."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from clsearch.results.printing import markdown_table, terminal_table
from clsearch.results.race_study import RaceStudy
from clsearch.search.replay.policies import PAIRS_CONFIRMED, SEEDS_TODAY, sentence
from clsearch.search.replay.study import COUNTED_ON, Spread, Study, Verdict
from clsearch.spec.cost import duration

Tabulate = Callable[[Sequence[str], Iterable[Sequence[str]]], str]

VIRTUAL = (
    "observed on virtual seeds: a setting's mean over the table's pairs plus noise with the covariance that was "
    "measured between its most densely measured settings; the means are what regret is scored against (--real searches "
    "on a pair of the table and scores on the others)"
)
REAL = "observed on real seeds: each repetition searches on one pair of the table and is scored on the others"
_NOTHING_STORED = (
    "no proposal is trained like an earlier one; reuse pays where a sweep is repeated, extended or measured anew"
)
_HEADER = ("policy", "cost to equal regret", "sequences", "factor", "unconfirmed", "final regret", "never")


def text(study: Study, race: RaceStudy | None, heading: str, item: str, tabulate: Tabulate) -> str:
    """The study for people."""
    parts = [f"{heading}{_title(study)}\n", tabulate(_HEADER, map(_line, study.verdicts))]
    parts.append("".join(f"{item}{note}\n" for note in (*_notes(study), *_race_notes(race))))
    return "\n".join(parts)


def as_json(study: Study, race: RaceStudy | None) -> str:
    """The study for machines: seconds, sequences, points and shares; null where the target is not reached."""
    table = study.table
    record: dict[str, Any] = {
        "table": table.where,
        "sweep": table.sweep,
        "method": table.identity["method"],
        "benchmark": table.identity["benchmark"],
        "protocol": str(table.protocol),
        "metric": table.metric,
        "direction": table.direction,
        "settings": len(table.settings),
        "eval_settings": len(table.eval_settings),
        "pairs": len(table.pairs),
        "seeds": study.seeds,
        "repetitions": study.repetitions,
        "reference": study.reference,
        "reference_trials": study.trials,
        "target_regret": study.target,
        "confirmation": {"seconds": study.confirmation, "sequences": study.confirmed},
        "policies": [_verdict_json(study, one) for one in study.verdicts],
        "race": None if race is None else asdict(race),
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Study, RaceStudy | None], str]] = {
    "table": lambda study, race: text(study, race, "", "", terminal_table),
    "md": lambda study, race: text(study, race, "### ", "- ", markdown_table),
    "json": as_json,
}


def _title(study: Study) -> str:
    table = study.table
    size = f"{len(table.settings)} settings x {len(table.eval_settings)} eval settings"
    place = f"{table.sweep} · {table.identity['method']} on {table.identity['benchmark']} · protocol {table.protocol}"
    return f"{place} · {table.metric} · {size}, {study.repetitions} repetitions on {study.seeds} seeds"


def _line(one: Verdict) -> list[str]:
    return [
        one.policy.name,
        _spread(one.seconds, lambda value: "never" if math.isinf(value) else duration(value)),
        _spread(one.sequences, lambda value: "never" if math.isinf(value) else f"{value:.0f}"),
        _spread(one.factor, _times),
        _spread(one.factor_search, _times),
        _spread(one.regret, lambda value: f"{value:.2f}"),
        f"{one.never:.0%}",
    ]


def _times(factor: float) -> str:
    return f"{factor:.1f}x" if factor else "never"


def _spread(spread: Spread, show: Callable[[float], str]) -> str:
    return f"{show(spread.median)} [{show(spread.low)}, {show(spread.high)}]"


def _notes(study: Study) -> list[str]:
    seeds = f" on {SEEDS_TODAY} pairs of seeds each" if study.seeds == "virtual" else ""
    notes = [
        f"equal regret: {study.target:.2f} points, with which '{study.reference}' ends in {COUNTED_ON:.0%} of the "
        f"repetitions, or with less, after {study.trials} trials{seeds}; a policy has reached it when what it would "
        "hand out is that good from there on; it may go on until it has learned as many stages, or no cell is left",
        f"cost: median [quartiles] over the repetitions, of work, one trial at a time; it includes a confirmation of "
        f"{study.confirmed} sequences ({duration(study.confirmation)}), the winner and the published setting on "
        f"{PAIRS_CONFIRMED} pairs, the same for all; factor: the median of '{study.reference}' over the cost; "
        "unconfirmed: the same without the confirmation",
        "a proposal is answered by the nearest cell (setting, eval setting) not yet tried",
        VIRTUAL if study.seeds == "virtual" else REAL,
    ]
    for one in study.verdicts:
        notes += [f"{one.policy.name}: {sentence(one.policy)}{_seen(one)}"]
    return notes


def _seen(one: Verdict) -> str:
    """What was seen of the policy's mechanisms."""
    parts = []
    if one.policy.stopping != "none":
        parts.append(f"{one.stopped:.0%} of the trials were stopped")
    if one.policy.stopping == "asha":
        parts.append(f"an unfinished trial wins in {one.unfinished:.0%} of the repetitions")
    if one.policy.reuse:
        known = f"{one.stored:.1%} of the search's stages were in the store already"
        parts.append(known if one.stored else f"{known}: {_NOTHING_STORED}")
    return f" ({'; '.join(parts)})" if parts else ""


def _race_notes(race: RaceStudy | None) -> list[str]:
    if race is None:
        return []
    return [
        f"race: {race.repetitions} races of {race.candidates} settings on up to {race.pairs} of the table's real pairs "
        f"at level {race.level:g}: two tied settings are separated in {race.tied_separated:.1%}; the truly best is "
        f"dropped in {race.best_dropped:.1%} and wins {race.best_won:.1%}; mean regret {race.regret:.2f} points; "
        f"{race.pairs_spent:.0%} of all sequences are learned"
    ]


def _verdict_json(study: Study, one: Verdict) -> dict[str, Any]:
    return {
        "policy": one.policy.name,
        "says": sentence(one.policy),
        "repetitions": study.repetitions,
        "cost_to_equal_regret": {"seconds": _spread_json(one.seconds), "sequences": _spread_json(one.sequences)},
        f"factor_against_{study.reference}": _spread_json(one.factor),
        "factor_without_confirmation": _spread_json(one.factor_search),
        "final_regret": _spread_json(one.regret),
        "never_reached": one.never,
        "unfinished_winner": one.unfinished,
        "stopped_trials": one.stopped,
        "stored_stages": one.stored,
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    low, median, high = (value if math.isfinite(value) else None for value in (spread.low, spread.median, spread.high))
    return {"median": median, "quartiles": [low, high]}
