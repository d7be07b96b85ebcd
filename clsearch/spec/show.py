"""A plan and a resolved sweep as text, every value with its source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from clsearch.benchmarks.catalogue import benchmark_info
from clsearch.results.spending import exhausted
from clsearch.spec import afterwards
from clsearch.spec.backbones import find_backbone
from clsearch.spec.conditions import count_settings
from clsearch.spec.cost import duration, hopeless_settings, hours_text, size_text, spending_text
from clsearch.spec.parameters import Parameter, show
from clsearch.spec.plan import Plan
from clsearch.spec.settings import acts, fields
from clsearch.spec.sweep import SweepSpec

Line = tuple[str, str, str]  # key, value, source


def render(plan: Plan, stopping: Sequence[str] = ()) -> str:
    """The plan as text: the resolved sweep, what it takes, what the store holds, what is left.

    Args:
        stopping: lines about what stopping saves, which search.savings knows.
    """
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
    lines += ["stopping", *(f"  {line}" for line in stopping), ""] if stopping else []
    lines += [f"note: {note}" for note in (*spec.notes, *hopeless_settings(spec))]
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
    yield _line(spec, "protocol", f"{spec.protocol}: {_protocol(spec)}")
    direction = "highest" if spec.objective.direction == "max" else "lowest"
    yield _line(spec, "objective.metric", f"{spec.objective.metric} on validation, {direction}")
    cells = f": {_count(count_settings(spec.space) or 0, 'cell')}" if spec.sampler.name == "grid" else ""
    yield _line(spec, "sampler.name", spec.sampler.name + cells)
    if spec.sampler.name in ("tpe", "gp"):
        yield _line(spec, "sampler.startup", spec.sampler.startup)
    yield _line(spec, "stopping.name", spec.stopping.name)
    if spec.stopping.name != "none":
        yield _line(spec, "stopping.value", spec.stopping.value)
        yield _line(spec, "stopping.first_rung", spec.stopping.first_rung)
    for name, limit in spec.constraints.limits().items():
        yield _line(spec, f"constraints.{name}", f"at most {limit:,}")
    for name, own in spec.company.items():
        setting = ", ".join(f"{key}={show(value)}" for key, value in own.items())
        yield f"company.{name}", setting, _source(spec, f"company.{name}")
    yield _line(spec, "seeds.run", spec.seeds.run)
    yield _line(spec, "seeds.order", spec.seeds.order)
    yield _line(spec, "precision", spec.precision)


def _protocol(spec: SweepSpec) -> str:
    """What chooses and where the choice is measured, in a clause."""
    chosen, measured = spec.course("search"), spec.course("confirm")
    if spec.protocol.kind == "published":
        return "nothing is chosen"
    if chosen.benchmark != measured.benchmark:
        return f"chosen on {chosen.benchmark}, confirmed on {measured.benchmark}"
    if chosen.part is not None:
        return f"chosen on the first {_count(chosen.tasks, 'task')}, confirmed on the other {measured.tasks} alone"
    if chosen.limit is not None:
        return f"chosen on the first {_count(chosen.tasks, 'task')}, confirmed on all {measured.tasks}"
    return "chosen by validation of the whole sequence"


def _space(spec: SweepSpec) -> Iterator[Line]:
    for parameter in spec.space:
        condition = f"; only where {parameter.condition_text()}" if parameter.when else ""
        value = f"{parameter.range_text()}{condition}; published {show(parameter.published)}"
        yield parameter.name, value, _range_source(spec, parameter)


def _source(spec: SweepSpec, path: str) -> str:
    """The layers that had a say in what is below a key."""
    return ", ".join(dict.fromkeys(source for key, source in spec.sources.items() if key.startswith(f"{path}.")))


def _range_source(spec: SweepSpec, parameter: Parameter) -> str:
    path = f"space.{parameter.name}"
    published = spec.sources.get(f"{path}.published") or _default_source(spec.method, parameter.name)
    return f"range: {_source(spec, path)}; published: {published}"


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
    for name, limit in vars(spec.budget).items():
        if limit is not None:
            yield _line(spec, f"budget.{name}", f"{limit:g}, of the search")
    yield _line(spec, "race.top", spec.race.top)
    yield _line(spec, "race.pairs", spec.race.pairs)
    yield _line(spec, "race.level", f"{spec.race.level:g}")
    yield _line(spec, "confirm.pairs", spec.confirm.pairs)
    yield _line(spec, "confirm.claim", "yes" if spec.confirm.claim else "no")
    for name, number in vars(spec.table).items() if spec.table.pairs else ():
        yield _line(spec, f"table.{name}", number)
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
    if spec.race.top and not afterwards.racing(spec):
        yield "race:    none, there is nothing to race against"
    elif spec.race.top:
        yield (
            f"race:    {_count(afterwards.racing(spec), 'trial')} (the best, the published) x up to "
            f"{_count(spec.race.pairs, 'fresh seed pair')} x {_count(plan.tasks, 'stage')}"
            f" = at most {_count(plan.race_stages, 'stage')}, validation only"
        )
    if spec.table.pairs:
        yield from _table_work(plan)
    if not spec.confirm.pairs:
        yield "confirm: none (confirm.pairs=0)"
        return
    settings = afterwards.confirmed(spec)
    named = ", ".join(["the best, the published", *spec.company])
    who = f"{settings} settings ({named})" if settings > 1 else "1 setting"
    yield (
        f"confirm: {who} x {_count(spec.confirm.pairs, 'fresh seed pair')} x {_count(plan.confirm_tasks, 'stage')}"
        f" = {_count(plan.confirm_stages, 'stage')}"
    )
    claim = "one paired t test" if spec.confirm.claim else "none, mean and interval only"
    yield f"claim:   {claim}, the best against the published{_fixed_before(plan)}"


def _fixed_before(plan: Plan) -> str:
    """What an earlier verdict has settled of the claim, where it says something else than what is asked now."""
    latest, asked = plan.latest, plan.spec.confirm
    if latest is None or (latest.claim, latest.confirm_pairs) == (asked.claim, asked.pairs):
        return ""
    pairs = _count(latest.confirm_pairs, "pair")
    claim = f"a claim on {pairs}" if latest.claim else f"{pairs} and no claim"
    return f" (of trial {latest.winner.trial}, the winner so far, {claim} were fixed before, and that stands)"


def _table_work(plan: Plan) -> Iterator[str]:
    spec = plan.spec
    further = f"{_count(spec.trials, 'trial')} x {_count(spec.table.pairs - 1, 'further seed pair')}"
    number = afterwards.dense(spec, spec.trials)
    more = f", {number} of them (the published, the best) x {afterwards.dense_pairs(spec)} more" if number else ""
    yield (
        f"table:   {further}{more}, x {_count(plan.tasks, 'stage')} = {_count(plan.table_stages, 'stage')}, "
        "validation only"
    )
    how = f"learned again (keep: {spec.keep})" if plan.analysis_learns else "evaluated from their checkpoints"
    yield f"         test rows of all {_count(plan.analysis_stages, 'stage')} for the audit, {how}"


def _holdings(plan: Plan) -> Iterator[str]:
    held = plan.held
    if not held.known and not held.trials:
        yield "nothing of this sweep yet"
        return
    claimed = sum(held.trials.values())
    states = {"complete": "complete", "pruned": "stopped early", "failed": "failed", "running": "without outcome"}
    counts = ", ".join(f"{held.trials.get(status, 0)} {text}" for status, text in states.items())
    yield f"{_count(claimed, 'trial')} claimed: {counts}"
    race = f", {_count(held.race_stages, 'race stage')}" if held.race_stages else ""
    confirm = _count(held.confirm_stages, "confirm stage")
    if plan.spec.table.pairs:
        race = f", {_count(held.race_stages, 'table stage')}"
        confirm = _count(held.analysis_stages, "analysis stage")
    yield f"rows of {_count(held.search_stages, 'search stage')}{race} and {confirm}"
    for cause in held.causes:
        yield f"failed: {cause}"
    if plan.spent.attempts:
        yield f"spent: {spending_text(plan.spent)}"


def _left(plan: Plan) -> Iterator[str]:
    spec = plan.spec
    # Half of it where the published setting turns out to be the best.
    at_most = "at most " if spec.space and plan.confirm_left else ""
    confirm = f"{at_most}{_count(plan.confirm_left, 'confirm stage')}"
    race = f", at most {_count(plan.race_left, 'race stage')}" if plan.race_left else ""
    if spec.table.pairs:
        yield from _table_left(plan)
    else:
        yield f"{_count(plan.search_left, 'search stage')}{race} and {confirm} to learn"
    if plan.reusable is not None:
        known = plan.reusable.search + plan.reusable.later
        asked = f"{known:,} of the {plan.reusable.asked:,} whose settings are known now" if known else "none"
        yield f"stages known from the store: {asked}"
    guess = "" if plan.parallel_is_asked else " (by this machine's processors; a cluster decides for itself)"
    yield f"concurrency: {_count(plan.parallel, 'trial')} at a time{guess}"
    yield from _cost(plan)
    yield from _budget(plan)
    if plan.bytes_left is None:
        yield f"checkpoints: the size of '{spec.backbone}' is not known before it is loaded"
    else:
        at_most = "" if not spec.space else "at most "
        yield f"checkpoints: {at_most}about {size_text(plan.bytes_left)} (keep: {spec.keep}); rows: some kB a stage"


def _table_left(plan: Plan) -> Iterator[str]:
    at_most = "at most " if plan.search_left else ""  # trials that fail are not in it
    search, table = _count(plan.search_left, "search stage"), f"{at_most}{_count(plan.table_left, 'table stage')}"
    analysis = f"{at_most}{_count(plan.analysis_left, 'analysis stage')}"
    if plan.analysis_learns:
        yield f"{search}, {table} and {analysis} to learn"
        return
    yield f"{search} and {table} to learn"
    yield f"{analysis} to evaluate, which the time below leaves out"


def _cost(plan: Plan) -> Iterator[str]:
    cost = plan.cost
    if cost is None or plan.seconds_left is None or plan.gpu_hours_left is None:
        yield "time: no measurement yet; after the first complete trial an estimate appears here"
        return
    where = "this sweep" if cost.sweep == plan.spec.name else f"sweep {cost.sweep}, which learns the same"
    trials = _count(cost.trials, "complete trial")
    yield f"time: about {duration(plan.seconds_left)} (median {cost.seconds:.2g} s a stage over {trials} of {where})"
    if cost.differing:
        yield f"  its fixed settings differ (there -> here): {'; '.join(cost.differing)}"
    if plan.spec.gpus_per_worker:
        yield f"GPU-hours: about {hours_text(plan.gpu_hours_left)}"


def _budget(plan: Plan) -> Iterator[str]:
    budget, search = plan.spec.budget, plan.search_spent
    for name, limit, spent in (
        ("hours", budget.hours, search.hours),
        ("gpu_hours", budget.gpu_hours, search.gpu_hours),
    ):
        if limit is not None:
            yield f"budget.{name}: {hours_text(spent)} of {limit:g} spent by the search"
    gone = exhausted(budget, search)
    if gone is not None:
        yield f"  {gone} is spent: no new trial of the search starts"
    elif plan.affordable is not None and plan.affordable < plan.search_left:
        yield f"  it ends the search early, after about {plan.affordable:,} of these {plan.search_left:,} stages"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
