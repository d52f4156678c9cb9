"""Evaluation of score files as plain data, from which tables and pages are made."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.errors import ConfigError, pluralize
from karsl.evaluation.metrics import rank_of_true_class
from karsl.evaluation.scores import Scores, match_clips
from karsl.evaluation.statistics import accuracies, bootstrap, calibrate, class_statistics, confused_pairs, confusion_matrix
from karsl.evaluation.statistics import interval as percentile_interval

TOPK = (1, 5)
RESAMPLES = 1000
SEED = 0
MAX_PAIRS = 30
_SUM_TOLERANCE = 1e-3


def evaluate(scores: Scores, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Any]:
    """Evaluate one score file.

    Args:
        scores: Scores with labels.
        resamples: Number of bootstrap resamples of the clips for the 95 % intervals.
        seed: Seed of the resamples.

    Returns:
        JSON-compatible: `file`, `checkpoint`, `clips`, `metrics` (name to `value`, `low`, `high`), `signers` and
        `categories` (the same per group), `classes` (support, predicted, precision, recall, f1), `macro` (means over the
        classes with clips), `confused` (pairs), `calibration` (None if scores are no probabilities).

    Raises:
        ConfigError: If clips have no label.
    """
    _check_labels(scores)
    num_classes = scores.scores.shape[1]
    ranks, predicted = rank_of_true_class(scores.scores, scores.label), scores.scores.argmax(axis=1)
    matrix = confusion_matrix(scores.label, predicted, num_classes)
    classes = _classes(scores, matrix)
    present = [row for row in classes if row["support"]]
    macro = {key: float(np.mean([row[key] for row in present])) for key in ("precision", "recall", "f1")}
    groups = {
        name: _groups(getattr(scores, field), ranks, scores.label, num_classes, resamples, seed)
        for name, field in (("signers", "signer"), ("categories", "category"))
    }
    return {
        "file": scores.path,
        "checkpoint": list(map(str, scores.checkpoint)),
        "clips": len(scores),
        "metrics": _metrics(ranks, scores.label, num_classes, resamples, seed),
        **groups,
        "macro": macro,
        "classes": classes,
        "confused": [
            {"true": true, "predicted": guess, "clips": count, "share": count / int(matrix[true].sum())}
            for true, guess, count in confused_pairs(matrix, MAX_PAIRS)
        ],
        "calibration": _calibration(scores.scores, predicted == scores.label),
        "bootstrap": {"resamples": resamples, "seed": seed, "level": 0.95},
    }


def compare(first: Scores, other: Scores, *, resamples: int = RESAMPLES, seed: int = SEED) -> dict[str, Any]:
    """Compare two models on the same clips: differences of the metrics, with paired 95 % intervals.

    Args:
        first: Scores of the baseline.
        other: Scores of the other model; its clips may have another order.
        resamples: Number of bootstrap resamples, of the same clips for both.
        seed: Seed of the resamples.

    Returns:
        JSON-compatible: `baseline`, `file`, `differences` (name to `value`, `low`, `high`, other minus baseline), and the
        numbers of clips that `both`, `baseline_only`, `other_only` or `neither` recognized.

    Raises:
        ConfigError: If the files are of other clips, classes or labels.
    """
    pair = match_clips([first, other])
    for scores in pair:
        _check_labels(scores)
    topk = _topk(first.scores.shape[1])
    ranks = [rank_of_true_class(scores.scores, scores.label) for scores in pair]
    values = [accuracies(own, first.label, topk) for own in ranks]
    samples = [bootstrap(own, first.label, topk, resamples, seed) for own in ranks]
    correct = [own == 0 for own in ranks]
    return {
        "baseline": first.path,
        "file": other.path,
        "differences": _intervals(_names(topk), values[1] - values[0], samples[1] - samples[0]),
        "both": int((correct[0] & correct[1]).sum()),
        "baseline_only": int((correct[0] & ~correct[1]).sum()),
        "other_only": int((~correct[0] & correct[1]).sum()),
        "neither": int((~correct[0] & ~correct[1]).sum()),
    }


def confusion(scores: Scores) -> np.ndarray:
    """Return the confusion matrix of a score file, int64 (K, K); rows are true classes.

    Raises:
        ConfigError: If clips have no label.
    """
    _check_labels(scores)
    return confusion_matrix(scores.label, scores.scores.argmax(axis=1), scores.scores.shape[1])


def clip_columns(scores: Scores) -> dict[str, list]:
    """Return `id`, `signer`, `label`, `predicted` and `confidence` of each clip, for a page."""
    return {
        "id": scores.clip_id.tolist(),
        "signer": scores.signer.tolist(),
        "label": scores.label.tolist(),
        "predicted": scores.scores.argmax(axis=1).tolist(),
        "confidence": scores.scores.max(axis=1).astype(np.float64).round(4).tolist(),
    }


def class_title(row: dict[str, Any]) -> str:
    """Return SignID and name of a class.

    Example:
        >>> class_title({"label": 0, "sign": 71, "name": "skeleton"}), class_title({"label": 3, "sign": None, "name": "yes"})
        ('0071 skeleton', 'yes')
    """
    number = f"{row['sign']:04d}" if row["sign"] is not None else ""
    return " ".join(filter(None, (number, row["name"] if row["name"] != number else "")))


def _check_labels(scores: Scores) -> None:
    unknown = int((scores.label < 0).sum())
    if unknown:
        raise ConfigError(
            f"score file '{scores.path}': {pluralize(unknown, 'clip')} of {len(scores)} have no label, so it cannot be "
            "evaluated; test on a dataset with labels"
        )


def _topk(num_classes: int) -> tuple[int, ...]:
    """Return the values of k that a model can miss."""
    return tuple(k for k in TOPK if k < max(num_classes, 2))


def _names(topk: tuple[int, ...]) -> list[str]:
    return [*(f"top{k}" for k in topk), "mean1"]


def _metrics(ranks: np.ndarray, labels: np.ndarray, num_classes: int, resamples: int, seed: int) -> dict[str, Any]:
    topk = _topk(num_classes)
    samples = bootstrap(ranks, labels, topk, resamples, seed)
    return _intervals(_names(topk), accuracies(ranks, labels, topk), samples)


def _intervals(names: list[str], values: np.ndarray, samples: np.ndarray) -> dict[str, Any]:
    found = {}
    for name, value, column in zip(names, values.tolist(), samples.T, strict=True):
        low, high = percentile_interval(column)
        found[name] = {"value": value, "low": low, "high": high}
    return found


def _groups(
    groups: np.ndarray, ranks: np.ndarray, labels: np.ndarray, num_classes: int, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Return metrics per group, in the order of the names; nothing if no clip has a group."""
    rows = []
    for name in sorted(set(map(str, groups))) if any(groups) else ():
        own = np.flatnonzero(groups == name)
        metrics = _metrics(ranks[own], labels[own], num_classes, resamples, seed)
        rows.append({"name": name, "clips": len(own), "metrics": metrics})
    return rows


