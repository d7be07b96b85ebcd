"""`python -m clsearch.study [URI] SWEEP --out study.db`: a sweep's trials as an Optuna study, in a file.

`load_study(uri, sweep)` gives the same study to a notebook.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clsearch.errors import EXIT_USAGE, UsageError
from clsearch.results.store import Store, open_store

if TYPE_CHECKING:
    import optuna


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clsearch.study",
        description="Write a sweep's trials as an Optuna study, for optuna-dashboard and optuna.visualization.",
    )
    parser.add_argument("uri", nargs="?", help="a folder or s3://bucket/prefix; else CLSEARCH_STORE, ~/clsearch/store")
    parser.add_argument("sweep", help="the sweep's name")
    parser.add_argument(
        "--out", required=True, type=Path, help="a new file: study.db (SQLite) or journal.log (journal)"
    )
    asked = parser.parse_args(argv)
    try:
        store = _open(asked.uri)
        from clsearch.search.export import JOURNALS, export_study

        count = export_study(store, asked.sweep, asked.out)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    place = asked.out if asked.out.suffix in JOURNALS else f"sqlite:///{asked.out}"
    print(f"{count} trials of {asked.sweep} are in {asked.out}; to look at them: optuna-dashboard {place}")
    return 0


def load_study(uri: str | None, sweep: str) -> optuna.Study:
    """The study of a stored sweep, in memory: for optuna.visualization and optuna.importance.

    Its trials have the numbers of the store's, unless one was never claimed; the user attribute `trial` has the number.

    Args:
        uri: a folder or `s3://bucket/prefix`; None: `CLSEARCH_STORE`, else `~/clsearch/store`.

    Raises:
        clsearch.errors.UsageError: there is no store, or it has no such sweep.
    """
    from clsearch.search.export import stored_study

    return stored_study(_open(uri), sweep)


def _open(uri: str | None) -> Store:
    store = open_store(uri, create=False)
    store.require()
    return store


if __name__ == "__main__":
    sys.exit(main())
