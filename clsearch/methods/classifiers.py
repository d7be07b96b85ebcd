"""From features to classes: a growing head for ViT, the texts of the class names for CLIP.

Adapter methods are the same mathematics on either family; what differs stands here. Both classifiers have one face:
begin_task, loss, bank (what evaluation needs once), scores, end_task, and a state.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clsearch.layers.adapted import replace_tensors
from clsearch.layers.head import GrowingHead
from clsearch.layers.workers import Workers
from clsearch.methods.base import Batch, Method, ParameterGroup, Predictor, StreamInfo, TaskData, TaskInfo

TEXTS_AT_ONCE = 256  # names encoded in one pass; no result depends on it


class LinearClassifier:
    """Growing linear head trained by local cross-entropy: softmax over the current task's classes."""

    def __init__(self, backbone: Any, stream: StreamInfo, settings: Any) -> None:
        self.head = GrowingHead(backbone.width, len(stream.class_names)).to(next(backbone.parameters()))
        self.smoothing = settings.label_smoothing

    def begin_task(self, task: TaskInfo, generator: torch.Generator) -> None:
        """Make the rows of the task's classes trainable."""
        self.head.grow(task.classes, generator)

    def parameters(self) -> list[nn.Parameter]:
        """The trainable rows."""
        return list(self.head.parameters())

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        """This worker's share of the mean local cross-entropy."""
        local = torch.searchsorted(self.head.classes, batch.labels)
        scores = self.head.local_scores(features)
        return F.cross_entropy(scores, local, reduction="sum", label_smoothing=self.smoothing) / batch.global_size

    def local_prediction(self, features: Tensor) -> Tensor:
        """The best label (b) among the current task's classes."""
        return self.head.classes[self.head.local_scores(features).argmax(1)]

    def end_task(self) -> None:
        """Freeze the rows."""
        self.head.fold()

    def bank(self) -> None:
        """Nothing is prepared for evaluation."""

    def scores(self, features: Tensor, bank: None) -> Tensor:
        """Scores over all classes seen."""
        return self.head.scores(features)

    def state(self) -> dict[str, Tensor]:
        """The rows of all classes, and which were seen."""
        return dict(self.head.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up rows."""
        replace_tensors(self.head, state)


class TextClassifier:
    """Cosine similarity to the text features of class names, at CLIP's frozen scale.

    Training compares images with the current task's prompts, encoded anew each step since the text encoder may be
    trained too. At test time every name of every task competes, seen or not.
    """

    def __init__(self, backbone: Any, stream: StreamInfo, settings: Any, workers: Workers) -> None:
        self.backbone, self.workers = backbone, workers
        self.smoothing, self.text_loss = settings.label_smoothing, settings.clip_text_loss
        prompts = [template.format(n) for template, n in zip(stream.templates, stream.class_names, strict=True)]
        self.tokens: Tensor = backbone.tokenize(prompts).to(next(backbone.parameters()).device)
        self.classes = torch.zeros(0, dtype=torch.long)
        self.classes_before = 0

    def begin_task(self, task: TaskInfo, generator: torch.Generator) -> None:
        """Choose the task's prompts."""
        self.classes = torch.tensor(sorted(task.classes), device=self.tokens.device)

    def parameters(self) -> list[nn.Parameter]:
        """Nothing: the texts are the classifier."""
        return []

    def loss(self, features: Tensor, batch: Batch) -> Tensor:
        """This worker's share of the image loss, plus the text-side loss where the setting asks for it."""
        text = self.backbone.text_features(self.tokens[self.classes])
        scale = self.backbone.scale()
        local = torch.searchsorted(self.classes, batch.labels)
        scores = scale * features @ text.T
        loss = F.cross_entropy(scores, local, reduction="sum", label_smoothing=self.smoothing) / batch.global_size
        if self.text_loss != "none":
            loss = loss + self._text_loss(features, text, scale, local)
        return loss

    def _text_loss(self, features: Tensor, text: Tensor, scale: Tensor, local: Tensor) -> Tensor:
        """Cross-entropy of each class's text over the images of the batch, targets unnormalised counts M (C x B).

        `published` divides by the number of all classes met so far, absent ones included, so that the term shrinks as
        tasks accumulate, as the public code does; `present` by the number of classes in the batch.
        """
        features, local = self.workers.gather(features), self.workers.gather(local)
        log_p_CB = (scale * text @ features.T).log_softmax(-1)
        m_CB = F.one_hot(local, len(self.classes)).T.to(log_p_CB)
        met, present = self.classes_before + len(self.classes), int((m_CB.sum(1) > 0).sum())
        rows = met if self.text_loss == "published" else present
        return -(m_CB * log_p_CB).sum() / rows / self.workers.size

    def end_task(self) -> None:
        """Count the classes met."""
        self.classes_before += len(self.classes)

    def bank(self) -> Tensor:
        """Text features of every name (C, d), encoded once with the current model."""
        parts = [self.backbone.text_features(tokens) for tokens in torch.split(self.tokens, TEXTS_AT_ONCE)]
        return torch.cat(parts)

    def scores(self, features: Tensor, bank: Tensor) -> Tensor:
        """Cosine similarities to all names, scaled."""
        scores: Tensor = self.backbone.scale() * features @ bank.T
        return scores

    def state(self) -> dict[str, Tensor]:
        """The number of classes met."""
        return {"classes_before": torch.tensor(self.classes_before)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take up the number of classes met."""
        self.classes_before = int(state["classes_before"])


def make_classifier(backbone: Any, stream: StreamInfo, settings: Any, workers: Workers) -> Any:
    """The classifier of the backbone's family."""
    if backbone.family == "clip":
        return TextClassifier(backbone, stream, settings, workers)
    return LinearClassifier(backbone, stream, settings)


class ClassifierMethod(Method):
    """A method that learns features under its family's classifier; a subclass says what of the features it trains."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.classifier = make_classifier(self.backbone, self.stream, self.settings, self.workers)

    def begin_task(self, task: TaskInfo, data: TaskData) -> None:
        self.classifier.begin_task(task, self.generator(task.index, "head"))

    @abc.abstractmethod
    def feature_parameters(self) -> list[nn.Parameter]:
        """The trainable parameters below the classifier."""

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup([*self.feature_parameters(), *self.classifier.parameters()])]

    def features(self, images: Tensor) -> Tensor:
        """Features (b, d) of normalised images under what has been learned."""
        features: Tensor = self.backbone.features(images)
        return features

    def loss(self, batch: Batch) -> Tensor:
        loss: Tensor = self.classifier.loss(self.features(batch.images), batch)
        return loss

    def end_task(self, data: TaskData) -> None:
        self.classifier.end_task()

    def predictor(self, eval_setting: Mapping[str, Any]) -> Predictor:
        bank = self.classifier.bank()
        return lambda images: self.classifier.scores(self.features(images), bank)
