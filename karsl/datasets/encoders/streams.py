"""Joint, bone and motion: three views of the same keypoints."""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import numpy as np

from karsl.skeletons import Skeleton

STREAMS = ("joint", "bone", "motion", "bone_motion")


@lru_cache(maxsize=64)
def parents(skeleton: Skeleton) -> np.ndarray:
    """int64 (V,), the point at the other end of each point's bone; a point that no bone leads to is its own.

    Every connected part of the skeleton hangs on its first point; where bones form rings, the shortest way counts.

    Example:
        >>> parents(Skeleton("arm", (("a", ("wrist", "elbow", "shoulder", "nose")),),
        ...                  (("shoulder", "elbow"), ("elbow", "wrist"))))
        array([0, 0, 1, 3])
    """
    near: dict[int, list[int]] = {}
    for a, b in skeleton.edges.tolist():
        near.setdefault(a, []).append(b)
        near.setdefault(b, []).append(a)
    found = np.arange(skeleton.num_keypoints)
    seen: set[int] = set()
    for root in range(skeleton.num_keypoints):
        waiting = deque([] if root in seen else [root])
        seen.add(root)
        while waiting:
            point = waiting.popleft()
            for other in near.get(point, ()):
                if other not in seen:
                    seen.add(other)
                    found[other] = point
                    waiting.append(other)
    found.flags.writeable = False
    return found


def stream_of(name: str, keypoint: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """One stream of a clip.

    Args:
        name: `'joint'`: the points. `'bone'`: each point less the one it hangs on. `'motion'`, `'bone_motion'`: each
            frame's less the one before; the first frame is 0.
        keypoint: float (T, V, C), NaN where missing; a difference with a missing point is missing.
        skeleton: Of the V points.

    Returns:
        (T, V, C), a new array except for 'joint'.

    Source: Shi et al. 2019, Two-Stream Adaptive Graph Convolutional Networks, https://arxiv.org/abs/1805.07694
    """
    if name in ("bone", "bone_motion"):
        keypoint = keypoint - keypoint[:, parents(skeleton)]
    if name in ("motion", "bone_motion"):
        moved = np.zeros_like(keypoint)
        np.subtract(keypoint[1:], keypoint[:-1], out=moved[1:])
        keypoint = moved
    return keypoint
