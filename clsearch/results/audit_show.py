"""An audit as text. What was chosen by test stands apart, under a sentence that says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from clsearch.results.audit import END, TEST, Agreement, BenchmarkAudit, Choice, MethodAudit
from clsearch.results.intervals import Gap
from clsearch.results.printing import markdown_table, terminal_table, with_interval

QUARANTINE = (
    "QUARANTINED: chosen by test. No result of any method; printed here and nowhere else, to measure how much choosing "
    "by test flatters."
)
_HEADER = ("method", "chosen by", "setting", "eval setting", "test score", "n", f"less {END}")
_TEST_HEADER = (
    *("method", "setting", "eval setting", "shown on its own pair", "test score", "n"),
    *("optimism", "of it the pair's", f"less {END}"),
)
Tabulate = Callable[[Sequence[str], Iterable[Sequence[str]], int], str]


def _score(choice: Choice) -> str:
    n = len(choice.scores)
    return f"{choice.mean:.2f} ± {np.std(choice.scores, ddof=1):.2f}" if n > 1 else f"{choice.mean:.2f}"


def _less(one: MethodAudit, choice: Choice) -> str:
    end = one.choices[END]
    if choice.rule != END and (choice.trial, choice.eval_setting) == (end.trial, end.eval_setting):
        return "the same setting"
    return "" if choice.rule == END else with_interval(choice.gap)


def _lines(methods: Iterable[MethodAudit]) -> list[list[str]]:
    return [
        [
            one.label,
            rule,
            f"#{choice.trial}",
            choice.eval_setting,
            _score(choice),
            str(len(one.pairs)),
            _less(one, choice),
        ]
        for one in methods
        for rule, choice in one.choices.items()
        if rule != TEST
    ]


def _test_lines(methods: Iterable[MethodAudit]) -> list[list[str]]:
    lines = []
    for one in methods:
        choice = one.choices[TEST]
        start = [one.label, f"#{choice.trial}", choice.eval_setting, f"{choice.shown:.2f}", _score(choice)]
        lines.append(
            [*start, str(len(one.pairs)), f"{one.optimism:+.2f}", f"{one.pair_effect:+.2f}", _less(one, choice)]
        )
    return lines


def _tau_lines(agreements: Iterable[Agreement]) -> list[list[str]]:
    return [
        [one.first, one.second, "– (all tied)" if one.tau is None else f"{one.tau:+.2f}", str(one.methods)]
        for one in agreements
    ]


def _left_out(one: MethodAudit) -> str:
    why = ", ".join(f"{count} × {reason}" for reason, count in one.left_out.items())
    return f"{one.label}: {one.cells} cells (trial, eval setting) took part, {sum(one.left_out.values())} left out" + (
        f": {why}" if why else ""
    )


def _title(one: BenchmarkAudit) -> str:
    order = "lowest" if one.direction == "min" else "highest"
    return f"{one.benchmark} · test {one.metric}, {order} is best, by the rule that chose the setting"


def _text(audits: Sequence[BenchmarkAudit], heading: str, strong: str, item: str, tabulate: Tabulate) -> str:
    parts = []
    for one in audits:
        parts.append(f"{heading}{_title(one)}\n")
        if one.methods:
            trusted = [tau for tau in one.agreements if tau.first != TEST]
            quarantined = [tau for tau in one.agreements if tau.first == TEST]
            header = ("ranking by", "ranking by", "tau", "methods")
            parts.append(tabulate(_HEADER, _lines(one.methods), 4))
            parts += [tabulate(header, _tau_lines(trusted), 2)] if trusted else []
            parts.append(f"{strong}{QUARANTINE}{strong}\n")
            parts.append(tabulate(_TEST_HEADER, _test_lines(one.methods), 3))
            parts += [tabulate(header, _tau_lines(quarantined), 2)] if quarantined else []
        notes = [*map(_left_out, one.methods), *one.notes]
        parts.append("".join(f"{item}{note}\n" for note in notes))
    parts.append(
        "settings are chosen on the search's pair of (run seed, order seed); test score: mean ± std in % over the n "
        f"pairs that the choices did not see; less {END}: paired difference [95 % t interval]; optimism: what the "
        "test-chosen setting shows on the pair it was chosen on less its test score; of it the pair's: the same for "
        "the mean of all settings, which no choice explains; tau: Kendall's tau-b\n"
    )
    return "\n".join(part for part in parts if part)


def _choice_json(choice: Choice, pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    record: dict[str, Any] = {"trial": choice.trial, "eval_setting": json.loads(choice.eval_setting)}
    record |= {"mean": choice.mean, "n": len(choice.scores)}
    record["scores"] = [
        {"run_seed": run, "order_seed": order, "score": score}
        for (run, order), score in zip(pairs, choice.scores, strict=True)
    ]
    gap: Gap | None = None if choice.rule == END else choice.gap
    return record | {f"less_{END}": gap.__dict__ if gap is not None else None}


def _method_json(one: MethodAudit) -> dict[str, Any]:
    record: dict[str, Any] = {"label": one.label, "source": one.source, "method": one.method, "backbone": one.backbone}
    record |= {"tasks": one.tasks, "search_pair": list(one.search_pair), "cells": one.cells}
    record["left_out"] = dict(one.left_out)
    chosen = {rule: choice for rule, choice in one.choices.items() if rule != TEST}
    return record | {"chosen_by": {rule: _choice_json(choice, one.pairs) for rule, choice in chosen.items()}}


def _quarantined_json(one: BenchmarkAudit) -> dict[str, Any]:
    lines = []
    for method in one.methods:
        choice = method.choices[TEST]
        shown = {"shown_on_its_own_pair": choice.shown, "optimism": method.optimism, "pair_effect": method.pair_effect}
        lines.append({"label": method.label, **_choice_json(choice, method.pairs), **shown})
    taus = [vars(tau) for tau in one.agreements if tau.first == TEST]
    return {"what_it_is": QUARANTINE, "chosen_by_test": lines, "kendall_tau": taus}


def _as_json(audits: Sequence[BenchmarkAudit]) -> str:
    benchmarks: list[Mapping[str, Any]] = [
        {
            "benchmark": one.benchmark,
            "metric": one.metric,
            "direction": one.direction,
            "methods": [_method_json(method) for method in one.methods],
            "kendall_tau": [vars(tau) for tau in one.agreements if tau.first != TEST],
            "quarantined": _quarantined_json(one),
            "notes": list(one.notes),
        }
        for one in audits
    ]
    return json.dumps({"benchmarks": benchmarks}, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[BenchmarkAudit]], str]] = {
    "table": lambda audits: _text(audits, "", "", "", terminal_table),
    "md": lambda audits: _text(audits, "### ", "**", "- ", markdown_table),
    "json": _as_json,
}
