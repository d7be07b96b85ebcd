"""`python -m clsearch.leaderboard [URI]`: what the store's sweeps found, one table per benchmark and protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.results.board import PHASES_SHOWN, Board, make_boards
from clsearch.results.compare import compare_two
from clsearch.results.compare_show import FORMATS as DIFF_FORMATS
from clsearch.results.metrics import METRICS
from clsearch.results.sequences import COLUMNS
from clsearch.results.show import FORMATS, SORTS
from clsearch.results.store import Store, open_store
from clsearch.results.trials import read_trials
from clsearch.results.verdicts import read_all_verdicts


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m clsearch.leaderboard", description=__doc__)
    parser.add_argument("uri", nargs="?", help="a folder or s3://bucket/prefix; else CLSEARCH_STORE, ~/clsearch/store")
    parser.add_argument("--benchmark", help="only this one")
    parser.add_argument("--metric", help=f"rank by: {', '.join(METRICS)} (default: the benchmark's headline)")
    parser.add_argument("--sort", help=f"order of the lines: a metric, or {', '.join(SORTS)} (default: by rank)")
    parser.add_argument(
        "--diff", nargs=2, metavar=("A", "B"), help="what differs between two sweeps, or trials given as sweep:trial"
    )
    parser.add_argument("--format", default="table", help=", ".join(FORMATS))
    asked = parser.parse_args(argv)
    try:
        _known("metric", asked.metric, METRICS)
        _known("format", asked.format, FORMATS)
        _known("sort", asked.sort, {**METRICS, **SORTS})
        store = open_store(asked.uri, create=False)
        store.require()
        if asked.diff is not None:
            print(_difference(store, asked), end="")
            return 0
        boards = _chosen(load_boards(store, asked.metric), asked.benchmark, store)
        text = FORMATS[asked.format](boards, asked.sort)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    if not boards:
        print(f"store {store.uri} holds no results yet", file=sys.stderr)
    print(text, end="")
    return 0


def load_boards(store: Store, metric: str | None = None) -> list[Board]:
    """Every board of the store; raises UsageError naming an object that cannot be read."""
    from clsearch.benchmarks.catalogue import BENCHMARKS

    paths = store.list("sweeps/")
    names = [path.removeprefix("sweeps/").removesuffix(".json") for path in paths]
    identities = dict(zip(names, store.read_many(paths, store.get_json), strict=True))
    kinds = {name: str(info.kind) for name, info in BENCHMARKS.items()}
    rows = store.read_rows(columns=COLUMNS, phase=PHASES_SHOWN)
    return make_boards(rows, read_trials(store), identities, kinds, metric, read_all_verdicts(store))


def _difference(store: Store, asked: argparse.Namespace) -> str:
    for option in ("benchmark", "sort"):
        if getattr(asked, option) is not None:
            raise UsageError(f"--{option} is for boards: --diff compares two sweeps; leave it out")
    _known("format of --diff", asked.format, DIFF_FORMATS)
    first, second = asked.diff
    found = compare_two(store, first, second, [asked.metric] if asked.metric is not None else [])
    return DIFF_FORMATS[asked.format](found)


def _known(option: str, value: str | None, valid: Iterable[str]) -> None:
    if value is not None and value not in set(valid):
        raise UsageError(f"--{option}: '{value}' is unknown: {nearest(value, valid)}")


def _chosen(boards: list[Board], benchmark: str | None, store: Store) -> list[Board]:
    if benchmark is None:
        return boards
    found = [board for board in boards if board.benchmark == benchmark]
    if not found:
        names = {board.benchmark for board in boards}
        raise UsageError(f"--benchmark: store {store.uri} has nothing on '{benchmark}': {nearest(benchmark, names)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
