"""One searched parameter: its range, its published value, when it acts, and its name towards Optuna and the rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from clsearch.errors import UsageError, nearest
from clsearch.spec.keys import canonical_json
from clsearch.spec.settings import Acts, acts, coerce, field_type, fields

Kind = Literal["float", "int", "choice"]
PARAMETER_KEYS = ("low", "high", "log", "step", "choices", "published", "if")


@dataclass(frozen=True)
class Parameter:
    """A parameter of the search space: a range of numbers (`low` to `high`, both included) or named choices.

    `when` is its condition: (other parameter, labels) for each other parameter that must have one of some values; the
    parameter is active where all of them do (spec.conditions). Empty: always.
    """

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
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()

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

    @property
    def size(self) -> int | None:
        """How many values it can take; None for a range without steps between them."""
        if self.low is None or self.high is None:
            return len(self.choices)
        step = self.step or (1 if self.type == "int" else None)
        return None if step is None else round((self.high - self.low) / step) + 1

    def nth(self, position: int) -> Any:
        """The value at a position from 0, of a parameter that has a `size`."""
        if self.low is None or self.high is None:
            return self.choices[position]
        return min(self.high, self.low + (self.step or 1) * position)

    def place(self, value: Any) -> Any:
        """What tells a value from the others: its position where there is a `size`, else the value itself.

        Two floats on the same step are the same value, however they were computed.
        """
        if self.low is None:
            return self.choices.index(value)
        return value if self.size is None else round((value - self.low) / (self.step or 1))

    def at(self, share: float) -> Any:
        """The value at a share in [0, 1) of the range (of its logarithm where `log`), all values equally wide."""
        if self.low is None or self.high is None:
            return self.choices[int(share * len(self.choices))]
        if self.step is not None or (self.type == "int" and not self.log):
            return self.nth(int(share * (self.size or 1)))
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

    def condition_text(self) -> str:
        """When the parameter is active, in a few words; empty where it always is."""
        parts = [
            f"{other} is {show(labels[0])}" if len(labels) == 1 else f"{other} is one of {', '.join(map(show, labels))}"
            for other, labels in self.when
        ]
        return " and ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """What belongs to the identity of a sweep; `parameter_from_json` is the inverse."""
        facts: dict[str, Any] = {"type": self.type, "published": self.published}
        if self.when:
            facts["if"] = {other: list(labels) for other, labels in self.when}
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
    """The parameter that a space's entry describes, without its condition (spec.conditions reads `if`).

    Raises UsageError naming `where` and the key.

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


def parameter_from_json(method: str, name: str, facts: Mapping[str, Any]) -> Parameter:
    """The parameter that the identity of a stored sweep describes; raises UsageError for a value it cannot have."""
    where = f"stored space.{name}"

    def typed(value: Any) -> Any:
        return coerce(method, name, value, where)

    when = tuple((other, tuple(labels)) for other, labels in sorted(facts.get("if", {}).items()))
    parameter = Parameter(name, facts["type"], acts(method, name), typed(facts["published"]), when=when)
    if parameter.type == "choice":
        choices = tuple(map(typed, facts["choices"]))
        return replace(parameter, choices=choices, labels=tuple(facts["labels"]))
    low, high = typed(facts["low"]), typed(facts["high"])
    return replace(parameter, low=low, high=high, log=facts["log"], step=facts["step"])


def stated_value(method: str, parameter: Parameter, given: Any, where: str) -> Any:
    """The value that a label or a value stands for; raises UsageError naming `where` if it has no such value."""
    for label, value in zip(parameter.labels, parameter.choices, strict=True):
        if type(label) is type(given) and label == given:
            return value
    if isinstance(given, str) and any(isinstance(label, str) for label in parameter.labels):
        raise UsageError(f"{where}: there is no choice '{given}': {nearest(given, map(str, parameter.labels))}")
    value = coerce(method, parameter.name, given, where)
    if not parameter.contains(value):
        raise UsageError(f"{where}: {show(value)} is not in {parameter.range_text()}")
    return value


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
