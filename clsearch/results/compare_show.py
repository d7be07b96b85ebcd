"""A comparison of two sweeps as text."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from clsearch.results.compare import Changes, Comparison, Outcome
from clsearch.results.compare_sides import Side
from clsearch.results.printing import markdown_table, terminal_table, with_interval
from clsearch.spec.keys import canonical_json

Tabulate = Callable[[Sequence[str], Iterable[Sequence[str]], int], str]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def _outcome(one: Outcome) -> list[str]:
    gap = ["–", "0"] if one.gap is None else [with_interval(one.gap), str(one.gap.pairs)]
    figures = [_mean(one.first), str(len(one.first)), _mean(one.second), str(len(one.second))]
    return [f"{one.metric} ({one.split})", *figures, *gap]


def _which(side: Side) -> str:
    return f"{side.name} (trial {side.trial}, eval setting {canonical_json(side.eval_setting)})"


def _text(found: Comparison, heading: str, item: str, tabulate: Tabulate) -> str:
    a, b = found.first.name, found.second.name
    parts = [f"{heading}A = {_which(found.first)}\n{heading}B = {_which(found.second)}\n"]
    sections: list[tuple[str, Changes]] = [
        ("what was asked of the sweeps", found.sweeps),
        ("the settings of the two trials", found.settings),
        ("what they ran with", found.ran_with),
    ]
    for title, changed in sections:
        if changed:
            parts.append(tabulate((title, f"A: {a}", f"B: {b}"), [[key, *both] for key, both in changed.items()], 3))
        else:
            parts.append(f"{item}{title}: no difference\n")
    if found.outcomes:
        header = ("what came out", "A", "n", "B", "n", "A - B", "pairs")
        parts.append(tabulate(header, [_outcome(one) for one in found.outcomes], 1))
    notes = [f"no difference on {split}: {why}" for split, why in found.unpaired.items()]
    notes.append("mean ± std in % over n pairs of (run seed, order seed); A - B: paired difference [95 % t interval]")
    return "\n".join([*parts, "".join(f"{item}{note}\n" for note in notes)])


def _as_json(found: Comparison) -> str:
    def side(one: Side) -> dict[str, Any]:
        return {"name": one.name, "trial": one.trial, "eval_setting": dict(one.eval_setting)}

    def figures(values: Sequence[float]) -> dict[str, Any]:
        return {"mean": float(np.mean(values)) if values else None, "values": list(values)}

    record = {
        "a": side(found.first),
        "b": side(found.second),
        **{name: {key: list(both) for key, both in getattr(found, name).items()} for name in _SECTIONS},
        "outcomes": [
            {
                "split": one.split,
                "metric": one.metric,
                "a": figures(one.first),
                "b": figures(one.second),
                "difference": None if one.gap is None else asdict(one.gap),
            }
            for one in found.outcomes
        ],
        "unpaired": dict(found.unpaired),
    }
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


_SECTIONS = ("sweeps", "settings", "ran_with")
FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": lambda found: _text(found, "", "", terminal_table),
    "md": lambda found: _text(found, "#### ", "- ", markdown_table),
    "json": _as_json,
}
