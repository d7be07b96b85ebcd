"""MoRA: self-activated sparse mixture of rank-1 experts (arXiv 2506.21035), and the ladder of its table 5."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from clsearch.layers.adapted import Site
from clsearch.layers.mora import MoRA, Routing
from clsearch.methods.adapter import AdapterMethod
from clsearch.methods.base import Batch, Predictor, TaskData, TaskInfo


class MoRAMethod(AdapterMethod):
    """Each task adds `new_rank` experts to every adapted layer; all earlier experts are frozen and stay in reach.

    No other loss, no router to forget, no task id: which experts answer a token is decided by the token (layers.mora).
    """

    def __init__(self, *arguments: Any) -> None:
        settings = arguments[0]
        self.routing = Routing(settings.routing, settings.temperature, settings.activation_budget)
        super().__init__(*arguments)

    def make_adapter(self, site: Site) -> MoRA:
        return MoRA(site, self.routing)

    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        super().begin_task(task, data)
        for name, adapter in self.adapters.items():
            adapter.grow(self.settings.new_rank, self.adapter_generator(name, task.index))

    def loss(self, batch: Batch) -> Tensor:
        self._route(temperature=self.settings.temperature, budget=self.settings.activation_budget, training=True)
        return super().loss(batch)

    def end_task(self, data: TaskData) -> None:
        super().end_task(data)
        for adapter in self.adapters.values():
            adapter.fold()

    def predictor(self, eval_setting: Mapping[str, Any]) -> Predictor:
        """Threshold delta acts here only; temperature and budget may differ from those of training."""
        chosen = dataclasses.replace(self.settings, **eval_setting)

        def route() -> None:
            self._route(
                temperature=chosen.temperature,
                budget=chosen.activation_budget,
                threshold=chosen.threshold,
                training=False,
            )

        route()
        predict = super().predictor(eval_setting)

        def routed(images: Tensor) -> Tensor:
            route()
            return predict(images)

        return routed

    def _route(self, **values: Any) -> None:
        """Set the routing that all layers share."""
        for name, value in values.items():
            setattr(self.routing, name, value)
