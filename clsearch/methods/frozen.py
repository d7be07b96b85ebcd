"""The model as it was pre-trained: zero-shot for CLIP, nearest class mean of features for ViT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from clsearch.methods.base import Batch, Method, ParameterGroup, Predictor, TaskData, TaskInfo
from clsearch.methods.classifiers import make_classifier


class Frozen(Method):
    """Nothing is trained. ViT: cosine to the mean unit feature of each class met, from the task's training images."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        like, classes = next(self.backbone.parameters()), len(self.stream.class_names)
        self.sums = like.new_zeros(classes, self.backbone.width)
        self.counts = like.new_zeros(classes)

    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        """Nothing grows."""

    def parameter_groups(self) -> list[ParameterGroup]:
        return []

    def loss(self, batch: Batch) -> Tensor:
        raise RuntimeError("the frozen model is not trained")

    def end_task(self, data: TaskData) -> None:
        if self.backbone.family == "clip":
            return
        sums, counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
        with torch.no_grad():
            for batch in data.batches("train"):
                features = F.normalize(self.backbone.features(batch.images), dim=-1)
                sums.index_add_(0, batch.labels, features)
                counts.index_add_(0, batch.labels, torch.ones_like(features[:, 0]))
        self.sums = self.sums + self.workers.sum(sums)
        self.counts = self.counts + self.workers.sum(counts)

    def predictor(self, eval_setting: Mapping[str, Any]) -> Predictor:
        if self.backbone.family == "clip":
            classifier = make_classifier(self.backbone, self.stream, self.settings, self.workers)
            bank = classifier.bank()
            return lambda images: classifier.scores(self.backbone.features(images), bank)
        means = F.normalize(self.sums, dim=-1)
        unseen = self.counts == 0
        return lambda images: (F.normalize(self.backbone.features(images), dim=-1) @ means.T).masked_fill(
            unseen, -torch.inf
        )

    def state(self) -> dict[str, Tensor]:
        if self.backbone.family == "clip":
            return {}
        return {"sums": self.sums, "counts": self.counts}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        if self.backbone.family == "vit":
            self.sums, self.counts = (state[name].to(self.sums.device, copy=True) for name in ("sums", "counts"))
