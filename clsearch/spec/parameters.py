"""One searched parameter: its range, its published value, when it acts, and its name towards Optuna and the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from clsearch.errors import UsageError, nearest
from clsearch.spec.keys import canonical_json
from clsearch.spec.settings import Acts, acts, coerce, field_type, fields

Kind = Literal["float", "int", "choice"]
PARAMETER_KEYS = ("low", "high", "log", "step", "choices", "published")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the search space: a range of numbers (`low` to `high`, both included) or named choices."""

    name: str
    type: Kind
    acts: Acts
    published: Any
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    step: float | int | None = None
    choices: tuple[Any, ...] = ()
    labels: tuple[Any, ...] = ()  # what Optuna sees of each choice: the value itself, or the name of a named list

    def contains(self, value: Any) -> bool:
        """Whether `value`, of the parameter's own type, can be proposed."""
        if self.low is None or self.high is None:
            return value in self.choices
        if not self.low <= value <= self.high:
            return False
        return self.step is None or _on_grid(value, self.low, self.step)

    def label(self, value: Any) -> Any:
        """What Optuna sees for `value`: the name of a named list, else the value itself."""
        return self.labels[self.choices.index(value)] if self.type == "choice" else value

    def value(self, label: Any) -> Any:
        """The setting that a label stands for; the inverse of `label`."""
        return self.choices[self.labels.index(label)] if self.type == "choice" else label

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the range (of its logarithm where `log`), all values equally wide."""
        if self.low is None or self.high is None:
            return self.choices[int(share * len(self.choices))]
        if self.step is not None or (self.type == "int" and not self.log):
            step = self.step or 1
            return self.low + step * int(share * (round((self.high - self.low) / step) + 1))
        if self.type == "int":
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            return min(int(self.high), max(int(self.low), round(math.exp(low + share * (high - low)))))
        if self.log:
            return min(self.high, self.low * (self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def range_text(self) -> str:
        """The range in a few words, for people."""
        if self.type == "choice":
            named = zip(self.labels, self.choices, strict=True)
            texts = [show(v) if label == v else f"{label} {show(v)}" for label, v in named]
            return "one of " + ", ".join(texts)
        step = f", step {show(self.step)}" if self.step is not None else ""
        return f"{show(self.low)} .. {show(self.high)}{', log' if self.log else ''}{step}"

    def to_json(self) -> dict[str, Any]:
        """What belongs to the identity of a sweep."""
        facts: dict[str, Any] = {"type": self.type, "published": self.published}
        if self.type == "choice":
            return facts | {"choices": list(self.choices), "labels": list(self.labels)}
        return facts | {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


def show(value: Any) -> str:
    """A value as people write it: lists in brackets, floats in their shortest form."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(show, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def column_value(value: Any) -> Any:
    """A setting's value as a row column holds it: a list as its JSON text, all else as it is."""
    return canonical_json(value) if isinstance(value, (list, tuple)) else value


def read_parameter(method: str, name: str, given: Any, where: str) -> Parameter:
    """The parameter that a space's entry describes; raises UsageError naming `where` and the key.

    `given` has either `low` and `high` (numbers; with `log`, `step`), or `choices`: a list, or a mapping of names to
    values. Its `published` value is the method's default unless it states one, and must lie in the range.
    """
    known = {field for field in fields(method) if acts(method, field) != "eval"}
    if name not in fields(method):
        raise UsageError(f"{where}: space.{name}: method '{method}' has no such setting: {nearest(name, known)}")
    if name not in known:
        raise UsageError(f"{where}: space.{name} acts only at evaluation: put its values under 'eval_grid'")
    where = f"{where}: space.{name}"
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} must be a mapping with low and high, or with choices, not {given!r}")
    for key in given:
        if key not in PARAMETER_KEYS:
            raise UsageError(f"{where}: unknown key '{key}': {nearest(key, PARAMETER_KEYS)}")
    published = coerce(method, name, given.get("published", fields(method)[name].default), f"{where}.published")
    reader = _read_choices if "choices" in given else _read_range
    parameter = reader(method, name, given, published, where)
    if not parameter.contains(published):
        raise UsageError(
            f"{where}: the published value {show(published)} is not in {parameter.range_text()}: "
            "widen the range or state another 'published'"
        )
    return parameter


def _read_choices(method: str, name: str, given: Mapping[str, Any], published: Any, where: str) -> Parameter:
    for key in ("low", "high", "log", "step"):
        if given.get(key) is not None:
            raise UsageError(f"{where} has both 'choices' and '{key}': state a range or choices")
    listed = given["choices"]
    if not isinstance(listed, (list, Mapping)) or not listed:
        raise UsageError(f"{where}.choices must be a list, or a mapping of names to values, that is not empty")
    values = listed.values() if isinstance(listed, Mapping) else listed
    choices = tuple(coerce(method, name, value, f"{where}.choices") for value in values)
    if len(set(choices)) < len(choices):
        raise UsageError(f"{where}.choices has a value twice")
    labels = tuple(listed) if isinstance(listed, Mapping) else choices
    if any(isinstance(label, tuple) for label in labels):
        raise UsageError(f"{where}.choices are lists: name them, as in 'choices: {{small: [2, 4]}}'")
    return Parameter(name, "choice", acts(method, name), published, choices=choices, labels=labels)


def _read_range(method: str, name: str, given: Mapping[str, Any], published: Any, where: str) -> Parameter:
    wanted = field_type(method, name)
    if wanted not in (float, int):
        raise UsageError(f"{where} is not a number: state its 'choices'")
    for key in ("low", "high"):
        if given.get(key) is None:
            raise UsageError(f"{where}: '{key}' is missing: state low and high, or choices")
    low = coerce(method, name, given["low"], f"{where}.low")
    high = coerce(method, name, given["high"], f"{where}.high")
    if low >= high:
        raise UsageError(f"{where} is empty: low {show(low)} is not below high {show(high)}")
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise UsageError(f"{where}.log must be true or false, not {log!r}")
    if log and low <= 0:
        raise UsageError(f"{where}: a log range needs low above 0, not {show(low)}")
    step = _read_step(wanted, given.get("step"), where)
    if step is not None and (log or not _on_grid(high, low, step)):
        raise UsageError(
            f"{where}.step: " + ("a log range has no step" if log else "high must be low plus whole steps")
        )
    kind: Kind = "float" if wanted is float else "int"
    return Parameter(name, kind, acts(method, name), published, low, high, log, step)


def _read_step(wanted: type, step: Any, where: str) -> float | int | None:
    if step is None:
        return None
    number = float(step) if wanted is float and isinstance(step, int) else step
    if not isinstance(number, (float, int)) or type(number) is not wanted or not 0 < number < math.inf:
        raise UsageError(f"{where}.step must be a number above 0 of the parameter's type, not {step!r}")
    return number


def _on_grid(value: float, low: float, step: float) -> bool:
    steps = (value - low) / step
    return abs(steps - round(steps)) < 1e-8
