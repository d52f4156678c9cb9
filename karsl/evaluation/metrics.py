"""Accuracy over clips and classes, and a dump of predictions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from karsl.errors import pluralize
from karsl.io.atomic import atomic_path
from karsl.registry import METRICS


def rank_of_true_class(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count the classes that are ranked before the true one.

    Equal scores are ranked by class number, as `argmax` does. A row with a score that is not finite counts as wrong for
    every k: comparisons with NaN are all false, which would rank the true class first.

    Args:
        scores: float (N, K).
        labels: int (N,), each in [0, K).

    Returns:
        int64 (N,), each in [0, K]; 0 = predicted.

    Example:
        >>> rank_of_true_class(np.array([[3, 1, 2], [1, 1, 0], [np.nan, 1, 0]]), np.array([2, 1, 1]))
        array([1, 1, 3])
    """
    num_classes = scores.shape[1]
    true_scores = scores[np.arange(len(labels)), labels][:, None]
    is_earlier = np.arange(num_classes) < labels[:, None]
    ranks = ((scores > true_scores) | ((scores == true_scores) & is_earlier)).sum(axis=1)
    return np.where(np.isfinite(scores).all(axis=1), ranks, num_classes)


def labels_and_scores(data_samples: Sequence[dict], *, owner: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and scores of some clips.

    Args:
        data_samples: `pred_score` (K,) and `gt_label` per clip; at least one.
        owner: Name of the metric, for errors.

    Returns:
        int64 (N,) and float32 (N, K).

    Raises:
        ValueError: If a clip has no label, or its label is outside [0, K).
    """
    given = [sample.get("gt_label") for sample in data_samples]
    if any(label is None for label in given):
        raise ValueError(f"{owner} needs 'gt_label' of every clip; the dataset must provide labels")
    scores = torch.stack([torch.as_tensor(sample["pred_score"]) for sample in data_samples]).float().cpu().numpy()
    labels = np.array(given, dtype=np.int64)
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"{owner}: labels {labels.min()}..{labels.max()} do not fit {pluralize(scores.shape[1], 'score')}; "
            "was the model trained on another set of signs?"
        )
    return labels, scores


@METRICS.register_module()
class AccuracyMetric(BaseMetric):
    """Accuracy over all clips (`top1`, `top5`, ...) and averaged over classes (`mean1`).

    Keys are those of MMAction2 with the prefix: `acc/top1`, `acc/top5`, `acc/mean1`. The mean is over the classes that occur
    in the evaluated set; the number of absent classes is logged. With K classes `topk` for k >= K is 1 for every model, so
    it is left out, which is logged once.

    One small tuple per clip is stored, never its K scores.

    Args:
        topk: Values of k.
        collect_device: `gpu` gathers through the process group, whatever its backend (gloo included); `cpu` through
            pickles in a folder that all ranks share. The names are those of MMEngine.
        prefix: Prefix of the keys.
    """

    default_prefix = "acc"

    def __init__(self, topk: Sequence[int] = (1, 5), collect_device: str = "gpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = tuple(topk)
        self._has_warned = False

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store `(label, rank of the true class, K)` of each clip.

        Args:
            data_batch: Not used.
            data_samples: `pred_score` (K,) and `gt_label` per clip.

        Raises:
            ValueError: If a clip has no label, or its label is outside [0, K).
        """
        if not data_samples:
            return
        labels, scores = labels_and_scores(data_samples, owner="AccuracyMetric")
        ranks = rank_of_true_class(scores, labels)
        self.results.extend((int(label), int(rank), scores.shape[1]) for label, rank in zip(labels, ranks, strict=True))

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Average over clips and over classes.

        Args:
            results: Tuples stored by `process`, of all ranks.

        Returns:
            `{'top1': ..., 'top5': ..., 'mean1': ...}`, each in [0, 1]; only k < K, and k = 1.

        Raises:
            ValueError: If no clip was evaluated.
        """
        if not results:
            raise ValueError("AccuracyMetric: no clip was evaluated; is the evaluated split empty?")
        labels, ranks, num_classes = np.array(results).T
        not_finite = int((ranks >= num_classes).sum())
        if not_finite:
            _warn(f"scores of {not_finite} of {pluralize(len(ranks), 'clip')} are not finite; they count as wrong")
        counts = np.bincount(labels)
        hits = np.bincount(labels, weights=ranks == 0)
        present = counts > 0
        self._warn_of_absent_classes(int(present.sum()))
        max_classes = int(num_classes.max())
        self._warn_of_trivial_keys(max_classes)
        topk = [k for k in self.topk if k < max(max_classes, 2)]
        values = {f"top{k}": float((ranks < np.minimum(k, num_classes)).mean()) for k in topk}
        return values | {"mean1": float((hits[present] / counts[present]).mean())}

    def _warn_of_trivial_keys(self, num_classes: int) -> None:
        trivial = [f"top{k}" for k in self.topk if k >= max(num_classes, 2)]
        if trivial and not self._has_warned:
            self._has_warned = True
            _warn(f"with {pluralize(num_classes, 'class')} {' and '.join(trivial)} would be 1 for every model; left out")

    def _warn_of_absent_classes(self, num_present: int) -> None:
        classes = (self.dataset_meta or {}).get("classes", ())
        if num_present < len(classes):
            absent = len(classes) - num_present
            _warn(f"no clip of {absent} of {pluralize(len(classes), 'class')} in the evaluated set; mean1 leaves them out")


def _warn(text: str) -> None:
    print_log(f"AccuracyMetric: {text}", logger="current", level=logging.WARNING)


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Write the best classes of each clip as JSON; adds no metric.

    The file is `{"classes": [...], "predictions": [{"sample_idx", "gt_label", "pred_label", "top": [[label, score],
    ...]}, ...]}` in dataset order, one line per clip, written atomically.

    Args:
        out_file: Path of the JSON file.
        topk: Number of best classes to store per clip.
        describe: Returns further JSON-compatible keys of each clip from the list of all `sample_idx`, e.g. its `clip_id`.
    """

    default_prefix = "dump"

    def __init__(
        self, out_file: str | Path, topk: int = 5, describe: Callable[[list[int]], list[dict]] | None = None
    ) -> None:
        super().__init__(collect_device="gpu")
        self.out_file, self.topk, self.describe = Path(out_file), topk, describe

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store the `topk` best classes of each clip."""
        for sample in data_samples:
            scores = torch.as_tensor(sample["pred_score"]).float()
            values, labels = scores.topk(min(self.topk, len(scores)))
            top = [[label, round(value, 6)] for label, value in zip(labels.tolist(), values.tolist(), strict=True)]
            row = {key: sample.get(key) for key in ("sample_idx", "gt_label", "pred_label")}
            self.results.append(row | {"top": top})

    def compute_metrics(self, results: list[dict]) -> dict:
        """Write the file."""
        if self.describe is not None:
            described = self.describe([row["sample_idx"] for row in results])
            results = [keys | row for keys, row in zip(described, results, strict=True)]
        classes = list((self.dataset_meta or {}).get("classes", ()))
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in results)
        text = f'{{"classes": {json.dumps(classes, ensure_ascii=False)},\n"predictions": [\n{lines}\n]}}\n'
        with atomic_path(self.out_file) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return {}
