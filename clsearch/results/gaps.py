"""The gap between two protocols: what choosing by less, or by other tasks, costs on one and the same sequences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from clsearch.results.intervals import Gap, paired_gap
from clsearch.spec.protocols import FORMS, read_protocol

if TYPE_CHECKING:
    from clsearch.results.board import Board, Line


@dataclass(frozen=True)
class ProtocolGap:
    """The winner under the first of two protocols less the winner under the second, on identical sequences alone.

    Identical: the same pair of seeds, as many tasks, and the same data in the same order by their digest.
    """

    method: str
    backbone: str
    metric: str
    protocols: tuple[str, str]
    sweeps: tuple[str, str]
    gap: Gap


def with_gaps(boards: Iterable[Board]) -> list[Board]:
    """The boards, each with its gaps to the boards before it that have the same benchmark and metric.

    Of two protocols the one that sees more comes first (end_of_sequence before first_tasks, and so on).
    """
    found: list[Board] = []
    for board in boards:
        others = [other for other in found if (other.benchmark, other.metric) == (board.benchmark, board.metric)]
        gaps = tuple(gap for other in others for gap in _gaps(*sorted((other, board), key=_rank)))
        found.append(replace(board, gaps=gaps))
    return found


def _rank(board: Board) -> tuple[int, int]:
    """How much the board's protocol sees: its place in FORMS; of equal forms, more tasks first."""
    protocol = read_protocol(board.protocol, "a board")
    forms = [form.partition("(")[0] for form in FORMS]
    return forms.index(protocol.kind), -(protocol.tasks or 0)


def _gaps(first: Board, second: Board) -> Iterator[ProtocolGap]:
    for one, other in itertools.product(_best(first), _best(second)):
        if (one.method, one.backbone) != (other.method, other.backbone):
            continue
        gap = _paired(one, other, first.metric)
        if gap is not None:
            protocols, sweeps = (first.protocol, second.protocol), (one.sweep, other.sweep)
            yield ProtocolGap(one.method, one.backbone, first.metric, protocols, sweeps, gap)


def _best(board: Board) -> list[Line]:
    return [line for line in board.confirmed if "best" in line.role.split(" = ")]


def _paired(first: Line, second: Line, metric: str) -> Gap | None:
    """The gap over the pairs of seeds whose sequences are known to be identical; None where there is none."""
    figures = [
        {
            (pair, line.tasks_total, digest): float(value)
            for pair, digest, value in zip(line.pairs, line.digests, line.values[metric], strict=True)
            if digest is not None and not math.isnan(value)
        }
        for line in (first, second)
    ]
    common = [place for place in figures[0] if place in figures[1]]
    return paired_gap([figures[0][place] - figures[1][place] for place in common]) if common else None
