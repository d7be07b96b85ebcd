"""The keys of a sweep file: their types, defaults and places; and the error for a key that does not exist."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clsearch.errors import UsageError, nearest
from clsearch.spec.parameters import PARAMETER_KEYS
from clsearch.spec.settings import acts, fields

# The metrics that may choose a setting, and which way is better.
OBJECTIVES: dict[str, Literal["max", "min"]] = {
    "final_acc_micro": "max",
    "final_acc_macro": "max",
    "aaa_micro": "max",
    "aaa_macro": "max",
    "transfer": "max",
    "average": "max",
    "last": "max",
    "bwt": "max",
    "forgetting": "min",
}
# These read accuracies on tasks that are not learned yet, which a class-incremental sequence does not have.
NEED_FUTURE_TASKS = ("transfer", "average")
SAMPLERS = ("tpe", "gp", "random", "grid", "sobol")
STOPPINGS = ("none", "guarded")
RUNNERS = ("process", "train")
PRECISIONS = ("float32", "float64")
KEEPS = ("all", "last", "none")
_MOST_SEED = 2**32 - 1  # what numpy's RandomState takes

REQUIRED = object()
_KINDS: dict[str, tuple[str, type[str | int | float]]] = {
    "flag": ("true or false", bool),
    "text": ("a text", str),
    "whole": ("a whole number", int),
    "number": ("a number", float),
}


@dataclass(frozen=True)
class Key:
    """A plain key: `path` with dots, the type of its value, its default, and what the value may be."""

    path: str
    kind: Literal["text", "whole", "number", "flag"]
    default: Any = REQUIRED
    among: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    def read(self, value: Any, where: str) -> Any:
        """`value` as this key's type; raises UsageError naming `where` and the key. None may stand for None."""
        if value is None and self.default is None:
            return None
        if self.kind == "number" and type(value) is int:
            value = float(value)
        name, wanted = _KINDS[self.kind]
        if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool) or value == "":
            raise UsageError(f"{where}: {self.path} must be {name}, not {value!r}")
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            if self.among and value not in self.among:
                raise UsageError(f"{where}: {self.path} cannot be '{value}': {nearest(value, self.among)}")
            return value
        if not math.isfinite(value):
            raise UsageError(f"{where}: {self.path} must be a finite number, not {value!r}")
        if self.least is not None and value < self.least:
            raise UsageError(f"{where}: {self.path} must be at least {self.least:g}, not {value!r}")
        if self.most is not None and value > self.most:
            raise UsageError(f"{where}: {self.path} must be at most {self.most:g}, not {value!r}")
        return value


KEYS: dict[str, Key] = {
    key.path: key
    for key in (
        Key("name", "text", None),
        Key("profile", "text", None),
        Key("method", "text"),
        Key("backbone", "text"),
        Key("benchmark", "text"),
        Key("protocol", "text", "end_of_sequence"),  # spec.protocols reads it further
        Key("objective.metric", "text", among=tuple(OBJECTIVES)),
        Key("sampler.name", "text", "tpe", among=SAMPLERS),
        Key("sampler.startup", "whole", 10, least=1),
        Key("seeds.run", "whole", 0, least=0, most=_MOST_SEED),
        Key("seeds.order", "whole", 0, least=0, most=_MOST_SEED),
        Key("precision", "text", "float32", among=PRECISIONS),
        Key("trials", "whole", least=1),
        Key("stopping.name", "text", "none", among=STOPPINGS),
        Key("stopping.value", "text", "so_far", among=("so_far", "extrapolated")),
        Key("stopping.first_rung", "whole", 2, least=2),
        Key("constraints.trained_parameters", "whole", None, least=0),
        Key("constraints.stored_parameters", "whole", None, least=0),
        Key("constraints.memory_gb", "number", None, least=0.0),
        Key("budget.hours", "number", None, least=0.0),
        Key("budget.gpu_hours", "number", None, least=0.0),
        Key("race.top", "whole", 0, least=0),
        Key("race.pairs", "whole", 0, least=0),
        Key("race.level", "number", 0.05, least=1e-6, most=0.5),
        Key("confirm.pairs", "whole", 0, least=0),
        Key("confirm.claim", "flag", None),
        Key("table.pairs", "whole", 0, least=0),
        Key("table.dense", "whole", 0, least=0),
        Key("table.dense_pairs", "whole", 0, least=0),
        Key("runner", "text", "process", among=RUNNERS),
        Key("resources.workers", "whole", 1, least=1),
        Key("resources.cpus", "number", 1.0, least=0.01),
        Key("resources.gpus", "number", 0.0, least=0.0),
        Key("max_parallel", "whole", None, least=1),
        Key("storage", "text", None),
        Key("keep", "text", "all", among=KEEPS),
    )
}
FREE_SECTIONS = ("settings", "space", "eval_grid", "company")


