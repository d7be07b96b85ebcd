"""Places in the cluster that workers of Ray Train leave behind when their trial ends before them."""

from __future__ import annotations

from typing import Any

import ray
from ray.tune import Callback
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group


class PlaceKeeper(Callback):
    """Gives back the place of a trial's workers when the trial was stopped or lost.

    When a trial's process goes away its workers do too, but not their placement group: as long as the driver lives, no
    other trial gets its processors. Ray 2.60 has an actor for that which asks the dashboard's server; a local cluster
    has none, and where several clusters share a machine it finds none either. So the workers report their group with
    each task, and it is removed from here.
    """

    def __init__(self) -> None:
        self._groups: dict[str, str] = {}  # trial id -> hexadecimal id of the placement group

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks into scratch

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """A task was finished: its report names the group. A job that ended of itself has given it back."""
        if "status" in result:
            self._groups.pop(trial.trial_id, None)
        elif "placement_group" in result:
            self._groups[trial.trial_id] = result["placement_group"]

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The job ended, of itself or stopped."""
        self._give_back(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's process was lost and is started again."""
        self._give_back(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial's process was lost and is given up."""
        self._give_back(trial.trial_id)

    def _give_back(self, trial_id: str) -> None:
        name = self._groups.pop(trial_id, None)
        if name is None:
            return
        group = PlacementGroup(ray.PlacementGroupID.from_hex(name))
        if placement_group_table(group).get("state", "REMOVED") != "REMOVED":
            remove_placement_group(group)
