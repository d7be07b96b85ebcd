"""What a trial cost, from its rows, and by how much it costs more than its sweep allows."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa


def measured_costs(rows: pa.Table) -> dict[str, float]:
    """Trained and stored parameters at the last task of the rows, and the peak memory of all of them in GB.

    Args:
        rows: of one trial, phase and pair of seeds. What they do not know is left out: stages learned before memory was
            measured have none.
    """
    last = max(rows["task_learned"].to_pylist())
    at = rows["task_learned"].to_pylist().index(last)
    costs = {name: rows[name][at].as_py() for name in ("trained_parameters", "stored_parameters")}
    costs["memory_gb"] = max((value for value in rows["memory_gb"].to_pylist() if value is not None), default=None)
    return {name: value for name, value in costs.items() if value is not None}


def violations(costs: Mapping[str, float], limits: Mapping[str, float]) -> dict[str, float]:
    """By name of each limit that is broken, the excess over it, in its own unit."""
    return {name: costs[name] - limit for name, limit in limits.items() if name in costs and costs[name] > limit}
