"""Methods on nano networks in float64: what the conformance suite and the golden numbers stand on."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from clsearch.backbones.load import load_backbone
from clsearch.benchmarks.streams import open_stream
from clsearch.layers.workers import Workers
from clsearch.learning.optimisation import in_order, preparation
from clsearch.learning.request import SequenceRequest
from clsearch.learning.stages import make_method
from clsearch.learning.task_data import LearningData
from clsearch.methods.base import Batch, TaskInfo
from clsearch.spec.settings import make_settings

SHORT = {"iterations": 4, "batch": 6, "learning_rate": 5e-3}
ADAPTED = {"projections": ("q", "v", "fc1")}
FM = {**SHORT, **ADAPTED, "candidate_ranks": (2, 4), "prompt_tokens": 2}

# Every method, and every switch that changes its numbers: name -> (method, settings, backbone, benchmark).
CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "mora": ("mora", {**SHORT, "new_rank": 4, "activation_budget": 4}, "nano_clip", "nano_x_tail"),
    "mora_vit": ("mora", {**SHORT, "new_rank": 4, "activation_budget": 3, **ADAPTED}, "nano_vit", "nano_cil"),
    **{
        f"mora_{routing}": (
            "mora",
            {**SHORT, **ADAPTED, "new_rank": 3, "activation_budget": 3, "routing": routing},
            "nano_clip",
            "nano_x_tail",
        )
        for routing in ("router_lora", "router_rank", "self_activated", "sparse")
    },
    "fm_lora": ("fm_lora", FM, "nano_vit", "nano_cil"),
    "fm_lora_validate": ("fm_lora", {**FM, "rank_selector": "validate"}, "nano_vit", "nano_cil"),
    "fm_lora_fixed": ("fm_lora", {**FM, "rank_selector": "fixed", "prompt_tokens": 0}, "nano_vit", "nano_cil"),
    "fm_lora_last": ("fm_lora", {**FM, "combination": "last", "orthonormalise": "svd"}, "nano_vit", "nano_cil"),
    "fm_lora_continue": ("fm_lora", {**FM, "combination": "continue"}, "nano_vit", "nano_cil"),
    "fm_lora_continue_fixed": (
        "fm_lora",
        {**FM, "combination": "continue", "rank_selector": "fixed", "schedule": "constant", "weight_decay": 0.1},
        "nano_vit",
        "nano_cil",
    ),
    "sequential_lora_epochs": (
        "sequential_lora",
        {"iterations": 0, "epochs": 2, "batch": 8, "optimiser": "adam", "rank": 2},
        "nano_vit",
        "nano_dil",
    ),
    "fm_lora_plain": ("fm_lora", {**FM, "orthonormalise": "none"}, "nano_vit", "nano_dil"),
    "sequential_lora": ("sequential_lora", {**SHORT, "rank": 3}, "nano_vit", "nano_cil"),
    "sequential_lora_clip": ("sequential_lora", {**SHORT, "rank": 3}, "nano_clip", "nano_x_tail"),
    "incremental_lora": ("incremental_lora", {**SHORT, "rank": 3}, "nano_vit", "nano_cil"),
    "incremental_lora_clip": (
        "incremental_lora",
        {**SHORT, "rank": 3, "clip_text_loss": "present"},
        "nano_clip",
        "nano_x_tail",
    ),
    "fine_tuning": ("fine_tuning", {**SHORT, "learning_rate": 1e-3}, "nano_vit", "nano_cil"),
    "fine_tuning_clip": (
        "fine_tuning",
        {**SHORT, "learning_rate": 1e-3, "optimiser": "sgd", "label_smoothing": 0.2, "warmup": 2},
        "nano_clip",
        "nano_x_tail",
    ),
    "frozen": ("frozen", {}, "nano_vit", "nano_cil"),
    "frozen_clip": ("frozen", {}, "nano_clip", "nano_x_tail"),
}


@dataclasses.dataclass
class Nano:
    """One case, its stream and its method, task by task."""

    case: str
    workers: Workers = dataclasses.field(default_factory=Workers)
    overrides: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.set_num_threads(1)
        name, settings, backbone, benchmark = CASES[self.case]
        self.stream = open_stream(benchmark, 0)
        request = SequenceRequest(
            "s", 0, "search", "end_of_sequence", name, settings | self.overrides, backbone, benchmark, 0, 0
        )
        self.backbone = load_backbone(backbone, "float64")
        self.prepare = preparation(self.stream.normalize, torch.float64, torch.device("cpu"))
        self.method = make_method(
            request, make_settings(name, request.settings), self.stream, self.backbone, self.workers
        )
        self.losses: list[float] = []

    def begin(self, t: int) -> LearningData:
        task = self.stream.tasks[t - 1]
        data = LearningData(task, self.method.settings, 0, self.prepare, self.workers)
        self.method.begin_task(TaskInfo(t, task.name, task.classes), data)
        return data

    def train(self, data: LearningData) -> None:
        if not self.method.parameter_groups():
            return
        keep = self.method.loss

        def logged(batch: Batch) -> torch.Tensor:
            loss = keep(batch)
            self.losses.append(float(self.workers.sum(loss.detach())))
            return loss

        self.method.loss = logged  # type: ignore[method-assign]
        try:
            data.fit(self.method)
        finally:
            del self.method.loss

    def learn(self, t: int) -> None:
        data = self.begin(t)
        self.train(data)
        self.method.end_task(data)

    def scores(self, t: int, **eval_setting: Any) -> torch.Tensor:
        """Scores of the validation images of task t; -inf (not answerable yet) as a large negative number."""
        examples = self.stream.tasks[t - 1].validation
        (batch,) = in_order(examples, len(examples), self.prepare, ("scores",), Workers())
        with torch.inference_mode():
            scores = self.method.predictor(eval_setting)(batch.images)
        return scores.nan_to_num(neginf=-1e9).clone()