def sections() -> dict[str, tuple[str, ...]]:
    """The fixed mappings of a sweep file and the keys in each, such as objective: metric."""
    result: dict[str, tuple[str, ...]] = {}
    for path in KEYS:
        section, _, key = path.partition(".")
        if key:
            result[section] = (*result.get(section, ()), key)
    return result


def children(path: tuple[str, ...], method: str) -> tuple[str, ...] | None:
    """The keys that may stand below `path` in a sweep of this method, or None where a value stands."""
    if not path:
        return (*dict.fromkeys(key.partition(".")[0] for key in KEYS), *FREE_SECTIONS)
    if path[0] == "company":  # any name, and under it a setting
        return ANY_NAME if len(path) == 1 else tuple(fields(method)) if len(path) == 2 else None
    if len(path) == 1 and path[0] in FREE_SECTIONS:
        return tuple(fields(method))
    if len(path) == 2 and path[0] == "space":
        return PARAMETER_KEYS
    return sections().get(path[0]) if len(path) == 1 else None


class _AnyName(tuple[str, ...]):
    """The keys of a mapping whose keys are the user's to name."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


ANY_NAME = _AnyName()


def check_path(path: tuple[str, ...], method: str, where: str) -> None:
    """Raises UsageError naming the nearest valid key where `path` does not exist in a sweep of this method."""
    for depth, name in enumerate(path):
        valid, parent = children(path[:depth], method), ".".join(path[:depth])
        if valid is None:
            raise UsageError(f"{where}: '{parent}' holds a value and has no key '{name}'")
        if name not in valid:
            raise UsageError(f"{where}: unknown key '{'.'.join(path)}': {_nearest_path(path, depth, valid, method)}")


def _nearest_path(path: tuple[str, ...], depth: int, valid: tuple[str, ...], method: str) -> str:
    if path[0] == "eval_grid":  # `reading` refuses what acts in training, so it is no help here
        valid = tuple(name for name in valid if acts(method, name) != "train")
    if depth:
        parent = ".".join(path[:depth])
        return nearest(f"{parent}.{path[depth]}", [f"{parent}.{name}" for name in valid])
    # A bare name that exists deeper (`pairs`, `temperature`) is best answered with the places where it exists.
    deeper = [dotted for dotted in all_paths(method) if dotted.endswith(f".{path[0]}")]
    if deeper:
        return f"did you mean {' or '.join(map(repr, deeper))}?"
    return nearest(path[0], valid)


def all_paths(method: str) -> Iterator[str]:
    """Every key of a sweep of this method, with dots; a range by its parameter's name."""
    yield from KEYS
    for name in fields(method):
        yield f"settings.{name}"
        yield f"{'eval_grid' if acts(method, name) == 'eval' else 'space'}.{name}"


def check_tree(tree: Mapping[str, Any], method: str, where: str, path: tuple[str, ...] = ()) -> None:
    """Raises UsageError for the first key of a nested mapping that does not exist, or that should hold a mapping."""
    for name, value in tree.items():
        here = (*path, name)
        check_path(here, method, where)
        if children(here, method) is None or value is None:
            continue
        if not isinstance(value, Mapping):
            raise UsageError(f"{where}: '{'.'.join(here)}' must be a mapping of keys to values, not {value!r}")
        check_tree(value, method, where, here)
