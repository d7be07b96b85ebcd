"""`python -m clsearch.audit [URI ...]`: what each method would score on test, by the rule that chose its setting."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from clsearch.errors import EXIT_USAGE, UsageError, nearest
from clsearch.results.audit import BenchmarkAudit, audit
from clsearch.results.audit_cells import Source, audit_sources, sources_of
from clsearch.results.audit_show import FORMATS
from clsearch.results.metrics import METRICS
from clsearch.results.objects import StoreError
from clsearch.results.store import open_store
from clsearch.results.table_files import known_tables, rows_with_test_for_the_audit


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m clsearch.audit", description=__doc__)
    parser.add_argument("uri", nargs="*", help="stores (folders, s3://bucket/prefix) and tables, several together")
    parser.add_argument("--benchmark", help="only this one")
    parser.add_argument("--metric", help=f"choose and score by: {', '.join(METRICS)} (default: the sweeps' objective)")
    parser.add_argument("--first", type=int, nargs="+", metavar="K", help="only these first_tasks(k) (default: all)")
    parser.add_argument("--format", default="table", help=", ".join(FORMATS))
    asked = parser.parse_args(argv)
    try:
        for option, value, valid in (("format", asked.format, FORMATS), ("metric", asked.metric, METRICS)):
            if value is not None and value not in valid:
                raise UsageError(f"--{option}: '{value}' is unknown: {nearest(value, valid)}")
        audits = load_audits(asked.uri or [None], asked.benchmark, asked.metric, asked.first)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    print(FORMATS[asked.format](audits), end="")
    return 0


def load_audits(
    places: Sequence[str | None],
    benchmark: str | None = None,
    metric: str | None = None,
    first: Sequence[int] | None = None,
) -> list[BenchmarkAudit]:
    """The audits of what lies at these places, by benchmark.

    Raises:
        UsageError: nothing there can be audited; no such benchmark; a k outside the sequence; an unreadable object.
    """
    from clsearch.benchmarks.catalogue import BENCHMARKS

    sources = _named_apart([(place, source) for place in places for source in _sources(place)])
    names = {sequence.benchmark for source in sources for sequence in source.sequences}
    if benchmark is not None and benchmark not in names:
        raise UsageError(f"--benchmark: there are no rows on '{benchmark}': {nearest(benchmark, names)}")
    kept = [
        replace(source, sequences=[one for one in source.sequences if benchmark in (None, one.benchmark)])
        for source in sources
    ]
    audits = audit(kept, {name: str(info.kind) for name, info in BENCHMARKS.items()}, metric, first)
    if not any(one.methods for one in audits):
        why = (
            "; ".join(note for one in audits for note in one.notes) or "there are no rows of phases search and analysis"
        )
        raise UsageError(f"nothing to audit: {why}. Complete tables are made by a sweep with 'table: {{pairs: 3}}'")
    return audits


def _sources(place: str | None) -> list[Source]:
    """Every sweep of a store, or the one of a table."""
    if place is not None and (place in known_tables() or place.endswith(".parquet")):
        found = rows_with_test_for_the_audit(place)
        return sources_of(found.rows, {found.sweep: found.identity})
    store = open_store(place, create=False)
    try:
        store.require()
    except StoreError as error:
        if place is None or "/" in place:
            raise
        raise UsageError(f"{error}; tables of the package: {nearest(place, known_tables())}") from None
    return audit_sources(store)


def _named_apart(found: Sequence[tuple[str | None, Source]]) -> list[Source]:
    """The sources, each with its place in its name where two have the same."""
    times = Counter(source.name for _, source in found)
    return [
        replace(source, name=f"{source.name} of {place}") if times[source.name] > 1 else source
        for place, source in found
    ]


if __name__ == "__main__":
    sys.exit(main())
