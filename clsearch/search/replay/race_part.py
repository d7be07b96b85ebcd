"""How the race does on the settings of a table that were measured on most pairs."""

from __future__ import annotations

import numpy as np

from clsearch.errors import UsageError
from clsearch.results.race_study import RaceStudy, race_study
from clsearch.results.tables import Table
from clsearch.search.replay.policies import RaceOf

RACES = 1000


def race_on_table(table: Table, seed: int, races: int = RACES) -> RaceStudy:
    """Races among the densely measured settings, each under the eval setting that is best on the search's pair.

    Raises UsageError where fewer than two settings have enough pairs for a race.
    """
    size = RaceOf()
    has = table.has()
    most = int(np.sort(has.sum(axis=1))[-2]) if len(has) > 1 else 0
    dense = np.flatnonzero(has.sum(axis=1) >= most)
    pairs = np.flatnonzero(has[dense].all(axis=0))
    if len(dense) < 2 or len(pairs) < size.pairs:
        raise UsageError(
            f"{table.where}: --race needs two settings measured on {size.pairs} pairs of seeds or more, it has "
            f"{len(dense)} on {len(pairs)}: run its sweep with table.dense=8 and table.dense_pairs=12"
        )
    final = table.curves()[..., -1]
    sign = 1.0 if table.direction == "max" else -1.0
    chosen = (sign * final[dense, :, 0]).argmax(axis=1)
    scores = np.array([final[s, e, pairs] for s, e in zip(dense, chosen, strict=True)]).T
    return race_study(scores, size.level, races, seed, direction=table.direction, pairs=size.pairs)
