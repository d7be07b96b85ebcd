"""`python -m clsearch.importance [URI]`: which parameter of a sweep moves which metric, on validation."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.results.metrics import METRICS
from clsearch.results.printing import markdown_table, terminal_table
from clsearch.results.sequences import COLUMNS
from clsearch.results.store import resolve_uri
from clsearch.results.table_files import validation_rows
from clsearch.search.importance import FEW_TRIALS, SweepImportance, sweep_importance


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m clsearch.importance", description=__doc__)
    parser.add_argument("uri", nargs="?", help="a folder, s3://bucket/prefix, or a table; else the usual store")
    parser.add_argument("--sweep", help="which one; needed where a store has several")
    parser.add_argument(
        "--metric", nargs="+", default=[], help=f"{', '.join(METRICS)} (default: the objective, forgetting, plasticity)"
    )
    parser.add_argument("--format", default="table", help=", ".join(_FORMATS))
    asked = parser.parse_args(argv)
    try:
        for option, values, valid in (("format", [asked.format], _FORMATS), ("metric", asked.metric, METRICS)):
            for value in values:
                if value not in valid:
                    raise UsageError(f"--{option}: '{value}' is unknown: {nearest(value, valid)}")
        where = resolve_uri() if asked.uri is None else asked.uri
        found = sweep_importance(validation_rows(where, asked.sweep, {*COLUMNS, "setting"}), asked.metric)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(_FORMATS[asked.format](found), end="")
    return 0


def _title(found: SweepImportance) -> str:
    grid = f" under {found.eval_settings} eval settings each" if found.eval_settings > 1 else ""
    place = f"{found.sweep} · {found.method} on {found.benchmark} · protocol {found.protocol}"
    return f"{place} · {found.trials} complete trials{grid}"


def _cells(found: SweepImportance) -> tuple[list[str], list[list[str]]]:
    """Parameters by metrics, in the order of the first metric that has shares."""
    weighed = [one for one in found.importances if one.shares]
    shares = {(one.metric, share.parameter): share for one in weighed for share in one.shares}
    names = [share.parameter for share in weighed[0].shares] if weighed else []
    lines = []
    for name in names:
        of_name = [shares[one.metric, name] for one in weighed]
        figures = (f"{100 * share.share:.0f} % ({share.by_chance:.2f})" for share in of_name)
        lines.append([name, *figures, str(of_name[0].trials)])
    return ["parameter", *(f"{one.metric} ({one.better})" for one in weighed), "trials"], lines


def _notes(found: SweepImportance) -> list[str]:
    flat = [one.metric for one in found.importances if not one.shares]
    fewer = {share.parameter: share.trials for one in found.importances for share in one.shares}
    notes = [f"{metric}: not defined here, or the same in every cell: nothing to share out" for metric in flat]
    notes += [
        f"{name}: {found.trials - trials} trials do not have it (its condition does not hold) and are left out for it"
        for name, trials in fewer.items()
        if trials < found.trials
    ]
    if found.left_out:
        notes.append(f"left out: {found.left_out} trials that did not learn all that the protocol asks for")
    if found.trials < FEW_TRIALS:
        notes.append(f"warning: with fewer than {FEW_TRIALS} trials the shares are mostly noise")
    notes.append(
        "share of all parameters' importance (PED-ANOVA) for reaching the best tenth of the cells, low (min) or high "
        "(max); in brackets: how often shuffled values give a parameter as much"
    )
    return notes


def _text(
    found: SweepImportance, heading: str, item: str, tabulate: Callable[[Sequence[str], Iterable[Sequence[str]]], str]
) -> str:
    header, lines = _cells(found)
    parts = [f"{heading}{_title(found)}\n", *([tabulate(header, lines)] if lines else [])]
    return "\n".join([*parts, "".join(f"{item}{note}\n" for note in _notes(found))])


def _as_json(found: SweepImportance) -> str:
    record = asdict(found) | {"warning": found.trials < FEW_TRIALS}
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


_FORMATS: dict[str, Callable[[SweepImportance], str]] = {
    "table": lambda found: _text(found, "", "", terminal_table),
    "md": lambda found: _text(found, "### ", "- ", markdown_table),
    "json": _as_json,
}

if __name__ == "__main__":
    sys.exit(main())
