"""`python -m clsearch.replay URI [POLICY ...]`: what search policies cost and find, over a table of complete trials.

URI is a store, a `.parquet` file made by --export, or the name of a table in the package. Policies are run again and
again over what is stored there; nothing is learned.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.results.store import open_store
from clsearch.results.table_files import known_tables, write_table
from clsearch.results.tables import Table, load_table
from clsearch.search.replay.policies import POLICIES, read_policies


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clsearch.replay", description=__doc__, epilog=_epilog(), formatter_class=_KeepLines
    )
    parser.add_argument(
        "uri", help=f"a store, a .parquet file, or one of: {', '.join(known_tables()) or '(none here)'}"
    )
    parser.add_argument("policy", nargs="*", help="names below, joined by + (default: all of them)")
    parser.add_argument("--sweep", help="which one, where a store has several")
    parser.add_argument("--repetitions", type=int, default=100, help="seeds of the replay (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the repetitions (default 0)")
    parser.add_argument("--trials", type=int, help="that 'today' makes (default: as many as the table has settings)")
    parser.add_argument("--real", action="store_true", help="search on one real pair of seeds, score on the others")
    parser.add_argument("--race", action="store_true", help="also: how the race does on the table's real pairs")
    parser.add_argument("--format", default="table", help="table, json, md")
    parser.add_argument("--plot", metavar="FILE", help="regret against cost, as an .svg picture")
    parser.add_argument("--export", metavar="FILE", help="write the store's table as one .parquet file, and end")
    asked = parser.parse_intermixed_args(argv)  # policies may stand behind options
    try:
        return _export(asked) if asked.export is not None else _replay(asked)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE


def _replay(asked: argparse.Namespace) -> int:
    policies = read_policies(asked.policy or (_ONE_PAIR if asked.real else ()))
    _at_least("--repetitions", asked.repetitions, 1)
    _at_least("--seed", asked.seed, 0)
    plot = None if asked.plot is None else _svg_path(asked.plot)
    table = load_table(asked.uri, asked.sweep)
    # These import optuna, which a wrong word need not wait for.
    from clsearch.search.replay.race_part import race_on_table
    from clsearch.search.replay.show import FORMATS
    from clsearch.search.replay.study import replay
    from clsearch.search.replay.svg import regret_against_cost

    _known("--format", asked.format, FORMATS)
    study = replay(table, policies, asked.repetitions, asked.seed, asked.trials, asked.real)
    race = race_on_table(table, asked.seed) if asked.race else None
    if plot is not None:
        _write(plot, regret_against_cost(study))
    print(FORMATS[asked.format](study, race), end="")
    return 0


def _export(asked: argparse.Namespace) -> int:
    if asked.policy or asked.uri in known_tables() or asked.uri.endswith(".parquet"):
        raise UsageError("--export writes the table of a store: give the store's URI, and no policy")
    table: Table = load_table(asked.uri, asked.sweep)
    store = open_store(asked.uri, create=False)
    write_table(store, table.sweep, Path(asked.export).expanduser(), table.trials)
    counts = f"{len(table.settings)} settings x {len(table.eval_settings)} eval settings"
    print(f"{asked.export}: sweep '{table.sweep}', {counts}, {len(table.pairs)} pairs of seeds")
    return 0


_ONE_PAIR = ("random", "tpe", "asha", "tpe+evaluate_many", "tpe+stopping")  # what --real can do


def _svg_path(text: str) -> Path:
    path = Path(text).expanduser()
    if path.suffix != ".svg":
        raise UsageError(f"--plot {text}: the picture is an SVG, give a name that ends in .svg")
    return path


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written: {error.strerror}") from None


def _at_least(option: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"{option} {value}: must be at least {least}")


def _known(option: str, value: str, valid: Iterable[str]) -> None:
    names = list(valid)
    if value not in names:
        raise UsageError(f"{option}: '{value}' is unknown: {nearest(value, names)}")


class _KeepLines(argparse.RawDescriptionHelpFormatter):
    """Keeps the list of policies as it is written."""


def _epilog() -> str:
    return "policies:\n" + "".join(f"  {name:14} {known.says}\n" for name, known in POLICIES.items())


if __name__ == "__main__":
    sys.exit(main())
