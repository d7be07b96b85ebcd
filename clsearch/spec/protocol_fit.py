"""Whether a sweep's protocol fits its benchmark, method and metric, and what protocol `published` leaves of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.errors import UsageError
from clsearch.spec.families import check_families
from clsearch.spec.schema import NEED_FUTURE_TASKS, OBJECTIVES
from clsearch.spec.sweep import Constraints, Race, Stopping, SweepSpec

Where = Callable[[str], str]  # key -> how a message names the place where the key was given


def check_fit(spec: SweepSpec, where: Where) -> None:
    """Method, backbone, benchmark, objective and protocol must fit together; raises UsageError with the rule."""
    check_families(spec.method, spec.backbone, spec.benchmark, where("backbone"), where("benchmark"))
    _check_metric(spec, spec.benchmark, where("objective.metric"))
    if spec.protocol.tasks is not None:
        _check_tasks(spec, spec.protocol.tasks, where("protocol"))
    if spec.protocol.benchmark is not None:
        _check_other_benchmark(spec, spec.protocol.benchmark, where)
    if spec.table.pairs and spec.protocol.kind != "end_of_sequence":
        raise UsageError(
            f"{where('table.pairs')}: a table holds whole sequences, from which an audit cuts what other protocols "
            f"see: take protocol=end_of_sequence, not {spec.protocol}"
        )


def _check_metric(spec: SweepSpec, benchmark: str, where: str) -> None:
    kind = benchmark_info(benchmark).kind
    if spec.objective.metric in NEED_FUTURE_TASKS and kind != "cross_domain":
        usable = ", ".join(metric for metric in OBJECTIVES if metric not in NEED_FUTURE_TASKS)
        raise UsageError(
            f"{where}: '{spec.objective.metric}' reads tasks before they are learned, "
            f"which the {kind.replace('_', '-')} '{benchmark}' does not have: objective.metric may be {usable}"
        )


def _check_tasks(spec: SweepSpec, k: int, where: str) -> None:
    """The first k tasks choose, so there must be more than k; with disjoint tasks, at least 2 more, to forget one."""
    total = benchmark_info(spec.benchmark).tasks
    most = total - 2 if spec.protocol.kind == "disjoint_tasks" else total - 1
    if k <= most:
        return
    left = ", of which at least 2 must be left to confirm on" if spec.protocol.kind == "disjoint_tasks" else ""
    valid = f"k may be {' or '.join(map(str, range(2, most + 1)))}" if most < 4 else f"k may be 2 .. {most}"
    raise UsageError(
        f"{where}: protocol {spec.protocol}: '{spec.benchmark}' has {total} tasks{left}: "
        f"{valid if most >= 2 else 'too few for this protocol'}; protocol=end_of_sequence chooses by all of them"
    )


def _check_other_benchmark(spec: SweepSpec, other: str, where: Where) -> None:
    """The benchmark that settings are chosen on must have other pictures, the same backbone and the same metric."""
    place = f"{where('protocol')}: protocol {spec.protocol}"
    own = benchmark_info(spec.benchmark)
    info = check_families(spec.method, spec.backbone, other, where("backbone"), place)
    shared = [source for source in info.sources if source in own.sources]
    if shared:
        raise UsageError(
            f"{place}: a setting would be chosen on what '{own.name}' itself is made of ({', '.join(shared)}): take "
            "another data set, or protocol=disjoint_tasks(k)"
        )
    if info.image_size != own.image_size:
        raise UsageError(
            f"{place}: its images have {info.image_size} px and those of '{own.name}' {own.image_size} px: "
            "one backbone cannot take both"
        )
    _check_metric(spec, other, where("objective.metric"))


def without_choice(spec: SweepSpec, where: Where) -> SweepSpec:
    """The sweep as protocol `published` has it: one setting, learned, measured and compared with none.

    Raises UsageError where the sweep names further settings.
    """
    if spec.company:
        raise UsageError(
            f"{where('company')}: protocol published learns the published setting alone: "
            f"take the company {', '.join(spec.company)} away (company=null)"
        )
    grid = {name: values[:1] for name, values in spec.eval_grid.items()}
    less = {
        f"1 trial instead of {spec.trials}": spec.trials > 1,
        "the eval grid at its published values": grid != spec.eval_grid,
        "no race": spec.race.top > 0,
        "no stopping": spec.stopping.name != "none",
        "no constraints": bool(spec.constraints.limits()),
    }
    said = [text for text, is_less in less.items() if is_less]
    notes = (f"protocol published chooses nothing: {', '.join(said)}",) if said else ()
    return replace(
        spec,
        trials=1,
        eval_grid=grid,
        race=Race(),
        stopping=Stopping(),
        constraints=Constraints(),
        notes=(*spec.notes, *notes),
    )
