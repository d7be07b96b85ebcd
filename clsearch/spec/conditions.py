"""Conditional parameters: which are active in a setting, in which order they are asked, how many settings there are.

A parameter with `if: {other: value or values}` is active where every other one it names is active itself and has one of
the values. Where it is not active it is not proposed, is no part of the trial's setting, and stands at its published
value. A space lists each parameter after those its condition names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clsearch.errors import UsageError, nearest
from clsearch.spec.parameters import Parameter, stated_value

Space = Sequence[Parameter]


def is_active(space: Space, parameter: Parameter, setting: Mapping[str, Any]) -> bool:
    """Whether `parameter` is active beside `setting`, the values of the active parameters before it."""
    known = {other.name: other for other in space}
    return _holds(parameter, known, {name: known[name].place(setting[name]) for name in known.keys() & setting.keys()})


def active_setting(space: Space, values: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of `values`, one for each parameter of the space, without those of inactive parameters."""
    setting: dict[str, Any] = {}
    for parameter in space:
        if is_active(space, parameter, setting):
            setting[parameter.name] = values[parameter.name]
    return setting


def same_setting(space: Space, setting: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two settings have in common exactly where they are the same one: the place of each active value."""
    return tuple(p.place(setting[p.name]) if p.name in setting else None for p in space)


def count_settings(space: Space) -> int | None:
    """How many different settings a space holds; None where a parameter is a range without steps."""
    return sum(ways for _, ways in _shapes(space)) if all(p.size is not None for p in space) else None


def every_setting(space: Space) -> Iterator[dict[str, Any]]:
    """Each setting of a space whose parameters have a size, once, in a fixed order: the last parameter moves first."""

    def walk(at: int, setting: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if at == len(space):
            yield setting
        elif not is_active(space, space[at], setting):
            yield from walk(at + 1, setting)
        else:
            for position in range(space[at].size or 0):
                yield from walk(at + 1, setting | {space[at].name: space[at].nth(position)})

    return walk(0, {})


def read_conditions(
    method: str, space: Space, stated: Mapping[str, Mapping[str, Any]], where: Mapping[str, str]
) -> tuple[Parameter, ...]:
    """The space with its conditions, each parameter after those it depends on, by name otherwise.

    Args:
        stated: the space as the sweep has it: by parameter, the entry that may hold `if`.
        where: by parameter, the file and layer to name in an error.

    Raises:
        UsageError: a condition on a parameter that is not searched, on itself, in a circle, on a value that the other
            parameter cannot take, or one that never holds.
    """
    known = {parameter.name: parameter for parameter in space}
    conditional = [
        replace(
            one, when=_read(method, one, stated[one.name].get("if"), known, f"{where[one.name]}: space.{one.name}.if")
        )
        for one in space
    ]
    ordered = in_order(conditional, where)
    reached = {name for active, _ in _shapes(ordered) for name in active}
    for parameter in ordered:
        if parameter.name not in reached:
            raise UsageError(
                f"{where[parameter.name]}: space.{parameter.name}.if never holds, because of the conditions of what it "
                f"names: {parameter.condition_text()}"
            )
    return ordered


def _read(
    method: str, parameter: Parameter, given: Any, known: Mapping[str, Parameter], where: str
) -> tuple[tuple[str, tuple[Any, ...]], ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"{where} must be a mapping of searched parameters to a value or a list, not {given!r}")
    when = []
    for name, values in sorted(given.items()):
        if name == parameter.name:
            raise UsageError(f"{where}: '{name}' cannot depend on itself")
        if name not in known:
            others = known.keys() - {parameter.name}
            raise UsageError(f"{where}: '{name}' is not searched (it is not under 'space'): {nearest(name, others)}")
        other = known[name]
        if other.size is None:
            raise UsageError(
                f"{where}: '{name}' is a range without steps, which hardly ever has a given value: "
                "a condition needs choices, whole numbers or a step"
            )
        listed = values if isinstance(values, list) else [values]
        if not listed:
            raise UsageError(f"{where}.{name} has no value")
        read = [stated_value(method, other, value, f"{where}.{name}") for value in listed]
        places = sorted({other.place(value) for value in read})
        when.append((name, tuple(other.label(other.nth(place)) for place in places)))
    return tuple(when)


def in_order(space: Space, where: Mapping[str, str] | None = None) -> tuple[Parameter, ...]:
    """Each parameter after those its condition names, by name otherwise; raises UsageError naming a circle."""
    ordered: list[Parameter] = []
    rest = sorted(space, key=lambda parameter: parameter.name)
    while rest:
        waiting = {parameter.name for parameter in rest}
        ready = next((p for p in rest if not any(other in waiting for other, _ in p.when)), None)
        if ready is None:
            circle = _circle({p.name: next(other for other, _ in p.when if other in waiting) for p in rest})
            place = (where or {}).get(circle[0], "a stored sweep")
            raise UsageError(f"{place}: space.{circle[0]}.if is a circle: {' -> '.join(circle)}")
        ordered.append(ready)
        rest.remove(ready)
    return tuple(ordered)


def _circle(depends: Mapping[str, str]) -> list[str]:
    """The names of a circle in a graph where each name leads to another, from the first in order and back to it."""
    path = [min(depends)]
    while depends[path[-1]] not in path:
        path.append(depends[path[-1]])
    circle = path[path.index(depends[path[-1]]) :]
    first = circle.index(min(circle))
    return [*circle[first:], *circle[: first + 1]]


def _holds(parameter: Parameter, known: Mapping[str, Parameter], places: Mapping[str, Any]) -> bool:
    """`places`: of the active parameters, by name."""
    return all(
        other in places and places[other] in {known[other].place(known[other].value(label)) for label in labels}
        for other, labels in parameter.when
    )


def _shapes(space: Space) -> Iterator[tuple[frozenset[str], int]]:
    """Sets of parameters that are active together, and in how many settings they are; one set may come several times.

    A parameter on which no condition rests counts with all of its values at once, as do the values of another that no
    condition names; a range without steps counts once.
    """
    known = {parameter.name: parameter for parameter in space}
    named: dict[str, set[Any]] = {}
    for parameter in space:
        for other, labels in parameter.when:
            named.setdefault(other, set()).update(known[other].place(known[other].value(label)) for label in labels)

    def walk(at: int, places: dict[str, Any], ways: int) -> Iterator[tuple[frozenset[str], int]]:
        if at == len(space):
            yield frozenset(places), ways
            return
        parameter = space[at]
        if not _holds(parameter, known, places):
            yield from walk(at + 1, places, ways)
            return
        mine = named.get(parameter.name, set())
        rest = (parameter.size or 1) - len(mine)
        if rest:
            yield from walk(at + 1, places | {parameter.name: None}, ways * rest)
        for place in sorted(mine):
            yield from walk(at + 1, places | {parameter.name: place}, ways)

    return walk(0, {}, 1)
