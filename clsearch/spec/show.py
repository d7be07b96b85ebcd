"""A plan and a resolved sweep as text, every value with its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.spec.backbones import find_backbone
from clsearch.spec.cost import duration, size_text
from clsearch.spec.parameters import Parameter, show
from clsearch.spec.plan import Plan
from clsearch.spec.settings import acts, fields
from clsearch.spec.sweep import SweepSpec

Line = tuple[str, str, str]  # key, value, source


def render(plan: Plan) -> str:
    """The plan as text: the resolved sweep, what it takes, what the store holds, what is left."""
    spec = plan.spec
    lines = [f"sweep {spec.name}  ({spec.file}, identity {spec.identity_hash()[:12]})", ""]
    for title, entries in (
        ("asked", _asked(spec)),
        ("searched (each value is learned anew; trial 0 is the published setting)", _space(spec)),
        ("eval grid (evaluated on the same weights)", _grid(spec)),
        ("fixed", _fixed(spec)),
        ("extent (may change from run to run)", _extent(spec)),
    ):
        lines += [title, *_table(entries), ""]
    lines += ["plan", *(f"  {line}" for line in _work(plan)), ""]
    lines += [f"store {plan.uri}", *(f"  {line}" for line in _holdings(plan)), ""]
    lines += ["left to do", *(f"  {line}" for line in _left(plan)), ""]
    lines += [f"note: {note}" for note in spec.notes]
    return "\n".join([*lines, "dry run: nothing was started and nothing was written"])


def _table(entries: Iterable[Line]) -> list[str]:
    entries = [*entries]
    if not entries:
        return ["  nothing"]
    wide = max(len(key) for key, _, _ in entries)
    return [f"  {key:<{wide}}  {value}  ({source})" for key, value, source in entries]


def _asked(spec: SweepSpec) -> Iterator[Line]:
    backbone, benchmark = find_backbone(spec.backbone), benchmark_info(spec.benchmark)
    size = f", {backbone.parameters / 1e6:.1f} M parameters" if backbone.parameters else ""
    if spec.profile is not None:
        yield _line(spec, "profile", spec.profile)
    yield _line(spec, "method", spec.method)
    yield _line(spec, "backbone", f"{spec.backbone}: {backbone.source} {backbone.tag}{size}")
    kind = benchmark.kind.replace("_", "-")
    yield _line(spec, "benchmark", f"{spec.benchmark}: {kind}, {benchmark.tasks} tasks, {benchmark.classes} classes")
    yield _line(spec, "protocol", str(spec.protocol))
    direction = "highest" if spec.objective.direction == "max" else "lowest"
    yield _line(spec, "objective.metric", f"{spec.objective.metric} on validation, {direction}")
    yield _line(spec, "sampler.name", spec.sampler.name)
    yield _line(spec, "sampler.startup", spec.sampler.startup)
    yield _line(spec, "seeds.run", spec.seeds.run)
    yield _line(spec, "seeds.order", spec.seeds.order)
    yield _line(spec, "precision", spec.precision)


def _space(spec: SweepSpec) -> Iterator[Line]:
    for parameter in spec.space:
        value = f"{parameter.range_text()}; published {show(parameter.published)}"
        yield parameter.name, value, _range_source(spec, parameter)


def _range_source(spec: SweepSpec, parameter: Parameter) -> str:
    prefix = f"space.{parameter.name}."
    said = dict.fromkeys(source for key, source in spec.sources.items() if key.startswith(prefix))
    stated = spec.sources.get(f"{prefix}published")
    return f"range: {', '.join(said)}; published: {stated or _default_source(spec.method, parameter.name)}"


def _grid(spec: SweepSpec) -> Iterator[Line]:
    for name, values in spec.eval_grid.items():
        published = _default_source(spec.method, name)
        yield name, show(values), f"{spec.sources[f'eval_grid.{name}']}; published {show(values[0])}: {published}"


def _fixed(spec: SweepSpec) -> Iterator[Line]:
    free = {parameter.name for parameter in spec.space} | set(spec.eval_grid)
    for name, value in spec.full_settings().items():
        if name not in free:
            where = spec.sources.get(f"settings.{name}") or _default_source(spec.method, name)
            yield name, show(value), where + (", acts at evaluation" if acts(spec.method, name) == "eval" else "")


def _default_source(method: str, name: str) -> str:
    return f"default, {fields(method)[name].metadata['source']}"


def _extent(spec: SweepSpec) -> Iterator[Line]:
    yield _line(spec, "trials", spec.trials)
    yield _line(spec, "confirm.pairs", spec.confirm.pairs)
    yield _line(spec, "runner", spec.runner)
    yield _line(spec, "resources.workers", spec.workers)
    yield _line(spec, "resources.cpus", f"{spec.cpus_per_worker:g} a worker")
    yield _line(spec, "resources.gpus", f"{spec.gpus_per_worker:g} a worker")
    parallel = "as many as the cluster has room for" if spec.max_parallel is None else spec.max_parallel
    yield _line(spec, "max_parallel", parallel)
    yield _line(spec, "storage", "CLSEARCH_STORE or ~/clsearch/store" if spec.storage is None else spec.storage)
    yield _line(spec, "keep", spec.keep)


def _line(spec: SweepSpec, key: str, value: Any) -> Line:
    return key, str(value), spec.sources.get(key, "default")


def _work(plan: Plan) -> Iterator[str]:
    spec = plan.spec
    grid = f", each evaluated under {_count(plan.eval_settings, 'eval setting')}"
    yield (
        f"search:  {_count(spec.trials, 'trial')} x 1 seed pair x {_count(plan.tasks, 'stage')}"
        f" = {_count(plan.search_stages, 'stage')}{grid}"
    )
    if not spec.confirm.pairs:
        yield "confirm: none (confirm.pairs=0)"
        return
    who = "2 settings (the best, the published)" if spec.space else "1 setting"
    yield (
        f"confirm: {who} x {_count(spec.confirm.pairs, 'fresh seed pair')} x {_count(plan.tasks, 'stage')}"
        f" = {_count(plan.confirm_stages, 'stage')}"
    )


def _holdings(plan: Plan) -> Iterator[str]:
    held = plan.held
    if not held.known and not held.trials:
        yield "nothing of this sweep yet"
        return
    claimed = sum(held.trials.values())
    states = {"complete": "complete", "pruned": "stopped early", "failed": "failed", "running": "without outcome"}
    counts = ", ".join(f"{held.trials.get(status, 0)} {text}" for status, text in states.items())
    yield f"{_count(claimed, 'trial')} claimed: {counts}"
    yield f"rows of {_count(held.search_stages, 'search stage')} and {_count(held.confirm_stages, 'confirm stage')}"
    for cause in held.causes:
        yield f"failed: {cause}"


def _left(plan: Plan) -> Iterator[str]:
    spec = plan.spec
    # Half of it where the published setting turns out to be the best.
    at_most = "at most " if spec.space and plan.confirm_left else ""
    confirm = f"{at_most}{_count(plan.confirm_left, 'confirm stage')}"
    yield f"{_count(plan.search_left, 'search stage')} and {confirm} to learn"
    guess = "" if plan.parallel_is_asked else " (by this machine's processors; a cluster decides for itself)"
    yield f"concurrency: {_count(plan.parallel, 'trial')} at a time{guess}"
    if plan.seconds_left is None or plan.seconds_per_stage is None:
        yield "time: no measurement yet; after the first complete trial an estimate appears here"
    else:
        yield (
            f"time: about {duration(plan.seconds_left)} (median {plan.seconds_per_stage:.2g} s a stage over "
            f"{_count(plan.measured, 'complete trial')} of this sweep)"
        )
        if spec.gpus_per_worker:
            stages = plan.search_left + plan.confirm_left
            hours = plan.seconds_per_stage * stages * spec.gpus_per_worker * spec.workers / 3600
            yield f"GPU-hours: about {hours:.1f}"
    if plan.bytes_left is None:
        yield f"checkpoints: the size of '{spec.backbone}' is not known before it is loaded"
    else:
        at_most = "" if not spec.space else "at most "
        yield f"checkpoints: {at_most}about {size_text(plan.bytes_left)} (keep: {spec.keep}); rows: some kB a stage"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
