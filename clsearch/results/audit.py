"""What each method would score on test, by the rule that chose its setting: how much of a field's progress is tuning.

Everywhere else test rows of phase `analysis` are never read. Nothing that searches or runs trials may import this
module (a contract in pyproject.toml): what is chosen by test here is shown, quarantined, and goes nowhere.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from clsearch.errors import UsageError
from clsearch.results.audit_cells import Cell, Cells, Pair, Source, cells_by_method
from clsearch.results.board import headline
from clsearch.results.intervals import Gap, paired_gap
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS
from clsearch.results.permitted import permitted_matrix, score
from clsearch.spec.protocols import Protocol

TEST, END, PUBLISHED = "test", "end_of_sequence", "published"


@dataclass(frozen=True)
class Choice:
    """The setting that one rule chose by what it may see of the search pair, and what it scores where it saw nothing.

    All figures are of the test split, in the unit of the audit's metric.
    """

    rule: str
    trial: int
    eval_setting: str  # canonical JSON
    scores: tuple[float, ...]  # one per pair of the method's `pairs`
    shown: float  # on the search pair; what a test-chosen setting shows is what it was chosen for
    gap: Gap  # to the choice by end_of_sequence: 0 for that choice itself

    @property
    def mean(self) -> float:
        """The mean over the pairs that the choice did not see."""
        return float(np.mean(self.scores))


@dataclass(frozen=True)
class MethodAudit:
    """One method of one source on one benchmark."""

    label: str  # the method's name, with its source where the method has several
    source: str
    method: str
    backbone: str
    tasks: int
    search_pair: Pair
    pairs: tuple[Pair, ...]  # scored: the choices did not see them, and every choice has complete test rows on them
    choices: Mapping[str, Choice]  # by rule; a rule whose setting is not among the cells is missing
    pair_effect: float  # the mean over settings of their test score on the search pair less that on `pairs`
    cells: int  # (trial, eval setting) that took part
    left_out: Mapping[str, int] = field(default_factory=dict)  # cells, by reason

    @property
    def optimism(self) -> float:
        """What the test-chosen setting shows on the search pair less what it scores on pairs it was not chosen on."""
        chosen = self.choices[TEST]
        return chosen.shown - chosen.mean


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b between the rankings of methods under two rules; None where a ranking is all ties."""

    first: str
    second: str
    methods: int
    tau: float | None


@dataclass(frozen=True)
class BenchmarkAudit:
    """The audit of one benchmark: the methods that could be audited, and how well the rules' rankings agree."""

    benchmark: str
    metric: str
    direction: str
    methods: tuple[MethodAudit, ...]
    agreements: tuple[Agreement, ...]
    notes: tuple[str, ...] = ()


def audit(
    sources: Sequence[Source],
    kinds: Mapping[str, str],
    metric: str | None = None,
    first: Sequence[int] | None = None,
) -> list[BenchmarkAudit]:
    """The audit of every benchmark of the sources that has something to audit.

    Args:
        sources: sweeps, with their rows of phases search and analysis.
        kinds: benchmark -> kind of the catalogue.
        metric: what settings are chosen and scored by; None: the sweeps' objective where all on a benchmark have the
            same one, else the headline of the benchmark's kind.
        first: the k of first_tasks(k); None: every one from 2 to the tasks less one.

    Raises:
        UsageError: a k outside the sequence.
    """
    by_benchmark: dict[str, list[Source]] = {}
    for source in sources:
        for benchmark in dict.fromkeys(sequence.benchmark for sequence in source.sequences):
            mine = [sequence for sequence in source.sequences if sequence.benchmark == benchmark]
            by_benchmark.setdefault(benchmark, []).append(Source(source.name, source.identity, mine))
    found = [_audit_one(benchmark, by_benchmark[benchmark], kinds, metric, first) for benchmark in sorted(by_benchmark)]
    return [one for one in found if one.methods or one.notes]


def _audit_one(
    benchmark: str, sources: Sequence[Source], kinds: Mapping[str, str], asked: str | None, first: Sequence[int] | None
) -> BenchmarkAudit:
    kind = kinds.get(benchmark)
    whole = kind == "cross_domain" if kind else any(np.triu(s.count, 1).any() for one in sources for s in one.sequences)
    scorer, notes = _scorer(sources, "cross_domain" if whole else "", asked)
    methods = []
    for source in sources:
        for name in dict.fromkeys(s.method for s in source.sequences):
            mine = [s for s in source.sequences if s.method == name]
            found = _audit_method(source, cells_by_method(mine, source.identity, whole), scorer, first)
            if isinstance(found, str):
                notes.append(f"{source.name}, {name}: left out: {found}")
            else:
                methods.append(found)
    labelled = _labelled(methods)
    notes += _notes(labelled)
    direction = "min" if scorer.sign < 0 else "max"
    return BenchmarkAudit(benchmark, scorer.metric, direction, labelled, tuple(_agreements(labelled)), tuple(notes))


@dataclass(frozen=True)
class _Scorer:
    metric: str
    sign: float  # 1: higher is better

    def test(self, cell: Cell, pair: Pair) -> float:
        return float(METRICS[self.metric](cell.tests[pair].correct, cell.tests[pair].count))

    def best(self, cells: Sequence[Cell], values: Sequence[float]) -> Cell | None:
        """The cell with the best value, the first of equals; None if no value is a number."""
        numbers = [(self.sign * value, -i) for i, value in enumerate(values) if not np.isnan(value)]
        return cells[-max(numbers)[1]] if numbers else None


