"""Boards as text: a table for people, Markdown, CSV, and JSON with the exact figures."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from clsearch.results.board import INCOMPLETE, Board, Line, ranked
from clsearch.results.differences import Difference
from clsearch.results.gaps import ProtocolGap
from clsearch.results.metrics import LOWER_IS_BETTER, METRICS

_TITLES = {
    "final_acc_micro": "Acc (micro)",
    "final_acc_macro": "Acc (macro)",
    "aaa_micro": "AAA (micro)",
    "aaa_macro": "AAA (macro)",
    "transfer": "Transfer",
    "average": "Average",
    "last": "Last",
    "forgetting": "Forgetting",
    "forgetting_coda": "Forgetting (CODA)",
    "forgetting_first": "Forgetting (first)",
    "bwt": "BWT",
    "plasticity": "Plasticity",
}
_SHOWN = {
    "cross_domain": ("transfer", "average", "last", "final_acc_macro", "aaa_macro", "forgetting"),
    "": ("final_acc_micro", "aaa_micro", "forgetting"),
}
SORTS: dict[str, Callable[[Line], Any]] = {
    "method": lambda line: line.method,
    "sweep": lambda line: line.sweep,
    "trials": lambda line: line.trials_spent,
    "trained": lambda line: line.trained_parameters or 0,
    "stored": lambda line: line.stored_parameters or 0,
}
_REASONS = {"running": "running or interrupted"}
_CAUSES_SHOWN = 3


def _ordered(lines: Sequence[Line], sort: str | None) -> Sequence[Line]:
    if sort is None:
        return lines
    return ranked(lines, sort) if sort in METRICS else sorted(lines, key=SORTS[sort])


def _numbered(board: Board, sort: str | None) -> Iterator[tuple[int | None, Line]]:
    """Each line with its rank (by the board's metric, whatever the order shown); unconfirmed lines have none."""
    ranks = {id(line): rank for rank, line in enumerate(board.confirmed, start=1)}
    for lines in (board.confirmed, board.unconfirmed):
        yield from ((ranks.get(id(line)), line) for line in _ordered(lines, sort))


def _result(line: Line) -> str:
    seen = f", {line.seen}" if line.seen else ""
    return "confirmed (test)" if line.confirmed else f"unconfirmed ({line.split}{seen})"


def _columns(board: Board) -> list[str]:
    shown = [board.metric, *(name for name in _SHOWN.get(board.kind, _SHOWN[""]) if name != board.metric)]
    lines = (*board.confirmed, *board.unconfirmed)
    return [name for name in shown if name == board.metric or any(not math.isnan(line.mean(name)) for line in lines)]


def _figure(line: Line, metric: str) -> str:
    mean, std = line.mean(metric), line.std(metric)
    if math.isnan(mean):
        return "–"
    return f"{mean:.2f}" if math.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def _short(number: int | None) -> str:
    if number is None:
        return "–"
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def _header(board: Board, backbone: bool, result: bool) -> list[str]:
    names = ["#", "method", *(["backbone"] if backbone else []), "sweep", "setting"]
    names += [_TITLES[name] for name in _columns(board)]
    return [*names, "n", *(["result"] if result else []), "trained", "stored", "trials"]


def _cells(board: Board, rank: int | None, line: Line, backbone: bool, result: bool) -> list[str]:
    cells = [str(rank or ""), line.method, *([line.backbone] if backbone else []), line.sweep]
    cells += [f"{line.role} (#{line.trial})", *(_figure(line, name) for name in _columns(board)), str(len(line.pairs))]
    cells += [_result(line)] if result else []
    return [*cells, _short(line.trained_parameters), _short(line.stored_parameters), str(line.trials_spent)]


def _backbones_differ(board: Board) -> bool:
    return len({line.backbone for line in (*board.confirmed, *board.unconfirmed)}) > 1


def _title(board: Board) -> str:
    order = "lowest" if board.metric in LOWER_IS_BETTER else "highest"
    return f"{board.benchmark} · protocol {board.protocol} · ranked by {_TITLES[board.metric]}, {order} first"


def _said(difference: Difference) -> str:
    start = f"{difference.sweep}: best - {difference.against} = {difference.mean:+.2f}"
    said = f": {difference.said}" if difference.said else ""
    if difference.low is None or difference.high is None:
        return f"{start} points of {_TITLES[difference.metric]}, n = 1 pair (no interval){said}"
    interval = f"[{difference.low:+.2f}, {difference.high:+.2f}]"
    return f"{start} {interval} points of {_TITLES[difference.metric]} (95 % t), n = {difference.pairs} pairs{said}"


def _gap_said(one: ProtocolGap) -> str:
    first, second = (f"{protocol} ({sweep})" for protocol, sweep in zip(one.protocols, one.sweeps, strict=True))
    gap = one.gap
    if gap.low is None or gap.high is None:
        interval, pairs = "", "n = 1 pair (no interval)"
    else:
        interval, pairs = f" [{gap.low:+.2f}, {gap.high:+.2f}]", f"n = {gap.pairs} pairs"
    level = " (95 % t)" if interval else ""
    return (
        f"gap: best of {one.method} by {first} - by {second} = {gap.mean:+.2f}{interval} points of "
        f"{_TITLES[one.metric]}{level}, {pairs} with identical tasks, order and seeds"
    )


def _notes(board: Board) -> list[str]:
    """What stands below a table: differences, and what is hidden and why."""
    notes = [_said(difference) for difference in board.differences]
    notes += [_gap_said(gap) for gap in board.gaps]
    trials = {reason: board.hidden[reason] for reason in INCOMPLETE if reason in board.hidden}
    if trials:
        why = ", ".join(f"{count} {_REASONS.get(reason, reason)}" for reason, count in trials.items())
        total = sum(trials.values())
        notes.append(f"hidden: {total} incomplete trial{'s' if total > 1 else ''} ({why})")
    notes += [f"hidden: {count} × {reason}" for reason, count in board.hidden.items() if reason not in trials]
    notes += board.causes[:_CAUSES_SHOWN]
    more = len(board.causes) - _CAUSES_SHOWN
    return [*notes, *([f"... and {more} more failed trials"] if more > 0 else [])]


# The formats


def _as_table(boards: list[Board], sort: str | None) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    # Into a file or a pipe the lines are as long as they need to be; a terminal wraps at its own width.
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=None if terminal else 240, highlight=False, markup=False
    )
    for board in boards:
        backbone = _backbones_differ(board)
        console.print(Text(_title(board), style="bold"))
        lines = list(_numbered(board, sort))
        if lines:
            table = Table(box=None if not terminal else _box(), pad_edge=False)
            for name in _header(board, backbone, result=False):
                table.add_column(
                    name, justify="left" if name in ("method", "backbone", "sweep", "setting") else "right"
                )
            section = ""
            for rank, line in lines:
                if _result(line) != section:
                    section = _result(line)
                    table.add_section()
                    table.add_row("", Text(section, style="italic"))
                table.add_row(*_cells(board, rank, line, backbone, result=False), style="" if rank else "dim")
            console.print(table)
        else:
            console.print("no complete trial yet")
        for note in _notes(board):
            console.print(Text(note))
        console.print()
    if any(board.confirmed or board.unconfirmed for board in boards):
        console.print(
            "mean ± std over n pairs of (run seed, order seed), in %; trained and stored: parameters at the last task; "
            "trials: how many the sweep spent",
            style="dim",
        )
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in str(printed).split("\n"))


