"""A sweep as it was asked: validated, frozen, with the source of every value."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from clsearch.spec.conditions import active_setting
from clsearch.spec.keys import digest
from clsearch.spec.parameters import Parameter
from clsearch.spec.protocols import Course, Protocol, course
from clsearch.spec.settings import acts, coerce, fields

PAIRS_FOR_A_CLAIM = 8  # 8 find a difference of one standard deviation in two of three cases (our choice)
_RACE_SEEDS = 1_000_000  # how far the race's seeds are from the search's: no confirmation has as many pairs


@dataclass(frozen=True)
class Objective:
    """The metric that chooses a setting, read on validation rows, and which way is better."""

    metric: str
    direction: Literal["max", "min"]


@dataclass(frozen=True)
class Sampler:
    """Which sampler proposes, and after how many trials of random proposals."""

    name: str
    startup: int


@dataclass(frozen=True)
class Seeds:
    """The one pair of seeds under which every trial of the search learns; order 0 is the benchmark's own order."""

    run: int
    order: int


@dataclass(frozen=True)
class Stopping:
    """Whether hopeless trials are stopped, by which value at a rung, and from how many learned tasks on."""

    name: Literal["none", "guarded"] = "none"
    value: Literal["so_far", "extrapolated"] = "so_far"
    first_rung: int = 2


