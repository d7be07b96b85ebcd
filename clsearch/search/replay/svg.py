"""Regret against cost as an SVG picture: the median over the repetitions, and the quartiles as a pale band."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from clsearch.search.replay.handing import Run
from clsearch.search.replay.study import Study
from clsearch.spec.cost import duration

Floats = NDArray[np.float64]

_WIDTH, _HEIGHT = 860, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 260, 40, 60  # margins; the names of the policies stand in the right one
# Okabe and Ito's colours, which colour-blind people can tell apart.
_COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#8a8a00")
_STEPS = 160  # of the cost axis
_TICKS = 5


def regret_against_cost(study: Study) -> str:
    """The picture of a study; costs as in its table, with the confirmation, on a logarithmic axis."""
    runs = [run for each in study.runs.values() for run in each]
    first = study.confirmation + min(float(run.seconds.min()) for run in runs)
    last = study.confirmation + max(float(run.seconds.max()) for run in runs)
    costs = np.geomspace(first, last, _STEPS)
    curves = {name: _quartiles(each, costs - study.confirmation) for name, each in study.runs.items()}
    most = max([study.target, *(float(curve[np.isfinite(curve)].max()) for curve in curves.values())]) * 1.05 or 1.0

    def x(cost: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(cost / first) / (math.log(last / first) or 1.0)

    def y(regret: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * regret / most

    parts = [*_axes(study, x, y, first, last, most)]
    for at, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[at % len(_COLOURS)]
        dash = f' stroke-dasharray="{2 + 2 * (at // len(_COLOURS))} 3"' if at >= len(_COLOURS) else ""
        known = np.isfinite(curve).all(axis=0)
        low, median, high = (_points(costs[known], values[known], x, y) for values in curve)
        parts.append(f'<polygon points="{low} {_backwards(high)}" fill="{colour}" fill-opacity="0.08"/>')
        parts.append(f'<polyline points="{median}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        height = _TOP + 10 + 20 * at
        parts.append(f'<path d="M{_WIDTH - _RIGHT + 14} {height}h24" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(_text(_WIDTH - _RIGHT + 44, height + 4, name))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _quartiles(runs: Sequence[Run], costs: Floats) -> Floats:
    """[quartile, cost]: the regret of what is handed out for at most so many seconds; infinite for nothing."""
    regrets = np.full((len(runs), len(costs)), np.inf)
    for at, run in enumerate(runs):
        for column, cost in enumerate(costs):
            affordable = np.flatnonzero(run.seconds <= cost * (1 + 1e-12))
            if len(affordable):
                regrets[at, column] = run.regret[affordable[-1]]
    return np.asarray(np.quantile(regrets, (0.25, 0.5, 0.75), axis=0, method="higher"))


def _axes(
    study: Study, x: Callable[[float], float], y: Callable[[float], float], first: float, last: float, most: float
) -> list[str]:
    table = study.table
    left, right, bottom = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    title = (
        f"{table.sweep}: regret in {table.metric} against cost, {study.repetitions} repetitions, {study.seeds} seeds"
    )
    parts = [
        _text(left, 22, title),
        f'<path d="M{left} {_TOP}V{bottom}H{right}" fill="none" stroke="#444"/>',
        f'<path d="M{left} {y(study.target):.1f}H{right}" stroke="#888" stroke-dasharray="5 4"/>',
        _text(right - 4, y(study.target) - 5, f"{study.reference}: {study.target:.2f}", "end"),
        _text((left + right) / 2, _HEIGHT - 14, "cost in time of work, confirmation included (logarithmic)", "middle"),
    ]
    for cost in np.geomspace(first, last, _TICKS):
        parts.append(_text(x(float(cost)), bottom + 20, duration(float(cost)), "middle"))
        parts.append(f'<path d="M{x(float(cost)):.1f} {bottom}v5" stroke="#444"/>')
    for regret in np.linspace(0.0, most, _TICKS):
        parts.append(_text(left - 8, y(float(regret)) + 4, f"{regret:.2f}", "end"))
        parts.append(f'<path d="M{left} {y(float(regret)):.1f}h-5" stroke="#444"/>')
    return parts


def _points(costs: Floats, regrets: Floats, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """A staircase: what is handed out stays until something else is."""
    found: list[str] = []
    for at, (cost, regret) in enumerate(zip(costs.tolist(), regrets.tolist(), strict=True)):
        if at:
            found.append(f"{x(cost):.1f},{y(float(regrets[at - 1])):.1f}")
        found.append(f"{x(cost):.1f},{y(regret):.1f}")
    return " ".join(found)


def _backwards(points: str) -> str:
    return " ".join(reversed(points.split()))


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
