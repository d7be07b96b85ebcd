"""How many trials a cluster can hold at once: from what it can ever be, not from what is up now."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clsearch.errors import UsageError
from clsearch.spec.sweep import SweepSpec

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Machine:
    """A kind of machine: its resources in Ray's names (CPU, GPU, ...) and how many of it there can be."""

    resources: Mapping[str, float]
    count: float = 1


def worker_resources(spec: SweepSpec) -> dict[str, float]:
    """What one worker process of a trial asks of its machine, in Ray's names."""
    resources = {"CPU": float(spec.cpus_per_worker)}
    if spec.gpus_per_worker:
        resources["GPU"] = float(spec.gpus_per_worker)
    return resources


def concurrency(spec: SweepSpec, machines: Sequence[Machine]) -> int:
    """How many trials run at once: what the machines can hold, at most `max_parallel`; at least 1.

    Raises UsageError where not even one trial can ever be placed.
    """
    asked = worker_resources(spec)
    slots = sum(_fits(asked, machine.resources) * machine.count for machine in machines)
    workers = spec.workers if spec.runner == "train" else 1
    if slots < workers:
        raise UsageError(_too_much(asked, workers, machines))
    possible = slots / workers
    wanted = spec.max_parallel or math.inf
    # An autoscaler without a limit leaves only Tune's own: hundreds, not thousands, of live trials per driver.
    return max(1, int(min(possible, wanted, 500)))


def _fits(asked: Mapping[str, float], offered: Mapping[str, float]) -> int:
    """How many workers one machine holds."""
    counts = []
    for name, need in asked.items():
        has = offered.get(name, 0.0)
        if name == "GPU" and need < 1:
            # Ray does not spread a fraction over two devices: of 0.6 GPU, each device holds one.
            counts.append(int(has) * int(1 / need + _ROUNDING))
        elif need > 0:
            counts.append(int(has / need + _ROUNDING))
    return min(counts, default=1_000)


def _too_much(asked: Mapping[str, float], workers: int, machines: Sequence[Machine]) -> str:
    keys = {"CPU": "resources.cpus", "GPU": "resources.gpus"}
    for name, need in asked.items():
        most = max((machine.resources.get(name, 0.0) for machine in machines), default=0.0)
        if need > most:
            return f"{keys[name]}={need:g} asks for more {name}s than any machine of the cluster can have ({most:g})"
    text = " and ".join(f"{need:g} {name}" for name, need in asked.items())
    return f"resources.workers={workers} with {text} each is more than the cluster can ever hold at once"


def cluster_machines() -> list[Machine]:
    """The machines that are up, or the ones the autoscaler may start where it says so and that is more.

    Needs a Ray connection.
    """
    from ray._private.state import state  # the autoscaler's limits have no public name in Ray 2.60

    up = live_machines()
    config = state.get_cluster_config()
    groups = config.node_group_configs if config is not None else []
    could = [
        Machine(dict(group.resources), math.inf if group.max_count < 0 else group.max_count)
        for group in groups
        if group.max_count != 0
    ]
    return could + [Machine(machine.resources) for machine in up if not _listed(machine, could)]


def _listed(machine: Machine, kinds: Sequence[Machine]) -> bool:
    """Whether a live machine is one of the autoscaler's kinds, so that it is not counted twice."""
    return any(
        all(machine.resources.get(name, 0.0) == kind.resources.get(name, 0.0) for name in ("CPU", "GPU"))
        for kind in kinds
    )


def live_machines() -> list[Machine]:
    """The machines that are up now. Needs a Ray connection."""
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [Machine(node["Resources"]) for node in nodes if node["Alive"]]
