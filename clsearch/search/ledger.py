"""A sweep's trials as the store has them: the only memory a search has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from clsearch.execution.job import Job
from clsearch.results.layout import parse_race_failure
from clsearch.results.spending import AttemptLog, Spending
from clsearch.results.store import Store
from clsearch.results.trials import TrialRecord
from clsearch.results.verdicts import Pair
from clsearch.spec.sweep import SweepSpec


class Ledger:
    """Claims and outcomes of one sweep, read once each: both are immutable, so only new ones are fetched."""

    def __init__(self, spec: SweepSpec, store: Store) -> None:
        self.spec = spec
        self.store = store
        self._claims: dict[int, Mapping[str, Any]] = {}
        self._outcomes: dict[int, Mapping[str, Any]] = {}
        self._attempts: dict[int, int] = {}
        self._race_failures: set[tuple[int, Pair]] = set()
        self._paths: list[str] = []
        self._attempt_log = AttemptLog(store, spec.name)

    def refresh(self) -> None:
        """Read what has been written since; raises StoreError naming a damaged object."""
        self._paths = self.store.list(f"trials/{self.spec.name}/")
        parts = [path.split("/") for path in self._paths]
        files = [(int(part[2]), part[3]) for part in parts if len(part) == 4 and part[2].isdigit()]
        self._attempts = {number: 0 for number, _ in files}
        for number, file in files:
            self._attempts[number] += file.startswith("attempt-")
            failure = parse_race_failure(file)
            if failure is not None:
                self._race_failures.add((number, failure))
        for name, known in (("claim.json", self._claims), ("outcome.json", self._outcomes)):
            new = [number for number, file in files if file == name and number not in known]
            paths = [f"trials/{self.spec.name}/{number}/{name}" for number in new]
            known.update(zip(new, self.store.read_many(paths, self.store.get_json), strict=True))

    @property
    def trials(self) -> list[TrialRecord]:
        """Every claimed trial, in number order; `status` is running where there is no outcome."""
        return [
            TrialRecord(self.spec.name, number, claim, self._attempts.get(number, 0), self._outcomes.get(number))
            for number, claim in sorted(self._claims.items())
        ]

    def setting(self, number: int) -> dict[str, Any]:
        """The setting that a trial claimed, in the types of its method."""
        return self.spec.setting_from_json(self._claims[number]["setting"])

    def free_number(self) -> int | None:
        """The lowest number that nobody claimed; None once `spec.trials` are."""
        return next((number for number in range(self.spec.trials) if number not in self._claims), None)

    def claim(self, number: int, setting: Mapping[str, Any]) -> bool:
        """Claim a number with its setting before anything is started under it; False if another driver was first."""
        claim = {
            "sweep": self.spec.name,
            "trial": number,
            "setting": dict(setting),
            "identity": self.spec.identity_hash(),
            "claimed_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        written = self.store.put_json(self.store.claim_path(self.spec.name, number), claim)
        if written:
            self._claims[number] = claim
        return written

    def race_failures(self) -> set[tuple[int, Pair]]:
        """The trials whose settings failed in the race, each with the pair (run seed, order seed) on which."""
        return set(self._race_failures)

    def fail_race(self, job: Job, outcome: Mapping[str, Any]) -> None:
        """Write that a job of the race failed: its setting is out of the race. The first failure written stands."""
        path = self.store.race_failure_path(self.spec.name, job.trial, job.order_seed, job.run_seed)
        self.store.put_json(path, outcome)

    def spending(self, phases: Collection[str] | None = None, alive: Collection[str] = ()) -> Spending:
        """What the attempts known at the last `refresh` have taken by now, as `AttemptLog.spending` counts it."""
        self._attempt_log.refresh(self._paths)
        return self._attempt_log.spending(phases, alive)

    def end(self, number: int, outcome: Mapping[str, Any]) -> None:
        """Write the outcome of a trial that could not write its own; the first outcome written stands."""
        self.store.put_json(self.store.outcome_path(self.spec.name, number), outcome)