def _scorer(sources: Sequence[Source], kind: str, asked: str | None) -> tuple[_Scorer, list[str]]:
    """What settings are chosen and scored by, with a note where the sweeps themselves do not agree."""
    stated = [source.identity["objective"] for source in sources if "objective" in source.identity]
    objectives = {(one["metric"], one["direction"]) for one in stated}
    metric, direction = next(iter(objectives)) if len(objectives) == 1 else (headline(kind), "max")
    notes = []
    if asked is None and len(objectives) > 1:
        notes.append(f"the sweeps have different objectives: settings are chosen and scored by {metric}")
    if asked is not None and asked != metric:
        metric, direction = asked, "min" if asked in LOWER_IS_BETTER else "max"
    return _Scorer(metric, -1.0 if direction == "min" else 1.0), notes


def _audit_method(source: Source, group: Cells, scorer: _Scorer, first: Sequence[int] | None) -> MethodAudit | str:
    """The audit of one method, or why there is none."""
    if group.why_not is not None:
        return group.why_not
    one = group.cells[0].validation
    chosen = _chosen(group, _rules(one.tasks_total, first, one.benchmark), scorer)
    if TEST not in chosen or END not in chosen:
        return f"{scorer.metric} is not defined for its sequences"
    search, needed = group.search_pair, group.pairs
    more = sorted({pair for cell in chosen.values() for pair in cell.tests} - {search, *needed})
    pairs = (*needed, *(pair for pair in more if all(pair in cell.tests for cell in chosen.values())))
    scores = {rule: np.array([scorer.test(cell, pair) for pair in pairs]) for rule, cell in chosen.items()}
    measured = [cell for cell in group.cells if all(pair in cell.tests for pair in pairs)]
    effects = [scorer.test(cell, search) - np.mean([scorer.test(cell, pair) for pair in pairs]) for cell in measured]
    return MethodAudit(
        label=one.method,
        source=source.name,
        method=one.method,
        backbone=one.backbone,
        tasks=one.tasks_total,
        search_pair=search,
        pairs=pairs,
        choices={
            rule: Choice(
                rule=rule,
                trial=cell.trial,
                eval_setting=cell.eval_setting,
                scores=tuple(scores[rule].tolist()),
                shown=scorer.test(cell, search),
                gap=paired_gap(scores[rule] - scores[END]),
            )
            for rule, cell in chosen.items()
        },
        pair_effect=float(np.mean(effects)),
        cells=len(group.cells),
        left_out=group.left_out,
    )


def _rules(tasks: int, first: Sequence[int] | None, benchmark: str) -> dict[str, Protocol]:
    """The rules that read validation rows, by name."""
    known = range(2, tasks)
    for k in first or ():
        if k not in known:
            valid = f"k is 2 to {tasks - 1}" if tasks > 2 else "which has no first_tasks(k)"
            raise UsageError(f"--first {k}: '{benchmark}' is a sequence of {tasks} tasks: {valid}; see --benchmark")
    protocols = [
        Protocol(),
        *(Protocol("first_tasks", tasks=k) for k in sorted(set(known if first is None else first))),
    ]
    return {str(protocol): protocol for protocol in protocols}


def _chosen(group: Cells, rules: Mapping[str, Protocol], scorer: _Scorer) -> dict[str, Cell]:
    """The cell that each rule chooses; rules that can choose none are left out."""
    cells = group.cells
    chosen = {TEST: scorer.best(cells, [scorer.test(cell, group.search_pair) for cell in cells])}
    for rule, protocol in rules.items():
        values = [score(permitted_matrix(cell.validation, protocol), scorer.metric) for cell in cells]
        chosen[rule] = scorer.best(cells, values)
    chosen[PUBLISHED] = next((cell for cell in cells if cell.published), None)
    return {rule: cell for rule, cell in chosen.items() if cell is not None}


def _labelled(methods: Iterable[MethodAudit]) -> tuple[MethodAudit, ...]:
    methods = sorted(methods, key=lambda one: (one.method, one.source))
    times = Counter(one.method for one in methods)
    return tuple(
        replace(one, label=f"{one.method} ({one.source})") if times[one.method] > 1 else one for one in methods
    )


def _agreements(methods: Sequence[MethodAudit]) -> Iterable[Agreement]:
    from scipy.stats import kendalltau

    rules = list(dict.fromkeys(rule for one in methods for rule in one.choices))
    for first, second in itertools.combinations(rules, 2):
        both = [
            (one.choices[first].mean, one.choices[second].mean) for one in methods if {first, second} <= {*one.choices}
        ]
        if len(both) > 1:
            tau = float(kendalltau(*zip(*both, strict=True)).statistic)
            yield Agreement(first, second, len(both), None if np.isnan(tau) else tau)


def _notes(methods: Sequence[MethodAudit]) -> list[str]:
    notes = [
        f"{one.label}: the published setting is not among the complete cells: no figure for it"
        for one in methods
        if PUBLISHED not in one.choices
    ]
    if len(methods) == 1:
        notes.append("one method only: Kendall's tau between rankings needs two")
    elif 1 < len(methods) < 4:
        steps = "-1 or 1" if len(methods) == 2 else "-1, -1/3, 1/3 or 1"
        notes.append(f"with {len(methods)} methods Kendall's tau is coarse: without ties it can only be {steps}")
    if len({(one.search_pair, one.pairs) for one in methods}) > 1:
        notes.append("the methods are not measured on the same pairs of seeds: their ranking is not paired")
    return notes
