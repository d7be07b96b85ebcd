"""The trials that a table can answer, as points of the search space."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clsearch.results.tables import Table
from clsearch.spec.conditions import active_setting
from clsearch.spec.parameters import Parameter
from clsearch.spec.settings import acts, coerce


@dataclass(frozen=True, eq=False)
class Units:
    """What a policy can try: every cell (setting, eval setting) of a table, or every setting under its whole grid.

    Attributes:
        cells: by unit, the setting and the positions of its eval settings.
        parameters: of the searched space; the grid's too where each eval setting is a trial of its own.
        labels: by unit, the values as Optuna knows them.
        published: the unit of the published setting (under the published eval setting), tried first; None: not there.
    """

    cells: tuple[tuple[int, tuple[int, ...]], ...]
    parameters: tuple[Parameter, ...]
    labels: tuple[Mapping[str, Any], ...]
    published: int | None
    trained: tuple[str, ...]  # names of the parameters that act in training
    coordinates: NDArray[np.float64]  # [unit, parameter]; a choice's place among its labels
    is_choice: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cells)

    def nearest(self, labels: Mapping[str, Any], free: Sequence[int]) -> int:
        """The unit among the free ones that is nearest to a proposal, the first of equals.

        Distance: Euclidean, each range (its logarithm where the range is `log`) having length 1; different choices are
        1 apart.
        """
        whole = self._whole(labels)
        point = np.array([_coordinate(parameter, whole[parameter.name]) for parameter in self.parameters])
        gaps = self.coordinates[list(free)] - point
        gaps[:, self.is_choice] = gaps[:, self.is_choice] != 0
        return free[int(np.argmin((gaps**2).sum(axis=1)))]

    def learned_as(self, unit: int, labels: Mapping[str, Any]) -> bool:
        """Whether a proposal is trained exactly as this unit was: the two differ at most in evaluation."""
        whole = self._whole(labels)
        return all(whole[name] == self.labels[unit][name] for name in self.trained)

    def _whole(self, labels: Mapping[str, Any]) -> dict[str, Any]:
        """A proposal for all parameters, with the published value of those that are not active in it."""
        values = {parameter.name: parameter.value(labels[parameter.name]) for parameter in self.parameters}
        active = active_setting(self.parameters, values)
        return {p.name: p.label(active.get(p.name, p.published)) for p in self.parameters}


def units(table: Table, whole_grid: bool) -> Units:
    """The units of a table: settings, each under its whole grid; or cells, the grid's parameters being searched too."""
    every = range(len(table.eval_settings))
    searched = table.parameters
    if whole_grid:
        cells = tuple((s, tuple(every)) for s in range(len(table.settings)))
        parameters = searched
    else:
        cells = tuple((s, (e,)) for s in range(len(table.settings)) for e in every)
        parameters = (*searched, *_grid(table))
    labels = tuple(
        {p.name: p.label({**table.settings[s], **table.eval_settings[evals[0]]}[p.name]) for p in parameters}
        for s, evals in cells
    )
    return Units(
        cells=cells,
        parameters=parameters,
        labels=labels,
        published=0 if table.trials[0] == 0 else None,
        trained=tuple(parameter.name for parameter in searched),
        coordinates=np.array([[_coordinate(p, one[p.name]) for p in parameters] for one in labels]),
        is_choice=np.array([p.type == "choice" for p in parameters]),
    )


def _grid(table: Table) -> tuple[Parameter, ...]:
    """The parameters of the eval grid, each a choice among its values."""
    method = str(table.identity["method"])
    found = []
    for name, values in sorted(table.identity.get("eval_grid", {}).items()):
        choices = tuple(coerce(method, name, value, "eval_grid of a stored sweep") for value in values)
        found.append(Parameter(name, "choice", acts(method, name), choices[0], choices=choices, labels=choices))
    return tuple(found)


def _coordinate(parameter: Parameter, label: Any) -> float:
    if parameter.type == "choice":
        return float(parameter.labels.index(label))
    assert parameter.low is not None
    assert parameter.high is not None
    ends = (float(parameter.low), float(parameter.high), float(label))
    low, high, value = map(math.log, ends) if parameter.log else ends
    return (value - low) / (high - low)
