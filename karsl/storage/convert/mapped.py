"""The same clips on another skeleton: points are found by their names, absent ones stay missing."""

from __future__ import annotations

import numpy as np

from karsl.skeletons import Skeleton, describe_skeleton
from karsl.storage.clip_source import ClipSource


class MappedClips(ClipSource):
    """A source that gives the points of another skeleton.

    Args:
        source: Of the clips.
        skeleton: Whose points to give; those that the source lacks are missing in every frame.

    Raises:
        SkeletonError: From `require_shared`, when no name is in both.
    """

    def __init__(self, source: ClipSource, skeleton: Skeleton) -> None:
        self.source, self.skeleton = source, skeleton
        self.metainfo = {**source.metainfo, "skeleton": describe_skeleton(skeleton)}
        self.records, self.notes = source.records, source.notes

    def read(self, record: dict) -> np.ndarray:
        """float32 (T, V, 4) with the points of `skeleton`."""
        return map_clip(self.source.read(record), self.skeleton.mapping_from(self.source.skeleton))

    def public(self, record: dict) -> dict:
        """What the source says of a clip wherever it lies."""
        return self.source.public(record)

    @property
    def stamp(self) -> str:
        """Of the source."""
        return self.source.stamp


def map_clip(clip: np.ndarray, mapping: np.ndarray) -> np.ndarray:
    """A canonical clip with its points in another order.

    Args:
        clip: (T, V, 4).
        mapping: int64 (V',), the place of each point in `clip`, or -1 for one that is missing.

    Example:
        >>> map_clip(np.array([[[1, 2, 3, 1], [4, 5, 6, 1]]]), np.array([1, -1])).tolist()
        [[[4, 5, 6, 1], [0, 0, 0, 0]]]
    """
    out = np.zeros((len(clip), len(mapping), 4), clip.dtype)
    there = mapping >= 0
    out[:, there] = clip[:, mapping[there]]
    return out


def dropped_points(source: Skeleton, target: Skeleton) -> np.ndarray:
    """int64, the points of `source` that `target` does not have."""
    known = set(target.names)
    return np.array([i for i, name in enumerate(source.names) if name not in known], dtype=np.int64)


def describe_points(skeleton: Skeleton, points: np.ndarray) -> str:
    """Some points of a skeleton in a few words.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> describe_points(get_skeleton("karsl_184"), np.arange(2, 10))
        "4 of pose, 4 of face, e.g. 'left_elbow'"
    """
    counts = np.bincount(skeleton.group_of[points], minlength=len(skeleton.groups))
    parts = ", ".join(f"{k} of {group}" for group, k in zip(skeleton.groups, counts, strict=True) if k)
    return f"{parts}, e.g. {skeleton.names[int(points[0])]!r}"
