"""What a store says, without times, hosts and who wrote it: what must be the same however often a sweep was killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clsearch.results.rows import decode

_COLUMNS = ("task_learned", "task_evaluated", "split", "eval_setting", "correct", "count", "stage_key", "setting")


def facts(objects: Mapping[str, bytes]) -> dict[str, Any]:
    """Rows, claimed settings, outcomes and verdicts, by path."""
    found: dict[str, Any] = {}
    for path, data in objects.items():
        if path.startswith("rows/"):
            found[path] = decode(data, path, _COLUMNS).to_pylist()
        elif path.endswith("/claim.json"):
            found[path] = json.loads(data)["setting"]
        elif path.endswith("/outcome.json"):
            outcome = json.loads(data)
            found[path] = [outcome[name] for name in ("status", "objective", "eval_setting", "objectives")]
        elif path.startswith("verdicts/"):
            found[path] = {name: value for name, value in json.loads(data).items() if name != "written_at"}
    return found
