"""Classification head: features to logits, and the loss."""

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
    """Dropout and a linear layer.

    Args:
        num_classes: Number of classes, K. `build_runner` replaces `"auto"` in a config by the value of the dataset.
        in_channels: Feature size, D.
        dropout_ratio: Dropout probability.
        label_smoothing: Probability mass spread over all classes, in [0, 1).
        init_cfg: Initialization config of MMEngine.

    Raises:
        ConfigError: If `num_classes` is not a positive integer.
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
                f"ClassifierHead: num_classes={num_classes!r}; expected a positive integer, "
                "or 'auto' with karsl.engine.build_runner, which takes it from the dataset"
            )
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.dropout = nn.Dropout(dropout_ratio)
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (N, D) to logits (N, K)."""
        return self.fc(self.dropout(features))

    def loss(self, logits: Tensor, label: Tensor) -> dict[str, Tensor]:
        """Compute cross-entropy and accuracy of a batch.

        Args:
            logits: (N, K).
            label: int64 (N,), each in [0, K).

        Returns:
            Scalars `loss_cls`, and `top1_acc` for the log.

        Raises:
            ValueError: If a label on the CPU is outside [0, K).
        """
        self.check_labels(label)
        logits = logits.float()
        loss = F.cross_entropy(logits, label, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(dim=1) == label).float().mean()
        return {"loss_cls": loss, "top1_acc": accuracy}

    def check_labels(self, label: Tensor | Sequence[int]) -> None:
        """Check that labels are classes. Labels on a GPU are not checked, because reading them would synchronize.

        The recognizer calls this in training before a batch goes to the device.

        Raises:
            ValueError: If a label is outside [0, K).
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
