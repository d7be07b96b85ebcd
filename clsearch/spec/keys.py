"""What makes a stage the same stage: canonical JSON, the key of a stage, the hash of an eval setting."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Raised when the learning engine (optimisation, sampling of batches, evaluation) changes its numbers.
ENGINE_NUMERICS = 1


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no blanks, floats by their shortest exact form, tuples as lists.

    An integer and a float of equal value stay different (`1`, `1.0`): coerce types first. Raises ValueError for NaN
    and infinities and TypeError for keys that are not texts and for whatever JSON does not know, such as numpy scalars.
    """
    _check_keys(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _check_keys(value: Any) -> None:
    # json would turn the keys 1 and True into texts of their own, and two different values into one text.
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a text")
            _check_keys(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_keys(item)


def digest(value: Any) -> str:
    """SHA-256 of the value's canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def stage_key(parent: str | None, facts: Mapping[str, Any]) -> str:
    """The key of a stage: a hash of its parent's key, the engine's numerics, and the facts that act on this task."""
    return digest({"engine": ENGINE_NUMERICS, "facts": dict(facts), "parent": parent})


def eval_hash(eval_setting: Mapping[str, Any]) -> str:
    """A short name of an eval setting, 12 hexadecimal digits."""
    return digest(dict(eval_setting))[:12]
