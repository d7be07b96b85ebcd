"""One name, one sweep: the identity a store holds under a name, and the refusal of another under the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clsearch.errors import UsageError
from clsearch.results.store import Store
from clsearch.spec.parameters import show
from clsearch.spec.settings import fields
from clsearch.spec.sweep import SweepSpec, as_json


def check_identity(spec: SweepSpec, store: Store) -> bool:
    """Whether the store knows this sweep already; raises UsageError with the difference if it knows another one."""
    path = store.sweep_path(spec.name)
    try:
        stored = store.get_json(path)
    except FileNotFoundError:
        return False
    lines = difference(stored, _as_of(stored, spec))
    if lines:
        raise UsageError(
            f"sweep '{spec.name}' in {store.uri} was another sweep (stored -> asked): {'; '.join(lines)}. "
            f"Give this one its own name (name={spec.name}_2), or ask again as it was"
        )
    return True


def _as_of(stored: Any, spec: SweepSpec) -> dict[str, Any]:
    """The identity without settings that the method got since `stored` was written and that stand at their default.

    A new setting's default is what the method did before; else the method's `numerics` would have been raised.
    """
    identity = spec.identity()
    known = stored.get("settings", {}) if isinstance(stored, Mapping) else {}
    defaults = {name: as_json(field.default) for name, field in fields(spec.method).items()}
    identity["settings"] = {
        name: value for name, value in identity["settings"].items() if name in known or value != defaults[name]
    }
    return identity


def register(spec: SweepSpec, store: Store) -> None:
    """Write the sweep's identity, once; raises UsageError if the store has another under this name."""
    # Checked also after writing: another driver may have been first.
    if not check_identity(spec, store) and not store.put_json(store.sweep_path(spec.name), spec.identity()):
        check_identity(spec, store)


def difference(stored: Any, asked: Any) -> list[str]:
    """`key: stored -> asked` for each differing key, with dots."""
    return [f"{key}: {before} -> {after}" for key, (before, after) in changes(stored, asked).items()]


def changes(before: Any, after: Any) -> dict[str, tuple[str, str]]:
    """Each key, with dots, whose value differs: how people write the two values, `nothing` where the key is missing."""
    first, second = _leaves(before), _leaves(after)
    return {
        key: (_text(first, key), _text(second, key))
        for key in sorted(first.keys() | second.keys())
        if key not in first or key not in second or not _same(first[key], second[key])
    }


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: leaf
            for name, item in value.items()
            for key, leaf in _leaves(item, f"{path}.{name}" if path else str(name)).items()
        }
    return {path: value}


def _same(before: Any, after: Any) -> bool:
    return type(before) is type(after) and bool(before == after)


def _text(leaves: Mapping[str, Any], key: str) -> str:
    return show(leaves[key]) if key in leaves else "nothing"