def _classes(scores: Scores, matrix: np.ndarray) -> list[dict[str, Any]]:
    statistics = class_statistics(matrix)
    return [
        {
            "label": label,
            "sign": int(scores.signs[label]) if scores.signs[label] >= 0 else None,
            "name": str(scores.classes[label]),
            "arabic": str(scores.classes_ar[label]),
            "support": int(statistics.support[label]),
            "predicted": int(statistics.predicted[label]),
            **{key: _number(getattr(statistics, key)[label]) for key in ("precision", "recall", "f1")},
        }
        for label in range(len(matrix))
    ]


def _calibration(scores: np.ndarray, correct: np.ndarray) -> dict[str, Any] | None:
    """Return the reliability curve, None if the scores are no probabilities."""
    if scores.min() < 0 or np.abs(scores.sum(axis=1, dtype=np.float64) - 1).max() > _SUM_TOLERANCE:
        return None
    found = calibrate(scores.max(axis=1).astype(np.float64), correct)
    keys = ("from", "to", "clips", "confidence", "accuracy")
    bins = zip(found.edges[:-1], found.edges[1:], found.clips, found.confidence, found.accuracy, strict=True)
    rows = [(float(low), float(high), int(clips), _number(sure), _number(right)) for low, high, clips, sure, right in bins]
    return {"ece": float(found.ece), "bins": [dict(zip(keys, row, strict=True)) for row in rows]}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
