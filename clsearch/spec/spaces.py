"""The search space of a sweep file: its parameters with their conditions, named settings, and how far it reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from clsearch.errors import UsageError, nearest
from clsearch.spec.conditions import Space, active_setting, count_settings, read_conditions, same_setting
from clsearch.spec.parameters import Parameter, read_parameter, stated_value
from clsearch.spec.sweep import SweepSpec

Where = Callable[[str], str]  # a key to the file or override that states it


def read_space(method: str, stated: Mapping[str, Mapping[str, Any]], where: Where) -> tuple[Parameter, ...]:
    """The parameters under `space`, each after those its condition names; `where` is asked for a parameter's name."""
    space = [read_parameter(method, name, given, where(name)) for name, given in sorted(stated.items())]
    return read_conditions(method, space, stated, {name: where(name) for name in stated})


def read_company(method: str, space: Space, stated: Mapping[str, Any], where: Where) -> dict[str, dict[str, Any]]:
    """The named settings under `company`: each states searched parameters, the rest stands at its published value.

    Raises UsageError for a parameter that is not searched, a value outside of its range, or one that is not active
    under the setting that states it. `where` is asked for a dotted key.
    """
    searched = {parameter.name: parameter for parameter in space}
    result: dict[str, dict[str, Any]] = {}
    for label, given in stated.items():
        place = f"{where(f'company.{label}')}: company.{label}"
        if not isinstance(given, Mapping) or not given:
            raise UsageError(f"{place} must be a mapping of searched parameters to values")
        result[label] = {}
        for name, value in given.items():
            if name not in searched:
                raise UsageError(f"{place}.{name} is not searched: {nearest(name, searched)}")
            result[label][name] = stated_value(method, searched[name], value, f"{place}.{name}")
        active = active_setting(space, {name: p.published for name, p in searched.items()} | result[label])
        for name in result[label].keys() - active.keys():
            raise UsageError(f"{place}.{name} is not active there: only where {searched[name].condition_text()}")
    return result


def bounded(spec: SweepSpec, where: Where) -> SweepSpec:
    """The sweep with no more trials than its space and sampler have settings for, and notes that say so.

    Raises UsageError for a range without steps under sampler `grid`. `where` is asked for a parameter's name.
    """
    if not spec.space:
        return _limited(spec, 1, "nothing is searched")
    cells = count_settings(spec.space)
    if spec.sampler.name != "grid":
        if cells is None or cells >= spec.trials:
            return spec
        note = f"the space holds only {cells} settings: the trials after them repeat one, from stages the store has"
        return replace(spec, notes=(*spec.notes, note))
    for parameter in spec.space:
        if parameter.size is None:
            raise UsageError(
                f"{where(parameter.name)}: space.{parameter.name} is a range without steps, which has no cells: "
                f"give space.{parameter.name}.step or choices, or another sampler than grid"
            )
    assert cells is not None
    named = [*spec.named_settings().values()]
    repeated = len(named) - len({same_setting(spec.space, setting) for setting in named})
    return _limited(spec, cells + repeated, f"the grid has {cells} cells")


def _limited(spec: SweepSpec, most: int, reason: str) -> SweepSpec:
    if spec.trials <= most:
        return spec
    counted = "1 trial" if most == 1 else f"{most} trials"
    return replace(spec, trials=most, notes=(*spec.notes, f"{reason}: {counted} instead of {spec.trials}"))
