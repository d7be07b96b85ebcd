"""LoRA through a sequence: one pair trained on (sequential), or a new pair per task (incremental)."""

from __future__ import annotations

from clsearch.layers.adapted import Site
from clsearch.layers.lora import LoRA
from clsearch.methods.adapter import AdapterMethod
from clsearch.methods.base import TaskData, TaskInfo


class SequentialLoRA(AdapterMethod):
    """One pair per weight, trained on through all tasks: nothing keeps it from forgetting."""

    def make_adapter(self, site: Site) -> LoRA:
        adapter = LoRA(site)
        adapter.grow(self.settings.rank, self.adapter_generator(site.name))
        return adapter


class IncrementalLoRA(AdapterMethod):
    """A new pair per task; earlier pairs are frozen and summed. SD-LoRA without its scales, O-LoRA with lambda 0."""

    def make_adapter(self, site: Site) -> LoRA:
        return LoRA(site)

    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        super().begin_task(task, data)
        for name, adapter in self.adapters.items():
            adapter.grow(self.settings.rank, self.adapter_generator(name, task.index))

    def end_task(self, data: TaskData) -> None:
        super().end_task(data)
        for adapter in self.adapters.values():
            adapter.fold()
