"""What a sweep file, its profile and the command line say together, and who said what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clsearch.errors import UsageError
from clsearch.spec.schema import FREE_SECTIONS, KEYS
from clsearch.spec.text import parse_text

_RANGE_KEYS = ("low", "high", "log", "step")


@dataclass
class Layers:
    """The merged tree, and for each key (with dots) the layer its value came from: yaml, profile <name>, override."""

    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Mapping[str, Any], source: str) -> None:
        """Lay `layer` over what is there.

        Mappings merge and values replace. In settings, space and eval_grid `null` takes an entry away. A parameter's
        choices replace its range as a whole, and a range its choices.
        """
        self._merge(self.tree, layer, (), source)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], path: tuple[str, ...], source: str) -> None:
        for name, value in above.items():
            here = (*path, name)
            if value is None and here[0] in FREE_SECTIONS and len(here) <= 2:
                self._forget(below, name, here)
            elif isinstance(value, Mapping) and not _is_value(here):
                if here[0] == "space" and len(here) == 2:
                    self._clear_other_kind(below.get(name, {}), value, here)
                self._merge(below.setdefault(name, {}), value, here, source)
            else:
                below[name] = value
                self.sources[".".join(here)] = source

    def _forget(self, below: dict[str, Any], name: str, here: tuple[str, ...]) -> None:
        below.pop(name, None)
        dotted = ".".join(here)
        for key in [key for key in self.sources if key == dotted or key.startswith(dotted + ".")]:
            del self.sources[key]

    def _clear_other_kind(self, below: dict[str, Any], above: Mapping[str, Any], here: tuple[str, ...]) -> None:
        if "choices" in above:
            gone: tuple[str, ...] = _RANGE_KEYS
        else:
            gone = ("choices",) if any(key in above for key in _RANGE_KEYS) else ()
        for key in gone:
            if key in below and key not in above:
                self._forget(below, key, (*here, key))


def _is_value(path: tuple[str, ...]) -> bool:
    """Whether a mapping at this place is a value of its own (named choices) and is not merged into."""
    return len(path) == 3 and path[0] == "space"


@dataclass(frozen=True)
class Override:
    """One `key=value` of the command line."""

    path: tuple[str, ...]
    value: Any
    text: str


def parse_overrides(texts: Sequence[str]) -> list[Override]:
    """The overrides of a command line, in order; raises UsageError for a malformed or repeated one.

    A value is read as a YAML scalar or flow list (`1e-3`, `true`, `[0, 0.2]`, `null`); that of a key which holds a text
    is taken as it stands.
    """
    result: dict[tuple[str, ...], Override] = {}
    for text in texts:
        dotted, equals, raw = text.partition("=")
        path = tuple(dotted.split("."))
        if not equals or not all(path):
            raise UsageError(f"'{text}' is not an override: write key=value")
        if path in result:
            raise UsageError(f"override '{dotted}' is given twice")
        result[path] = Override(path, _value(dotted, raw), text)
    return list(result.values())


def _value(dotted: str, raw: str) -> Any:
    key = KEYS.get(dotted)
    if key is None or key.kind != "text":
        if not raw.strip():
            raise UsageError(f"override '{dotted}=' has no value (null takes a setting away)")
        return parse_text(raw, f"override '{dotted}={raw}'")
    return None if key.default is None and raw in ("", "null", "none") else raw


def as_tree(overrides: Sequence[Override]) -> dict[str, Any]:
    """The overrides as one nested mapping; raises UsageError where one names a key inside another's value."""
    tree: dict[str, Any] = {}
    for override in overrides:
        place = tree
        for name in override.path[:-1]:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise UsageError(f"override '{override.text}' contradicts another override of '{name}'")
        if override.path[-1] in place:
            raise UsageError(f"override '{override.text}' contradicts another override below it")
        place[override.path[-1]] = override.value
    return tree
