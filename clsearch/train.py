"""Learn one sequence in this process, without Ray: the debugger's door.

    python -m clsearch.train METHOD BENCHMARK [key=value ...]

Keys are the method's settings (`learning_rate=1e-3`), settings of the run (see RUN_KEYS), and `storage=`. The accuracy
matrix is printed at the end; rows go to the store under the sweep `train`, named after what was asked.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.spec.keys import ENGINE_NUMERICS, canonical_json, digest
from clsearch.spec.layers import parse_overrides
from clsearch.spec.settings import acts, coerce, fields, method_settings

USAGE = "usage: python -m clsearch.train METHOD BENCHMARK [key=value ...]"


@dataclass(frozen=True)
class Run:
    """The settings of a run that are not the method's."""

    backbone: str = ""
    run_seed: int = 0
    order_seed: int = 0
    tasks: int | None = None
    precision: str = "float32"
    threads: int = 0  # of torch; 0: as many as torch chooses
    storage: str | None = None
    split: str = "validation"


RUN_KEYS = tuple(Run.__dataclass_fields__)


def main(argv: list[str] | None = None) -> int:
    """Exit code 0, or 2 for what the user must mend."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{USAGE}\nkeys of a run: {', '.join(RUN_KEYS)}")
        return 0 if arguments else EXIT_USAGE
    try:
        if len(arguments) < 2:
            raise UsageError(USAGE)
        learn(arguments[0], arguments[1], *parse(arguments[0], arguments[2:]))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def parse(method: str, texts: list[str]) -> tuple[Run, dict[str, Any]]:
    """The run and the method's settings that `key=value` texts ask for; raises UsageError."""
    run: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    known = fields(method)
    for override in parse_overrides(texts):
        name = ".".join(override.path)
        where = f"'{override.text}'"
        if name in RUN_KEYS:
            run[name] = override.value
        elif name in known:
            settings[name] = coerce(method, name, override.value, where)
        else:
            raise UsageError(f"{where}: unknown key '{name}': {nearest(name, [*known, *RUN_KEYS])}")
    for name, value in run.items():
        wanted = str if name in ("backbone", "precision", "storage", "split") else int
        if type(value) is not wanted:
            raise UsageError(f"'{name}={value}': must be {'a text' if wanted is str else 'a whole number'}")
    for name, valid in (("precision", ("float32", "float64")), ("split", ("validation", "test"))):
        if run.get(name, valid[0]) not in valid:
            raise UsageError(f"'{name}={run[name]}': {nearest(run[name], valid)}")
    return Run(**run), settings


def learn(method: str, benchmark: str, run: Run, settings: dict[str, Any]) -> None:
    """Learn the sequence, with a progress bar, and print its accuracy matrix."""
    from rich.console import Console
    from rich.progress import Progress

    from clsearch.benchmarks.catalogue import benchmark_info
    from clsearch.results.store import open_store

    info = benchmark_info(benchmark)
    backbone = run.backbone or default_backbone(benchmark, info.families)
    store = open_store(run.storage)
    # torch is only imported once everything asked for has a name and a place
    import torch

    from clsearch.learning.request import SequenceRequest
    from clsearch.learning.sequence import run_sequence

    if run.threads:
        torch.set_num_threads(run.threads)
    eval_setting = {name: value for name, value in settings.items() if acts(method, name) == "eval"}
    trained = {name: value for name, value in settings.items() if name not in eval_setting}
    numerics = [ENGINE_NUMERICS, method_settings(method).numerics]
    asked = [method, benchmark, backbone, trained, run.precision, run.tasks, numerics]
    request = SequenceRequest(
        sweep=f"train-{digest(asked)[:8]}", trial=0, phase="analysis" if run.split == "test" else "search",
        protocol="published", method=method, settings=trained, backbone=backbone, benchmark=benchmark,
        order_seed=run.order_seed, run_seed=run.run_seed, eval_settings=(eval_setting,), splits=(run.split,),  # type: ignore[arg-type]
        precision=run.precision, max_tasks=run.tasks, metric="final_acc_micro",  # type: ignore[arg-type]
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        line = bar.add_task(method)
        result = run_sequence(
            request,
            store,
            report=lambda told: console.print(
                f"task {told.task}/{told.tasks_total}: {told.metric:.1f} %"
                f" ({'from the store' if told.reused else f'{told.learn_seconds:.1f} s'})"
            ),
            progress=lambda task, step, steps: bar.update(
                line, description=f"{method}, task {task}", completed=step, total=steps
            ),
        )
    print(f"stages: {result.stages_learned} learned, {result.stages_reused} from the store {store.uri}")
    print_matrix(store, request)


def default_backbone(benchmark: str, families: tuple[str, ...]) -> str:
    """The benchmark's usual network: pocket and nano have their own, CLIP where only CLIP can answer."""
    family = "clip" if families == ("clip",) else "vit"
    for size in ("pocket", "nano"):
        if benchmark.startswith(size):
            return f"{size}_{family}"
    return "clip_vit_b16_openai" if family == "clip" else "vit_base_patch16_224.augreg_in21k_ft_in1k"


def print_matrix(store: Any, request: Any) -> None:
    """The accuracy matrix (%), a row per task learned and a column per task evaluated."""
    rows = store.read_rows(
        request.sweep,
        phase=request.phase,
        order_seed=request.order_seed,
        run_seed=request.run_seed,
        eval_setting=canonical_json(request.eval_settings[0]),
    ).to_pylist()
    total = max(row["task_learned"] for row in rows)
    cells = {
        (row["task_learned"], row["task_evaluated"]): f"{100 * row['correct'] / row['count']:6.1f}" for row in rows
    }
    print(f"accuracy (%) on {request.splits[0]}, after task (down) on task (across)")
    print("      " + "".join(f"{i:>7}" for i in range(1, total + 1)))
    for t in range(1, total + 1):
        print(f"{t:>5} " + "".join(f"{cells.get((t, i), ''):>7}" for i in range(1, total + 1)))


if __name__ == "__main__":
    sys.exit(main())