def _box() -> Any:
    from rich import box

    return box.SIMPLE_HEAD


def _as_markdown(boards: list[Board], sort: str | None) -> str:
    parts = []
    for board in boards:
        backbone = _backbones_differ(board)
        header = _header(board, backbone, result=True)
        rows = [_cells(board, rank, line, backbone, result=True) for rank, line in _numbered(board, sort)]
        lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
        notes = [f"- {note}" for note in _notes(board)]
        body = lines if rows else ["no complete trial yet"]
        parts.append("\n".join([f"### {_title(board)}", "", *body, "", *notes, ""]))
    return "\n".join(parts)


def records(board: Board, sort: str | None = None) -> list[dict[str, Any]]:
    """The lines of a board as flat records with exact figures, None where there is none."""
    return [_record(board, rank, line) for rank, line in _numbered(board, sort)]


def _record(board: Board, rank: int | None, line: Line) -> dict[str, Any]:
    record: dict[str, Any] = {"benchmark": board.benchmark, "protocol": board.protocol, "kind": board.kind}
    record |= {"ranked_by": board.metric, "rank": rank, "result": _result(line), "phase": line.phase}
    record |= {"split": line.split, "method": line.method, "backbone": line.backbone, "sweep": line.sweep}
    record |= {"setting": line.role, "trial": line.trial, "eval_setting": line.eval_setting, "n": len(line.pairs)}
    for metric in METRICS:
        for name, figure in (("mean", line.mean(metric)), ("std", line.std(metric))):
            record[f"{metric}_{name}"] = None if math.isnan(figure) else figure
    record |= {"tasks_total": line.tasks_total, "trained_parameters": line.trained_parameters}
    return record | {"stored_parameters": line.stored_parameters, "trials_spent": line.trials_spent}


def _as_csv(boards: list[Board], sort: str | None) -> str:
    lines = [record for board in boards for record in records(board, sort)]
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return text.getvalue()


def _as_json(boards: list[Board], sort: str | None) -> str:
    tables = [
        {
            "benchmark": board.benchmark,
            "protocol": board.protocol,
            "kind": board.kind,
            "ranked_by": board.metric,
            "lines": records(board, sort),
            "differences": [difference.__dict__ for difference in board.differences],
            "gaps": [dataclasses.asdict(gap) for gap in board.gaps],
            "hidden": dict(board.hidden),
            "causes": list(board.causes),
        }
        for board in boards
    ]
    return json.dumps({"tables": tables}, indent=1, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[list[Board], str | None], str]] = {
    "table": _as_table,
    "md": _as_markdown,
    "csv": _as_csv,
    "json": _as_json,
}
