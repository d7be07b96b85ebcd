"""Hyper-parameter search for continual learning with adapters, from the question to a ranked answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

__version__ = "0.1.0"


def load(uri: str | None = None, sweep: str | None = None, **filters: Any) -> pa.Table:
    """Every result row of a store as an Arrow table (`.to_pandas()`, or `polars.from_arrow(...)`).

    Args:
        uri: a folder or `s3://bucket/prefix`; None: `CLSEARCH_STORE`, else `~/clsearch/store`.
        sweep: only this sweep's rows.
        filters: column = value, or column = a list of values, for example `phase="confirm"`.

    Raises:
        clsearch.errors.UsageError: there is no store, or one of its row files cannot be read.
    """
    from clsearch.results.store import open_store

    store = open_store(uri, create=False)
    store.require()
    return store.read_rows(sweep, **filters)
