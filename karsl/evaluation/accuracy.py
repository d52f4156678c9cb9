"""Top-1, top-5 and mean-class accuracy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from karsl.registry import METRICS


def true_class_ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes are placed before the true one.

    Equal scores are placed by class number, as `argmax` does. A row with a score that is not finite counts as wrong for
    every k: comparisons with NaN are all false, which would place the true class first.

    Args:
        scores: float (N, K).
        labels: int (N,), each in [0, K).

    Returns:
        int64 (N,), each in [0, K]; 0 = predicted.

    Example:
        >>> true_class_ranks(np.array([[3, 1, 2], [1, 1, 0], [np.nan, 1, 0]]), np.array([2, 1, 1]))
        array([1, 1, 3])
    """
    num_classes = scores.shape[1]
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(num_classes) < labels[:, None]
    ranks = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return np.where(np.isfinite(scores).all(axis=1), ranks, num_classes)


@METRICS.register_module()
class AccuracyMetric(BaseMetric):
    """Accuracy over all clips (`top1`, `top5`, ...) and averaged over classes (`mean1`).

    Keys are MMAction2's with the prefix: `acc/top1`, `acc/top5`, `acc/mean1`. The mean takes the classes that occur in
    the evaluated set; when classes of the dataset are absent, the log says how many. With K classes `topk` for k >= K
    is 1 whatever the model does, so it is left out, which the log says once.

    One small tuple a clip is kept, never its K scores.

    Args:
        topk: The k of `topk`.
        collect_device: `gpu` gathers through the process group, whatever its backend (gloo included); `cpu` through
            pickles in a folder that all ranks must share. The names are MMEngine's.
        prefix: Before each key.
    """

    default_prefix = "acc"

    def __init__(self, topk: Sequence[int] = (1, 5), collect_device: str = "gpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)
        self._told_trivial = False

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Note `(label, rank of the true class, K)` of each clip.

        Args:
            data_batch: Not used.
            data_samples: Per clip `pred_score` (K,) and `gt_label`.

        Raises:
            ValueError: A clip has no label, or its label is outside [0, K).
        """
        if not data_samples:
            return
        truth = [sample.get("gt_label") for sample in data_samples]
        if any(label is None for label in truth):
            raise ValueError("AccuracyMetric needs 'gt_label' of every clip; the dataset must give labels")
        scores = torch.stack([torch.as_tensor(sample["pred_score"]) for sample in data_samples]).float().cpu().numpy()
        labels = np.array(truth, dtype=np.int64)
        if labels.min() < 0 or labels.max() >= scores.shape[1]:
            raise ValueError(
                f"AccuracyMetric: labels {labels.min()}..{labels.max()} do not fit {scores.shape[1]} scores; "
                "was the model trained on another set of signs?"
            )
        ranks = true_class_ranks(scores, labels)
        self.results.extend((int(label), int(rank), scores.shape[1]) for label, rank in zip(labels, ranks, strict=True))

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Average over clips and over classes.

        Args:
            results: What `process` noted, of all ranks.

        Returns:
            `{'top1': ..., 'top5': ..., 'mean1': ...}`, each in [0, 1]; only k < K, and k = 1.

        Raises:
            ValueError: Nothing was evaluated.
        """
        if not results:
            raise ValueError("AccuracyMetric: no clip was evaluated; is the evaluated split empty?")
        labels, ranks, num_classes = np.array(results).T
        broken = int((ranks >= num_classes).sum())
        if broken:
            _warn(f"{broken} of {len(ranks)} clips have scores that are not finite; they count as wrong")
        counts = np.bincount(labels)
        hits = np.bincount(labels, weights=ranks == 0)
        present = counts > 0
        self._report_absent(int(present.sum()))
        most = int(num_classes.max())
        self._report_trivial(most)
        values = {f"top{k}": float((ranks < np.minimum(k, num_classes)).mean()) for k in self.topk if k < max(most, 2)}
        return values | {"mean1": float((hits[present] / counts[present]).mean())}

    def _report_trivial(self, num_classes: int) -> None:
        trivial = [f"top{k}" for k in self.topk if k >= max(num_classes, 2)]
        if trivial and not self._told_trivial:
            self._told_trivial = True
            _warn(f"with {num_classes} classes {' and '.join(trivial)} would be 1 whatever the model does, and is left out")

    def _report_absent(self, num_present: int) -> None:
        classes = (self.dataset_meta or {}).get("classes", ())
        if num_present < len(classes):
            absent = len(classes) - num_present
            _warn(f"{absent} of {len(classes)} classes have no clip here and are left out of mean1")


def _warn(text: str) -> None:
    print_log(f"AccuracyMetric: {text}", logger="current", level=logging.WARNING)
