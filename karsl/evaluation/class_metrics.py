"""Metrics of classes during training: precision, recall and F1, and the confusion matrix as a file."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from karsl.evaluation.metrics import labels_and_scores
from karsl.evaluation.statistics import class_statistics, confused_pairs, confusion_matrix
from karsl.io.atomic import atomic_path
from karsl.registry import METRICS


class _LabelPairs(BaseMetric):
    """Collects true class, predicted class and number of classes of each clip."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store `(label, prediction, K)` of each clip.

        Args:
            data_batch: Not used.
            data_samples: `pred_score` (K,) and `gt_label` per clip.

        Raises:
            ValueError: If a clip has no label, or its label is outside [0, K).
        """
        if data_samples:
            labels, scores = labels_and_scores(data_samples, owner=type(self).__name__)
            pairs = zip(labels.tolist(), scores.argmax(axis=1).tolist(), strict=True)
            self.results.extend((label, predicted, scores.shape[1]) for label, predicted in pairs)

    def matrix(self, results: list[tuple[int, int, int]]) -> np.ndarray:
        """Return the confusion matrix of all ranks.

        Raises:
            ValueError: If no clip was evaluated.
        """
        if not results:
            raise ValueError(f"{type(self).__name__}: no clip was evaluated; is the evaluated split empty?")
        labels, predicted, num_classes = np.array(results).T
        return confusion_matrix(labels, predicted, int(num_classes.max()))

    def name_of(self, label: int) -> str:
        """Return the name of a class."""
        classes = (self.dataset_meta or {}).get("classes") or ()
        return str(classes[label]) if label < len(classes) else str(label)


@METRICS.register_module()
class PerClassMetric(_LabelPairs):
    """Precision, recall and F1, averaged over the classes that occur: `class/precision`, `class/recall`, `class/f1`.

    Args:
        each: Also give the F1 of each class that occurs, as `class/f1/<name>`.
        collect_device: As for `AccuracyMetric`.
        prefix: Prefix of the keys.
    """

    default_prefix = "class"

    def __init__(self, *, each: bool = False, collect_device: str = "gpu", prefix: str | None = None) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.each = each

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Average over classes.

        Raises:
            ValueError: If no clip was evaluated.
        """
        found = class_statistics(self.matrix(results))
        present = np.flatnonzero(found.support)
        values = {key: float(getattr(found, key)[present].mean()) for key in ("precision", "recall", "f1")}
        own = {f"f1/{self.name_of(label)}": float(found.f1[label]) for label in present.tolist()} if self.each else {}
        return values | own


@METRICS.register_module()
class ConfusionMatrixMetric(_LabelPairs):
    """Write the confusion matrix and log the pairs that are confused most often; gives the number of errors.

    The file is CSV: a row per true class and a column per predicted one, with the names of the classes. `confusion/errors`
    counts the clips that were not recognized, and `confusion/pairs` the pairs of classes that were confused.

    Args:
        out_file: Path of the CSV file, replaced after each evaluation; None writes none.
        most: Number of pairs in the log.
        collect_device: As for `AccuracyMetric`.
        prefix: Prefix of the keys.
    """

    default_prefix = "confusion"

    def __init__(
        self, *, out_file: str | Path | None = None, most: int = 5, collect_device: str = "gpu", prefix: str | None = None
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.out_file, self.most = None if out_file is None else Path(out_file), most

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Count errors, log pairs and write the file.

        Raises:
            ValueError: If no clip was evaluated.
        """
        matrix = self.matrix(results)
        pairs = confused_pairs(matrix, matrix.size)
        for true, guess, count in pairs[: self.most]:
            text = f"'{self.name_of(true)}' was classified as '{self.name_of(guess)}' {count} times"
            print_log(f"ConfusionMatrixMetric: {text}", logger="current", level=logging.INFO)
        if self.out_file is not None:
            names = [self.name_of(label) for label in range(len(matrix))]
            write_matrix(self.out_file, matrix, names)
        return {"errors": float(matrix.sum() - np.trace(matrix)), "pairs": float(len(pairs))}


def write_matrix(path: Path, matrix: np.ndarray, names: Sequence[str]) -> None:
    """Write a confusion matrix as CSV in UTF-8 with a byte order mark, which spreadsheets need for Arabic.

    Args:
        path: File to write atomically.
        matrix: int (K, K); rows are true classes.
        names: Names of the K classes.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["true \\ predicted", *names])
        rows.writerows([name, *counts] for name, counts in zip(names, matrix.tolist(), strict=True))
