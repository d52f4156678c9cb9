"""Statistics of ranks, labels and scores: confusion, classes, calibration, bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class ClassStatistics(NamedTuple):
    """Statistics per class, each (K,).

    Attributes:
        support: Number of clips of the class, int64.
        predicted: Number of clips that were classified as the class, int64.
        precision: Share of the predicted clips that are of the class; 0 if none was predicted.
        recall: Share of the clips of the class that were recognized; NaN without clips.
        f1: Harmonic mean of precision and recall; NaN without clips.
    """

    support: np.ndarray
    predicted: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


class Calibration(NamedTuple):
    """Reliability curve, one value per bin of confidence.

    Attributes:
        edges: float64 (B + 1,), borders of the bins; a bin contains its upper border.
        clips: int64 (B,), clips per bin.
        confidence: float64 (B,), mean score of the predicted class; NaN for an empty bin.
        accuracy: float64 (B,), share of correct clips; NaN for an empty bin.
        ece: Expected calibration error: mean of |accuracy - confidence| over the clips.
    """

    edges: np.ndarray
    clips: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    ece: float


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the clips of each pair of classes.

    Args:
        labels: int (N,), true classes.
        predicted: int (N,), predicted classes.
        num_classes: K.

    Returns:
        int64 (K, K); rows are true classes, columns predicted ones.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    pairs = np.asarray(labels, np.int64) * num_classes + np.asarray(predicted, np.int64)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def class_statistics(matrix: np.ndarray) -> ClassStatistics:
    """Return precision, recall and F1 of each class of a confusion matrix (K, K).

    Example:
        >>> class_statistics(np.array([[3, 1], [0, 2]])).recall
        array([0.75, 1.  ])
    """
    hits, support, predicted = np.diag(matrix).astype(float), matrix.sum(axis=1), matrix.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall = np.where(support > 0, hits / support, np.nan)
        f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
    return ClassStatistics(support, predicted, hits / np.maximum(predicted, 1), recall, f1)


def confused_pairs(matrix: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Return the pairs of classes that are confused most often.

    Args:
        matrix: Confusion matrix (K, K).
        most: Maximum number of pairs.

    Returns:
        True class, predicted class and number of clips; the most frequent first, equal ones by class.

    Example:
        >>> confused_pairs(np.array([[3, 1, 0], [0, 2, 2], [1, 0, 4]]), 2)
        [(1, 2, 2), (0, 1, 1)]
    """
    errors = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    pairs = [(int(flat) // len(matrix), int(flat) % len(matrix)) for flat in order]
    return [(true, guess, int(errors[true, guess])) for true, guess in pairs if errors[true, guess]]


def cluster_order(matrix: np.ndarray) -> np.ndarray:
    """Order classes so that those which are confused with each other are neighbors.

    Average-linkage clustering on the shares of confused clips; classes without confusion remain in their order at the end.

    Args:
        matrix: Confusion matrix (K, K).

    Returns:
        int64 (K,), a permutation of the classes.

    Example:
        >>> cluster_order(np.array([[4, 0, 0, 0], [0, 2, 0, 2], [0, 0, 4, 0], [0, 1, 0, 3]]))
        array([1, 3, 0, 2])
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    similarity = shares + shares.T
    np.fill_diagonal(similarity, -np.inf)
    members = [[label] for label in range(len(matrix))]
    for _ in range(len(matrix) - 1):
        first, second = sorted(divmod(int(similarity.argmax()), len(matrix)))
        if similarity[first, second] <= 0:
            break
        sizes = len(members[first]), len(members[second])
        merged = (sizes[0] * similarity[first] + sizes[1] * similarity[second]) / sum(sizes)
        similarity[first, :] = similarity[:, first] = merged
        similarity[second, :] = similarity[:, second] = similarity[first, first] = -np.inf
        members[first] += members[second]
        members[second] = []
    groups = sorted(filter(None, members), key=lambda group: len(group) == 1)
    return np.array([label for group in groups for label in group], dtype=np.int64)


def calibrate(confidence: np.ndarray, correct: np.ndarray, num_bins: int = 15) -> Calibration:
    """Compare the confidence of predictions with their accuracy, in bins of equal width.

    Args:
        confidence: float (N,), score of the predicted class, each in [0, 1].
        correct: bool (N,).
        num_bins: Number of bins.

    Example:
        >>> round(float(calibrate(np.array([0.9, 0.7, 0.7]), np.array([True, True, False]), 2).ece), 4)
        0.1

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599
    """
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    sums = [np.bincount(bins, weights=values, minlength=num_bins) for values in (confidence, correct)]
    with np.errstate(invalid="ignore"):
        means = [np.where(count > 0, total / count, np.nan) for total in sums]
    ece = np.abs(sums[1] - sums[0]).sum() / max(len(confidence), 1)
    return Calibration(edges, count, means[0], means[1], ece)


def accuracies(ranks: np.ndarray, labels: np.ndarray, topk: Sequence[int]) -> np.ndarray:
    """Return top-k accuracy for each k, and the mean over the classes that occur.

    Args:
        ranks: int (N,), number of classes ranked before the true one.
        labels: int (N,), true classes.
        topk: Values of k.

    Returns:
        float64 (len(topk) + 1,), each in [0, 1].

    Example:
        >>> accuracies(np.array([0, 1, 0]), np.array([0, 0, 1]), (1, 2))
        array([0.66666667, 1.        , 0.75      ])
    """
    counts, hits = np.bincount(labels), np.bincount(labels, weights=ranks == 0)
    present = counts > 0
    return np.array([*((ranks < k).mean() for k in topk), (hits[present] / counts[present]).mean()])


def bootstrap(ranks: np.ndarray, labels: np.ndarray, topk: Sequence[int], resamples: int, seed: int) -> np.ndarray:
    """Return `accuracies` of random resamples of the clips.

    The drawn clips are a function of the seed and N alone, so results of two models on the same clips are paired.

    Args:
        ranks, labels, topk: As for `accuracies`.
        resamples: Number of resamples, R.
        seed: Seed of the generator.

    Returns:
        float64 (R, len(topk) + 1).
    """
    rng = np.random.default_rng(seed)
    draws = (rng.integers(len(ranks), size=len(ranks)) for _ in range(resamples))
    return np.array([accuracies(ranks[drawn], labels[drawn], topk) for drawn in draws])


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the central interval that contains a share of the values.

    Example:
        >>> interval(np.arange(101.0), 0.5)
        (25.0, 75.0)
    """
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
