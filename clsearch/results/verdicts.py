"""Verdicts: which settings a sweep confirms, written down before any test row of theirs is read.

A verdict is immutable. Another one is written only where validation now says otherwise (the sweep has grown).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from clsearch.results.store import Store

CLAIM_LEVEL = 0.05  # of all claims of one sweep together
Pair = tuple[int, int]  # run seed, order seed


@dataclass(frozen=True)
class Choice:
    """A trial's setting under one eval setting."""

    trial: int
    eval_setting: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What search and race have settled.

    Attributes:
        winner: the setting that validation chose.
        published: the published setting; None where trial 0 is not complete.
        company: the sweep's other settings fixed beforehand, by name, as far as their trials are complete.
        race: the race that led here (see `search.race.record`); None without a race.
        seeds: the pairs on which the claim is made, in the order in which they are spent.
        claim: whether a claim is made on them.
        level: of that claim. A sweep that grows may get another winner after test rows of the first were read; the
            level is divided by the number of winners by then (Bonferroni), so that trying again wins nothing.
        number: the verdict's place in its sweep, from 1; 0 before it is written.
    """

    winner: Choice
    published: Choice | None
    company: Mapping[str, Choice]
    race: Mapping[str, Any] | None
    seeds: tuple[Pair, ...]
    claim: bool
    level: float = CLAIM_LEVEL
    number: int = field(default=0, compare=False)
    written_at: str = field(default="", compare=False)

    @property
    def confirm_pairs(self) -> int:
        return len(self.seeds)

    def choices(self) -> dict[str, Choice]:
        """What is confirmed, by role, the winner first; one choice may have several roles."""
        published = {} if self.published is None else {"published": self.published}
        return {"best": self.winner, **published, **self.company}

    def to_json(self) -> dict[str, Any]:
        """The verdict as its file has it; `from_json` is the inverse."""
        values = {name: value for name, value in asdict(self).items() if name != "number"}
        return values | {"seeds": [list(pair) for pair in self.seeds], "confirm_pairs": self.confirm_pairs}

    @staticmethod
    def from_json(value: Mapping[str, Any], number: int) -> Verdict:
        """The verdict in a file's content."""
        published = value["published"]
        return Verdict(
            winner=Choice(**value["winner"]),
            published=None if published is None else Choice(**published),
            company={name: Choice(**choice) for name, choice in value["company"].items()},
            race=value["race"],
            seeds=tuple((run, order) for run, order in value["seeds"]),
            claim=value["claim"],
            level=value["level"],
            number=number,
            written_at=value["written_at"],
        )


def read_all_verdicts(store: Store) -> dict[str, list[Verdict]]:
    """The verdicts of every sweep that has one."""
    sweeps = {path.split("/")[1] for path in store.list("verdicts/") if path.count("/") == 2}
    return {sweep: read_verdicts(store, sweep) for sweep in sorted(sweeps)}


def read_verdicts(store: Store, sweep: str) -> list[Verdict]:
    """A sweep's verdicts in the order in which they were written; raises StoreError naming a damaged object."""
    prefix = store.verdict_path(sweep, 1).removesuffix("1.json")
    names = {path: path.removeprefix(prefix).removesuffix(".json") for path in store.list(prefix)}
    paths = sorted((path for path, name in names.items() if name.isdigit()), key=lambda path: int(names[path]))
    values = store.read_many(paths, store.get_json)
    return [Verdict.from_json(value, int(names[path])) for path, value in zip(paths, values, strict=True)]


def write_verdict(store: Store, sweep: str, asked: Verdict) -> Verdict:
    """The latest verdict where it says what is asked, else a new one that does.

    The number of pairs on which a claim is made is fixed before their test rows are read. So where the same winner and
    the same published setting were to be confirmed before, the pairs and the claim of that time stand.
    """
    asked = Verdict.from_json(_as_stored(asked), 0)
    while True:
        known = read_verdicts(store, sweep)
        wanted = _with_pairs_fixed(asked, known)
        if known and known[-1] == wanted:
            return known[-1]
        number = known[-1].number + 1 if known else 1
        # Another driver may be first; then its verdict is the latest, and is looked at in the next round.
        if store.put_json(store.verdict_path(sweep, number), wanted.to_json()):
            return Verdict.from_json(wanted.to_json(), number)


def _as_stored(verdict: Verdict) -> dict[str, Any]:
    """The content of a new file, as JSON gives it back (lists for tuples), so that it compares with stored ones."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    content: dict[str, Any] = json.loads(json.dumps(verdict.to_json() | {"written_at": now}))
    return content


def _with_pairs_fixed(asked: Verdict, known: list[Verdict]) -> Verdict:
    for verdict in known:
        if verdict.seeds and (verdict.winner, verdict.published) == (asked.winner, asked.published):
            return replace(asked, seeds=verdict.seeds, claim=verdict.claim, level=verdict.level)
    winners = [verdict.winner for verdict in known if verdict.seeds]
    before = sum(winner != asked.winner and winner not in winners[:at] for at, winner in enumerate(winners))
    return replace(asked, level=CLAIM_LEVEL / (1 + before))
