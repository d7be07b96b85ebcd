"""What a method of continual learning is, and what it is given.

A method owns what it adds to the backbone. The learning engine calls, for each task in turn,

    begin_task(task, data)     grow or choose parameters; may look at `train` and `inner`, nothing else exists for it
    loss(batch)                this worker's share of the loss: the sum over workers is the loss of the whole batch
    after_step()               proximal steps, weight averaging
    end_task(data)             freeze, merge, statistics
    predictor(eval_setting)    a function from images to scores, for one eval setting; no task id
    state(), load_state()      all that differs from the backbone once a task has ended

Between tasks nothing else is remembered: a method whose state was loaded must go on exactly as one that never stopped.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from clsearch.layers.workers import Workers
from clsearch.spec.seeds import derive_seed
from clsearch.spec.settings import MethodSettings

Predictor = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TaskInfo:
    """The task to learn: 1-based index, name, and the global labels of its classes."""

    index: int
    name: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class StreamInfo:
    """What is known of the stream from the start: its label space, and its length where the method says it reads it."""

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    tasks_total: int | None


@dataclass(frozen=True)
class Batch:
    """This worker's share of a batch: images (b, 3, H, W), global labels (b), and the size B over all workers.

    `address` names the step for random draws: (run seed, task, purpose, step).
    """

    images: Tensor
    labels: Tensor
    global_size: int
    address: tuple[int | str, ...]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate, as a multiple of the setting's."""

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0


class TaskData(Protocol):
    """A task's data as a method sees it: `train` and `inner`, in order, without augmentation."""

    def batches(self, view: Literal["train", "inner"]) -> Iterator[Batch]:
        """This worker's share of the view, batch by batch."""
        ...

    def preliminary_fit(self, method: Method, epochs: int, purpose: str) -> None:
        """Train the method's parameters on `train` for some epochs, as for the task but with its own random draws."""
        ...


class Method(abc.ABC):
    """Base of all methods. `backbone` is its own copy, frozen; `workers` are those that learn with it."""

    def __init__(
        self, settings: MethodSettings, backbone: Any, stream: StreamInfo, run_seed: int, workers: Workers
    ) -> None:
        self.settings: Any = settings
        self.backbone, self.stream, self.run_seed, self.workers = backbone, stream, run_seed, workers

    def generator(self, *address: int | str) -> torch.Generator:
        """A generator for the draws at (run seed, *address)."""
        return torch.Generator().manual_seed(derive_seed(self.run_seed, *address))

    @abc.abstractmethod
    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        """Grow or choose parameters for the task."""

    @abc.abstractmethod
    def parameter_groups(self) -> list[ParameterGroup]:
        """What the current task trains; empty where nothing is trained."""

    @abc.abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """This worker's share of the loss of one batch, a scalar."""

    def after_step(self) -> None:  # noqa: B027 - most methods have nothing to do here
        """Called after every optimiser step."""

    @abc.abstractmethod
    def end_task(self, data: TaskData) -> None:
        """Freeze, merge, gather statistics."""

    @abc.abstractmethod
    def predictor(self, eval_setting: Mapping[str, Any]) -> Predictor:
        """Scores (B, all classes) from images under one eval setting; a class that cannot be answered yet is -inf.

        Work that does not depend on the images (text features) is done once, here. Predictors of several settings may
        be used by turns; all are valid until the next task begins.
        """

    @abc.abstractmethod
    def state(self) -> dict[str, Tensor]:
        """All tensors that differ from the backbone, at the end of a task."""

    @abc.abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up a state of the same method and settings; raises KeyError where it is another's."""

    def record(self) -> dict[str, Any]:
        """Facts about the task just learned, for the stage's record (JSON)."""
        return {}

    def trained_parameters(self) -> int:
        """Number of parameters the current task trains."""
        return sum(p.numel() for group in self.parameter_groups() for p in group.parameters)

    def stored_parameters(self) -> int:
        """Number of values that must be kept beside the backbone once the task has ended."""
        return sum(t.numel() for t in self.state().values() if t.is_floating_point())


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under `prefix.`, detached."""
    return {f"{prefix}.{name}": tensor.detach() for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `prefixed`: the tensors below `prefix.`, without it."""
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
