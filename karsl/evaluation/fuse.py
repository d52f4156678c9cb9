"""Late fusion: weighted means of the scores of several models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from karsl.errors import ConfigError, pluralize
from karsl.evaluation.metrics import rank_of_true_class
from karsl.evaluation.scores import Scores, match_clips

_LEVELS = 5
_MAX_COMBINATIONS = 20_000


def fuse_scores(files: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """Average the scores of several models; clips are matched by their names.

    Args:
        files: Scores of the same clips and classes.
        weights: One weight per file, at least 0; only ratios count. None weights all equally.

    Returns:
        Scores in the order of the first file.

    Raises:
        ConfigError: If the files are of other clips or classes, or the weights do not fit.

    Source: the two-stream fusion of Shi et al. 2019, https://arxiv.org/abs/1805.07694, on probabilities as in pyskl
    """
    weights = [1.0] * len(files) if weights is None else list(map(float, weights))
    if len(weights) != len(files):
        raise ConfigError(f"{len(weights)} weights for {len(files)} score files; give one per file")
    if not all(0 <= w < np.inf for w in weights) or not sum(weights):
        raise ConfigError(f"weights {weights}; expected numbers of at least 0, and one more than 0")
    matched = match_clips(files)
    shares = np.array(weights) / sum(weights)
    mean = np.zeros(matched[0].scores.shape)
    for share, file in zip(shares, matched, strict=True):
        mean += share * file.scores
    parts = [f"{share:.4g} x {name}" for share, file in zip(shares, matched, strict=True) for name in file.checkpoint]
    return replace(matched[0], scores=mean.astype(np.float32), checkpoint=np.array(parts, dtype=str), path="fused")


def search_weights(files: Sequence[Scores], tested: Scores | None = None) -> tuple[list[float], float]:
    """Find the weights of the best fusion on validation clips.

    All ratios of the weights 0 to 4 are tried. The best has the highest top-1 accuracy; among equal ones, the highest mean
    log probability of the true class, and then the first, which is the one nearest to equal weights.

    Args:
        files: Scores of validation clips, one file per model.
        tested: Scores of the clips on which the fusion is tested later, which must be other clips.

    Returns:
        One weight per file, and the top-1 accuracy on the validation clips.

    Raises:
        ConfigError: If clips have no label, are tested later, or there are too many files to search.
    """
    matched = match_clips(files)
    labels = matched[0].label
    if (labels < 0).any():
        raise ConfigError(f"'{matched[0].path}' has clips without label, so weights cannot be searched on it")
    if tested is not None:
        shared = set(map(str, matched[0].clip_id)) & set(map(str, tested.clip_id))
        if shared:
            raise ConfigError(
                f"--search: clip '{min(shared)}' and {len(shared) - 1} more of '{matched[0].path}' are in '{tested.path}', "
                "too; weights that are chosen on the tested clips make the result too good, use validation clips"
            )
    if _LEVELS ** len(files) > _MAX_COMBINATIONS:
        raise ConfigError(f"weights of {pluralize(len(files), 'file')} cannot be searched, at most 6 can; give --weights")
    best, found = (-1.0, -np.inf), [1] * len(files)
    for weights in _ratios(len(files)):
        mean = sum(w * file.scores.astype(np.float64) for w, file in zip(weights, matched, strict=True)) / sum(weights)
        top1 = float((rank_of_true_class(np.asarray(mean), labels) == 0).mean())
        likely = np.log(np.maximum(np.asarray(mean)[np.arange(len(labels)), labels], 1e-12)).mean().round(9)
        if (top1, likely) > best:
            best, found = (top1, float(likely)), list(weights)
    return [float(w) for w in found], best[0]


def _ratios(count: int) -> list[tuple[int, ...]]:
    """Return combinations of weights without common factor, the most even first.

    Example:
        >>> _ratios(2)[:3], len(_ratios(2))
        ([(1, 1), (3, 4), (4, 3)], 13)
    """
    combinations = [w for w in product(range(_LEVELS), repeat=count) if np.gcd.reduce(w) == 1]
    return sorted(combinations, key=lambda w: (max(w) - min(w)) / sum(w))
