"""From features to class scores and losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from karsl.errors import ConfigError
from karsl.registry import MODELS


@MODELS.register_module()
class ClassifierHead(BaseModule):
    """Dropout and one linear layer.

    Args:
        num_classes: K. `"auto"` in a config is filled from the dataset by `build_runner` before the model is built.
        in_channels: D, size of a feature.
        dropout_ratio: Dropped features in training.
        label_smoothing: Probability mass spread over all classes, in [0, 1).
        init_cfg: MMEngine's initialisation config.

    Raises:
        ConfigError: `num_classes` is not a number of classes.
    """

    def __init__(
        self,
        num_classes: int | str,
        in_channels: int,
        dropout_ratio: float = 0.0,
        label_smoothing: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ConfigError(
                f"ClassifierHead: num_classes={num_classes!r} is not a number of classes; "
                "give one, or build with karsl.engine.build_runner, which fills 'auto' from the dataset"
            )
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Score classes: (N, D) to logits (N, K)."""
        return self.fc(self.dropout(features))

    def loss(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Cross-entropy and the batch's accuracy.

        Args:
            logits: (N, K).
            label: int64 (N,), each in [0, K).

        Returns:
            `loss_cls`, and `top1_acc` for the log; both scalars.

        Raises:
            ValueError: A label is outside [0, K); on a GPU see `check_labels`.
        """
        self.check_labels(label)
        logits = logits.float()
        loss = F.cross_entropy(logits, label, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(dim=1) == label).float().mean()
        return {"loss_cls": loss, "top1_acc": accuracy}

    def check_labels(self, label: Tensor | Sequence[int]) -> None:
        """See that labels are classes; those on a GPU are let pass, since reading them would wait for all work before.

        The recogniser calls it in training before a batch goes to the device.

        Raises:
            ValueError: A label is outside [0, K).
        """
        label = torch.as_tensor(label)
        if label.device.type != "cpu" or not label.numel():
            return
        low, high = int(label.min()), int(label.max())
        if low < 0 or high >= self.num_classes:
            raise ValueError(
                f"label {low if low < 0 else high} is outside 0..{self.num_classes - 1}; "
                "set num_classes='auto' or relabel the dataset contiguously"
            )