@dataclass(frozen=True)
class Constraints:
    """What a setting may cost at most; one that costs more is never the best."""

    trained_parameters: int | None = None
    stored_parameters: int | None = None
    memory_gb: float | None = None

    def limits(self) -> dict[str, float]:
        """The limits that were set, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Budget:
    """What the search may spend: hours at work, GPU-hours. No new trial starts once one of them is spent."""

    hours: float | None = None
    gpu_hours: float | None = None


@dataclass(frozen=True)
class Race:
    """The best `top` settings and the published one, on up to `pairs` fresh pairs of seeds; `top` 0: no race."""

    top: int = 0
    pairs: int = 0
    level: float = 0.05  # of all tests of the race together


@dataclass(frozen=True)
class Confirm:
    """Test rows on `pairs` fresh pairs of seeds, and whether a claim is made of them (one paired t test)."""

    pairs: int = 0
    claim: bool = False


@dataclass(frozen=True)
class TableDesign:
    """A table of complete trials: every setting on `pairs` pairs of seeds, the best `dense` ones on `dense_pairs`."""

    pairs: int = 0
    dense: int = 0
    dense_pairs: int = 0


@dataclass(frozen=True)
class SweepSpec:
    """One sweep. Its identity (what is learned and how it is chosen) is hashed; its extent is free to grow."""

    # identity
    name: str
    method: str
    backbone: str
    benchmark: str
    protocol: Protocol
    objective: Objective
    space: tuple[Parameter, ...]
    eval_grid: Mapping[str, tuple[Any, ...]]
    settings: Mapping[str, Any]  # the fixed settings that the sweep states; `full_settings` adds the defaults
    sampler: Sampler
    profile: str | None
    seeds: Seeds
    precision: str
    stopping: Stopping
    constraints: Constraints
    company: Mapping[str, Mapping[str, Any]]  # name -> a setting fixed beforehand, tried and confirmed with the rest
    # extent
    trials: int
    budget: Budget
    race: Race
    confirm: Confirm
    table: TableDesign
    runner: str
    workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    max_parallel: int | None  # None: as many as the cluster has room for
    storage: str | None  # as given; `open_store` resolves it to an absolute URI
    keep: str
    # where it comes from
    file: str
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def full_settings(self, setting: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Every setting of the method: defaults, under the sweep's fixed and published ones, under `setting`.

        Eval parameters of the grid stand at their published value; an eval setting is laid over them at evaluation.
        """
        defaults = {name: known.default for name, known in fields(self.method).items()}
        searched = {parameter.name: parameter.published for parameter in self.space}
        return defaults | dict(self.settings) | searched | dict(setting or {})

    def published_setting(self) -> dict[str, Any]:
        """The published value of every searched parameter that is active beside the others': trial 0."""
        return self._active({})

    def eval_settings(self) -> list[dict[str, Any]]:
        """The eval settings every stage is evaluated under: the product of the grid, the published one first.

        Each names every parameter of the method that acts at evaluation only, also a fixed one, so that equal eval
        settings of different sweeps have equal hashes.
        """
        fixed = {name: value for name, value in self.full_settings().items() if acts(self.method, name) == "eval"}
        names = sorted(self.eval_grid)
        return [
            fixed | dict(zip(names, values, strict=True))
            for values in itertools.product(*(self.eval_grid[name] for name in names))
        ]

    def setting_from_json(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """A setting as JSON gives it back (lists for tuples), in the method's own types; raises UsageError."""
        return {name: coerce(self.method, name, value, f"setting of {self.name}") for name, value in setting.items()}

    def course(self, phase: str) -> Course:
        """Which tasks the sequences of a phase learn, as the protocol says: of which benchmark, and which of its."""
        return course(self.protocol, phase, self.benchmark, self.seeds.order)

    def benchmarks(self) -> tuple[str, ...]:
        """Every benchmark whose files the sweep needs: its own first."""
        return tuple(dict.fromkeys((self.benchmark, self.course("search").benchmark)))

    def confirm_seeds(self) -> list[Seeds]:
        """The fresh pairs of seeds, none of them the search's, in the order in which they are spent."""
        return [self._fresh(i) for i in range(1, self.confirm.pairs + 1)]

    def race_seeds(self, pairs: int | None = None) -> list[Seeds]:
        """The pairs of the race (or the first `pairs`): neither the search's nor the confirmation's, however many."""
        return [self._fresh(_RACE_SEEDS + i) for i in range(1, (self.race.pairs if pairs is None else pairs) + 1)]

    def _fresh(self, step: int) -> Seeds:
        return Seeds((self.seeds.run + step) % 2**32, (self.seeds.order + step) % 2**32)

    def named_settings(self) -> dict[str, dict[str, Any]]:
        """The settings fixed beforehand, by name, in the order of their trials: the published one is trial 0."""
        return {"published": self._active({})} | {name: self._active(own) for name, own in self.company.items()}

    def _active(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        published = {parameter.name: parameter.published for parameter in self.space}
        return active_setting(self.space, published | dict(setting))

    def identity(self) -> dict[str, Any]:
        """What makes this sweep this sweep, as JSON has it. Extent (trials, workers, storage, ...) is not in it."""
        searched = {parameter.name for parameter in self.space} | set(self.eval_grid)
        fixed = {name: as_json(value) for name, value in self.full_settings().items() if name not in searched}
        # What came later is left out where it stands at its default, so that older stores know their sweeps again.
        later: dict[str, Any] = {
            "stopping": vars(self.stopping) if self.stopping.name != "none" else {},
            "constraints": self.constraints.limits(),
            "company": {name: as_json(setting) for name, setting in self.company.items()},
        }
        return {name: value for name, value in later.items() if value} | {
            "method": self.method,
            "backbone": self.backbone,
            "benchmark": self.benchmark,
            "protocol": str(self.protocol),
            "objective": {"metric": self.objective.metric, "direction": self.objective.direction},
            "space": {parameter.name: as_json(parameter.to_json()) for parameter in self.space},
            "eval_grid": {name: list(values) for name, values in sorted(self.eval_grid.items())},
            "settings": fixed,
            "sampler": {"name": self.sampler.name, "startup": self.sampler.startup},
            "profile": self.profile,
            "seeds": {"run": self.seeds.run, "order": self.seeds.order},
            "precision": self.precision,
        }

    def identity_hash(self) -> str:
        """SHA-256 of the identity, 64 hexadecimal digits."""
        return digest(self.identity())


def as_json(value: Any) -> Any:
    """A value as JSON gives it back: lists for tuples."""
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def load_sweep(name_or_path: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """The sweep of a name or a path with the command line's `key=value` over it; raises UsageError."""
    from clsearch.spec.reading import read_sweep

    return read_sweep(name_or_path, overrides)
