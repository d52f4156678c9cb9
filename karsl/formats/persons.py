"""Choose the signer among the persons of a clip, for skeletons of one person."""

from __future__ import annotations

import numpy as np

from karsl.errors import CorruptRecordError, pluralize

NOTE = "only the most visible one is read or, without graded scores, the one that moves most"


def select_person(keypoint: np.ndarray, score: np.ndarray, person: int | None = None, *, where: str = "the clip") -> int:
    """Return the index of the person to read: `person`, or if None the one that is probably the signer.

    This is the person with the largest sum of scores. If all scores are 0 or 1, they only count points, and a chair that a
    sensor confuses with a body has every point in every frame. The person that moves most is chosen then: the variance of
    the positions over time, times the share of points that are present.

    Args:
        keypoint: (M, T, V, 2 or 3).
        score: (M, T, V), 0 where missing.
        person: Index that a user chose, or None.
        where: Name of the clip, for the error.

    Raises:
        CorruptRecordError: If the clip has no such person.

    Example:
        >>> chair, signer = np.ones((2, 3, 1, 2)), np.arange(6.0).reshape(1, 3, 1, 2)
        >>> select_person(np.concatenate([chair, signer]), np.array([[[1], [1], [1]], [[1], [1], [1]], [[1], [1], [0]]]))
        2
    """
    if person is not None:
        if not 0 <= person < len(score):
            raise CorruptRecordError(f"{where} has {pluralize(len(score), 'person')}, none at {person}; choose another")
        return person
    visibility = score.sum((1, 2))
    if len(score) == 1 or not np.isin(score, (0, 1)).all():
        return int(visibility.argmax())
    motion = [_motion(points, present) for points, present in zip(keypoint, score > 0, strict=True)]
    return max(range(len(score)), key=lambda person: (motion[person], visibility[person], -person))


def _motion(points: np.ndarray, present: np.ndarray) -> float:
    """Return the mean variance of the positions of a person, (T, V, C), over frames, times the share of present points."""
    mask = present[..., None] & np.isfinite(points)
    count = mask.sum(0)
    values = np.where(mask, points, 0).astype(np.float64)
    mean = values.sum(0) / np.maximum(count, 1)
    variance = np.where(mask, (values - mean) ** 2, 0).sum(0) / np.maximum(count, 1)
    return float(variance.sum(-1).mean() * present.mean())
