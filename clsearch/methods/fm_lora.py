"""FM-LoRA: factorised shared low-rank bases, a dynamic rank selector and a meta-prompt (arXiv 2504.08823)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from clsearch.layers.adapted import Site
from clsearch.layers.factorised import STANDARD_DEVIATION, FLoRA
from clsearch.layers.rank_selector import RankSelector, smallest_sufficient
from clsearch.methods.adapter import AdapterMethod
from clsearch.methods.base import Batch, ParameterGroup, TaskData, TaskInfo


class FMLoRA(AdapterMethod):
    """dW_t = A M_t N_t^T B^T with a rank chosen per task, below a prompt that every task goes on training.

    Task 1 trains the bases A, B with its factors at r_max; they are then frozen and made orthonormal. Later tasks train
    2 r_t^2 values per weight, the head's rows and the meta-prompt, the one shared part that can forget.
    """

    def __init__(self, *arguments: Any) -> None:
        settings = arguments[0]
        self.rank_max = max(settings.candidate_ranks)
        super().__init__(*arguments)
        like = next(self.backbone.parameters())
        start = torch.empty(settings.prompt_tokens, self.backbone.width)
        start.normal_(0, STANDARD_DEVIATION, generator=self.generator("meta-prompt"))
        self.prompt = nn.Parameter(start.to(like))
        self.selector = RankSelector(settings.candidate_ranks, settings.selector_temperature).to(like)
        self.hardness: float | None = None  # H_t while the Gumbel selector trains, else None
        self.tasks_learned = 0
        self.chosen: dict[str, Any] = {}

    def make_adapter(self, site: Site) -> FLoRA:
        return FLoRA(site, self.rank_max, self.adapter_generator(site.name), self.settings.combination)

    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        super().begin_task(task, data)
        self.chosen = {"rank": self.rank_max}
        if self.tasks_learned and self.settings.rank_selector != "fixed":
            start = self._snapshot()
            choose = self._choose_gumbel if self.settings.rank_selector == "gumbel" else self._choose_validate
            self.chosen = choose(data, start)
            self._restart(self.chosen["rank"], start)
        else:
            self._grow(self.rank_max)

    def parameter_groups(self) -> list[ParameterGroup]:
        groups = super().parameter_groups()
        if self.settings.prompt_tokens:
            groups.append(ParameterGroup([self.prompt], self.settings.prompt_learning_rate))
        if self.hardness is not None:
            rate = self.settings.selector_learning_rate / self.settings.learning_rate
            groups.append(ParameterGroup([self.selector.weights], rate))
        return groups

    def features(self, images: Tensor) -> Tensor:
        features: Tensor = self.backbone.features(images, self.prompt if self.settings.prompt_tokens else None)
        return features

    def loss(self, batch: Batch) -> Tensor:
        if self.hardness is not None:
            mask = self.selector.sample_mask(self.hardness, self.generator(*batch.address[1:], "gumbel"))
            for adapter in self.adapters.values():
                adapter.rank_mask = mask
        return super().loss(batch)

    def end_task(self, data: TaskData) -> None:
        super().end_task(data)
        for adapter in self.adapters.values():
            adapter.fold()
            if not self.tasks_learned:
                adapter.freeze_bases()
                if self.settings.orthonormalise != "none":
                    adapter.orthonormalise(self.settings.orthonormalise)
        self.tasks_learned += 1

    def record(self) -> dict[str, Any]:
        """r_t, and where a selector ran: H_t and p(r | t), or the inner accuracy of every candidate."""
        return self.chosen

    def state(self) -> dict[str, Tensor]:
        own = {"prompt": self.prompt.detach(), "selector": self.selector.weights.detach()}
        return super().state() | own | {"tasks_learned": torch.tensor(self.tasks_learned)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        with torch.no_grad():
            self.prompt.copy_(state["prompt"])
            self.selector.weights.copy_(state["selector"])
        self.tasks_learned = int(state["tasks_learned"])
        if self.tasks_learned:
            for adapter in self.adapters.values():
                adapter.freeze_bases()

    # The rank selectors: both look at `train` and `inner` only, and leave no trace but the rank and the weights w.

    def _choose_gumbel(self, data: TaskData, start: dict[str, Tensor]) -> dict[str, Any]:
        """H_t is the inner loss after a preliminary epoch at r_max; a second trains w under Gumbel noise (eq. 11)."""
        self._restart(self.rank_max, start)
        data.preliminary_fit(self, self.settings.selector_epochs, "hardness")
        hardness, _ = self._inner(data)
        self._restart(self.rank_max, start)
        self.hardness = hardness
        data.preliminary_fit(self, self.settings.selector_epochs, "selection")
        self.hardness = None
        for adapter in self.adapters.values():
            adapter.rank_mask = None
        p = self.selector.probabilities(hardness)
        rank = self.settings.candidate_ranks[int(p.argmax())]
        return {"rank": rank, "inner_loss": hardness, "p": p.tolist()}

    def _choose_validate(self, data: TaskData, start: dict[str, Tensor]) -> dict[str, Any]:
        """Every candidate learns for `selector_epochs`; the smallest that comes close to the best is taken."""
        accuracies = []
        for rank in self.settings.candidate_ranks:
            self._restart(rank, start)
            data.preliminary_fit(self, self.settings.selector_epochs, f"candidate {rank}")
            accuracies.append(self._inner(data)[1])
        rank = smallest_sufficient(self.settings.candidate_ranks, accuracies, self.settings.selector_tolerance)
        return {"rank": rank, "inner_accuracies": accuracies}

    def _inner(self, data: TaskData) -> tuple[float, float]:
        """Mean loss and accuracy (%) over the task's classes on the inner split."""
        sums = torch.zeros(3, dtype=torch.float64, device=self.prompt.device)
        with torch.no_grad():
            for batch in data.batches("inner"):
                features = self.features(batch.images)
                correct = (self.classifier.local_prediction(features) == batch.labels).sum()
                loss = self.classifier.loss(features, batch) * batch.global_size
                count = torch.full_like(correct, len(batch.labels))
                sums += torch.stack([loss.double(), correct.double(), count.double()])
        total_loss, total_correct, total = self.workers.sum(sums).tolist()
        return total_loss / total, 100 * total_correct / total

    def _snapshot(self) -> dict[str, Tensor]:
        """Start-of-task values of what outlives a restart: the head's new rows and the prompt."""
        return {str(i): p.detach().clone() for i, p in enumerate([*self.classifier.parameters(), self.prompt])}

    def _restart(self, rank: int, start: dict[str, Tensor]) -> None:
        """Back to the start of the task, with fresh factors of `rank`."""
        with torch.no_grad():
            for i, parameter in enumerate([*self.classifier.parameters(), self.prompt]):
                parameter.copy_(start[str(i)])
        self._grow(rank)

    def _grow(self, rank: int) -> None:
        for adapter in self.adapters.values():
            adapter.grow(rank)
