"""Full fine-tuning: every weight of the backbone, task after task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from clsearch.layers.adapted import replace_tensors
from clsearch.methods.base import prefixed, under
from clsearch.methods.classifiers import ClassifierMethod

FROZEN = ("logit_scale",)


class FineTuning(ClassifierMethod):
    """ViT: local cross-entropy on a growing head (PILOT). CLIP: both encoders, without the logit scale (ZSCL)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad_(not name.endswith(FROZEN))

    def feature_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.backbone.parameters() if p.requires_grad]

    def state(self) -> dict[str, Tensor]:
        return prefixed("backbone", self.backbone.state_dict()) | prefixed("classifier", self.classifier.state())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        replace_tensors(self.backbone, under("backbone", state))
        self.classifier.load_state(under("classifier", state))
