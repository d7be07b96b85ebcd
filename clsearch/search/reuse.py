"""What a sweep need not learn because the store knows it from anywhere: told before a start, without torch."""

from __future__ import annotations

from clsearch.benchmarks.catalogue import missing_files
from clsearch.results.counts import noted_weights
from clsearch.results.store import Store
from clsearch.spec.plan import Reusable
from clsearch.spec.sweep import SweepSpec


def known_stages(spec: SweepSpec, store: Store) -> Reusable:
    """How many stages of the sequences that are known beforehand are in the store, of those without rows of their own.

    These sequences are: claimed trials without outcome; trials whose settings follow from the sweep (`designs`); the
    published setting on the pairs of race and confirmation. A stage counts where a run would not learn it, exactly as
    `learning.sequence` decides it. Where a store has seen several weights under the backbone's name, any of them count.
    Nothing is known, and no data are opened, where this backbone never learned here or where data are missing.
    """
    weights = noted_weights(store, spec.backbone, spec.precision)
    if not weights or any(missing_files(benchmark) for benchmark in spec.benchmarks()):
        return Reusable(search=0, later=0, asked=0)
    # Keys need the data's digests; the room that makes them costs a tenth of a second, which an empty store need not.
    from clsearch.search.coming import count_reusable

    return count_reusable(spec, store, weights)
