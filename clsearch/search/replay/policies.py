"""Search policies by name.

Each is what a lab does today with something changed. Names joined by + change several things; a race may be given its
size: `evaluate_many+race:4x6`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from clsearch.errors import UsageError, nearest

SEEDS_TODAY = 5
PAIRS_CONFIRMED = 8  # what a claim takes; counted the same for every policy
_SIZE = re.compile(r"([2-9]|[1-9]\d+)x([1-9]\d*)")


@dataclass(frozen=True)
class RaceOf:
    """The best `top` and the published one, on up to `pairs` fresh pairs (`results.race`), as in `search_spaces/`."""

    top: int = 4
    pairs: int = 5
    level: float = 0.05


@dataclass(frozen=True)
class Policy:
    """How settings are proposed, tried and chosen. As it stands: what a lab does today.

    Attributes:
        sampler: which of Optuna's proposes.
        seeds: pairs of seeds that every trial learns; its score is the mean over them.
        evals: how the eval settings of a setting are tried. `each`: all of them, every one as a trial of its own;
            `sampled`: eval parameters are proposed like any other, one eval setting a trial; `shared`: one training
            serves all of them.
        stopping: `guarded` as `search.stopping` does it; `asha`: Ray's scheduler as shipped, and the best last result
            of any trial wins, finished or not, as Ray's `get_best_result(scope="last")` has it.
        race: None: the best score of the search wins.
        reuse: stages that are in the store already are not learned again.
    """

    name: str = "today"
    sampler: Literal["tpe", "random"] = "tpe"
    seeds: int = SEEDS_TODAY
    evals: Literal["each", "sampled", "shared"] = "each"
    stopping: Literal["none", "guarded", "asha"] = "none"
    race: RaceOf | None = None
    reuse: bool = False

    def trainings(self, eval_settings: int) -> int:
        """How often a setting is trained on a pair of seeds to be tried under so many eval settings.

        Trials that differ in evaluation alone have the same stages: with reuse the first of them learns for all.
        """
        return 1 if self.evals == "shared" or self.reuse else eval_settings

    @property
    def pairs(self) -> int:
        """How many pairs of seeds it needs at most, besides the confirmation's."""
        return self.seeds + (self.race.pairs if self.race is not None else 0)


@dataclass(frozen=True)
class Named:
    """A name's sentence, and what it changes."""

    says: str
    changes: dict[str, Any]


_EVALUATE_MANY: dict[str, Any] = {"evals": "shared"}
_SAMPLED: dict[str, Any] = {"evals": "sampled"}
_STOPPING: dict[str, Any] = {"stopping": "guarded"}
_RACE: dict[str, Any] = {"seeds": 1, "race": RaceOf()}
_REUSE: dict[str, Any] = {"reuse": True}

POLICIES: dict[str, Named] = {
    "today": Named("TPE; every eval setting its own trial, five seeds for all trials, all complete", {}),
    "tpe_5seeds": Named("TPE over all parameters alike, five seeds for all trials", _SAMPLED),
    "random": Named(
        "random search over all parameters alike, at one seed", _SAMPLED | {"sampler": "random", "seeds": 1}
    ),
    "tpe": Named("TPE over all parameters alike, at one seed", _SAMPLED | {"seeds": 1}),
    "asha": Named("TPE and Ray's ASHA as shipped, at one seed", _SAMPLED | {"seeds": 1, "stopping": "asha"}),
    "evaluate_many": Named("today, but one training serves all eval settings", _EVALUATE_MANY),
    "stopping": Named("today, with guarded stopping by the mean curve of the five seeds", _STOPPING),
    "race": Named("today, but one seed for all trials and a race of the best on fresh pairs", _RACE),
    "reuse": Named("today, with stages that are stored already not learned again", _REUSE),
    "clsearch": Named("our defaults: evaluate_many + race + reuse", _EVALUATE_MANY | _RACE | _REUSE),
}


def read_policies(names: Sequence[str]) -> list[Policy]:
    """The policies of these names, each once; all of them for no name.

    Raises:
        UsageError: an unknown name (with the nearest), or names joined that contradict each other.
    """
    return [_read(name) for name in dict.fromkeys(names or POLICIES)]


def sentence(policy: Policy) -> str:
    """What a policy is, in words."""
    return "; ".join(POLICIES[part.partition(":")[0]].says for part in policy.name.split("+"))


def _read(name: str) -> Policy:
    changes: dict[str, Any] = {}
    for part in name.split("+"):
        for key, value in _changes(part).items():
            # "all parameters alike" is how tpe and random come; what is joined to them may share trainings.
            if changes.get(key, value) not in (value, "sampled"):
                raise UsageError(f"policy '{name}': its parts want different '{key}'")
            changes[key] = value
    if changes.get("stopping") == "asha" and changes.get("race"):
        raise UsageError(f"policy '{name}': ASHA as shipped crowns its own winner, there is nothing to race")
    return replace(Policy(name), **changes)


def _changes(part: str) -> dict[str, Any]:
    plain, colon, size = part.partition(":")
    if plain not in POLICIES:
        raise UsageError(f"policy '{plain}' is unknown: {nearest(plain, POLICIES)}")
    changes = POLICIES[plain].changes
    if not colon:
        return changes
    numbers = _SIZE.fullmatch(size)
    if "race" not in changes or numbers is None:
        raise UsageError(f"policy '{part}': only a race has a size, the best TOP on up to PAIRS pairs: race:4x5")
    return changes | {"race": RaceOf(int(numbers[1]), int(numbers[2]))}
