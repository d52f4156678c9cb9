"""Recognizer: a backbone and a head, with the three modes of MMEngine models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from karsl.checks import check_number
from karsl.models.mixup import draw_share, mix_clips
from karsl.registry import MODELS


@MODELS.register_module()
class KeypointRecognizer(BaseModel):
    """Isolated sign recognition from keypoints.

    Args:
        backbone: Config or module, (N, T, V, C) and mask to features (N, D).
        cls_head: Config or module with `forward` to logits (N, K) and `loss(logits, label)`; `check_labels(label)`, if
            defined, is called with the labels of a training batch before they go to the device.
        data_preprocessor: Config or module; None uses `KeypointDataPreprocessor`.
        mixup: Parameter alpha of mixup in training, see `mix_clips`; 0 disables it. 0.2 is usual.
        init_cfg: Initialization config of MMEngine.

    Raises:
        ConfigError: If `mixup` is negative.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        cls_head: dict | nn.Module,
        data_preprocessor: dict | nn.Module | None = None,
        mixup: float = 0.0,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = data_preprocessor or {"type": "karsl.KeypointDataPreprocessor"}
        super().__init__(data_preprocessor=_build(preprocessor), init_cfg=init_cfg)
        self.mixup = check_number(self, "mixup", mixup, low=0)
        self.backbone = _build(backbone)
        self.cls_head = _build(cls_head)
        if hasattr(self.cls_head, "check_labels"):
            self.data_preprocessor.register_forward_pre_hook(self._check_labels, with_kwargs=True)

    def forward(
        self,
        inputs: Tensor,
        keypoint_mask: Tensor,
        label: Tensor | None = None,
        sample_idx: Tensor | None = None,
        mode: str = "tensor",
        **kwargs: Any,
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Any]]:
        """Run one batch.

        Args:
            inputs: float32 (N, T, V, C).
            keypoint_mask: Bool (N, T, V), True for present keypoints.
            label: int64 (N,); required for `loss`.
            sample_idx: int64 (N,), index of each clip in the dataset.
            mode: `tensor` for logits, `loss` for training, `predict` for evaluation.
            **kwargs: Further keys of a batch. `predict` uses `num_frames` int64 (N,), lengths without padding.

        Returns:
            `tensor`: logits (N, K). `loss`: the head's dict of scalars. `predict`: one dict per clip with `pred_score` (K,),
            probabilities, and `pred_label`, `gt_label`, `sample_idx` as int; the last two are None if absent.

        Raises:
            ValueError: If `mode` is none of the three, or `loss` has no labels.
        """
        if mode not in ("tensor", "loss", "predict"):
            raise ValueError(f"mode={mode!r} is none of 'tensor', 'loss', 'predict'")
        if mode == "loss":
            return self._loss(inputs, keypoint_mask, label)
        if mode == "predict":
            logits = self._logits_to_evaluate(inputs, keypoint_mask, kwargs.get("num_frames"))
            return _predictions(logits, label, sample_idx)
        return self.cls_head(self.backbone(inputs, keypoint_mask))

    def _loss(self, inputs: Tensor, keypoint_mask: Tensor, label: Tensor | None) -> dict[str, Tensor]:
        if label is None:
            raise ValueError("mode 'loss' needs labels and the batch has none; end the pipeline with PackKeypointInputs")
        if not (self.mixup and self.training):
            return self.cls_head.loss(self.cls_head(self.backbone(inputs, keypoint_mask)), label)  # type: ignore[operator]
        share, partner = draw_share(self.mixup), torch.randperm(len(label)).to(label.device)
        logits = self.cls_head(self.backbone(*mix_clips(inputs, keypoint_mask, partner, share)))
        own, other = (self.cls_head.loss(logits, target) for target in (label, label[partner]))  # type: ignore[operator]
        return {key: share * own[key] + (1 - share) * other[key] for key in own}

    def _logits_to_evaluate(self, inputs: Tensor, keypoint_mask: Tensor, num_frames: Tensor | None) -> Tensor:
        """Return logits (N, K) that on a CPU do not depend on the other clips of the batch, not even in the last digit.

        Matrix products of other shapes are rounded differently, so each clip is evaluated alone, without its padding. On a
        CPU that takes no longer; a GPU needs batches.
        """
        if inputs.device.type != "cpu" or not len(inputs):
            return self.cls_head(self.backbone(inputs, keypoint_mask))
        lengths = [inputs.shape[1]] * len(inputs) if num_frames is None else num_frames.tolist()
        clips = [(inputs[n : n + 1, :length], keypoint_mask[n : n + 1, :length]) for n, length in enumerate(lengths)]
        return torch.cat([self.cls_head(self.backbone(*clip)) for clip in clips])

    def _check_labels(self, preprocessor: nn.Module, args: tuple, kwargs: dict) -> None:
        arguments = dict(zip(("data", "training"), args, strict=False)) | kwargs
        data = arguments.get("data")
        if arguments.get("training") and isinstance(data, Mapping) and data.get("label") is not None:
            self.cls_head.check_labels(data["label"])  # type: ignore[operator]


def _build(module: dict | nn.Module) -> nn.Module:
    return module if isinstance(module, nn.Module) else MODELS.build(module)


def _predictions(logits: Tensor, label: Tensor | None, sample_idx: Tensor | None) -> list[dict[str, Any]]:
    scores = logits.detach().float().softmax(dim=1).cpu()
    best = scores.argmax(dim=1).tolist()
    absent = [None] * len(best)
    labels = absent if label is None else label.tolist()
    indices = absent if sample_idx is None else sample_idx.tolist()
    rows = zip(scores, best, labels, indices, strict=True)
    return [dict(zip(("pred_score", "pred_label", "gt_label", "sample_idx"), row, strict=True)) for row in rows]
