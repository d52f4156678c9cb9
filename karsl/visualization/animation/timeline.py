"""Which frame of each stage is on the screen when: a sampled clip plays beside the clip that it was sampled from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.visualization.drawing.clip import ClipView

FPS = 25.0  # sources of KArSL say 25 or 30; metainfo's or a record's `fps` goes before it


def frames_per_second(record: Mapping[str, Any], metainfo: Mapping[str, Any] | None = None) -> float:
    """The speed of a clip: its own `fps`, else the dataset's, else 25.

    Example:
        >>> frames_per_second({}, {"fps": 30}), frames_per_second({"fps": 0})
        (30.0, 25.0)
    """
    for place in (record, metainfo or {}):
        found = place.get("fps")
        if isinstance(found, (int, float)) and np.isfinite(found) and found > 0:
            return float(min(max(found, 1.0), 100.0))
    return FPS


def shown_together(clips: Sequence[ClipView]) -> np.ndarray:
    """The frame of each clip at each moment: the longest leads, a sampled clip shows what it took nearest to the leader.

    Args:
        clips: Stages of one clip.

    Returns:
        int64 (moments, clips).

    Example:
        >>> import numpy as np
        >>> from karsl.skeletons import get_skeleton
        >>> def view(frames, **more):
        ...     return ClipView.of({"keypoint": np.zeros((frames, 42, 3)), **more}, get_skeleton("hand_42"))
        >>> shown_together([view(4), view(2, frame_inds=[0.5, 3.0], total_frames=4)]).T.tolist()
        [[0, 1, 2, 3], [0, 0, 1, 1]]
    """
    leader = max(clips, key=lambda clip: clip.num_frames)
    moments = places_on_disk(leader)
    return np.stack([_nearest(places_on_disk(clip), moments) for clip in clips], axis=1)


def places_on_disk(clip: ClipView) -> np.ndarray:
    """float64 (T,), where each frame lies in the clip on disk; evenly spread where nobody says."""
    count, inds = clip.num_frames, clip.frame_inds
    if inds is not None and len(inds) == count and np.isfinite(inds).all():
        return inds
    return (np.arange(count) + 0.5) * clip.total_frames / count - 0.5


def _nearest(places: np.ndarray, moments: np.ndarray) -> np.ndarray:
    return np.abs(places[None] - moments[:, None]).argmin(1)


def delays_ms(count: int, fps: float, *, unit: int = 1) -> list[int]:
    """How long each of `count` frames stands, in whole multiples of `unit` ms, so that the sum stays right.

    GIF counts in 10 ms: each frame of 30 fps rounded by itself would play 11 % too fast.

    Example:
        >>> delays_ms(6, 30, unit=10)
        [30, 40, 30, 30, 40, 30]
    """
    ends = np.floor(np.arange(count + 1) * 1000 / fps / unit + 0.5).astype(np.int64) * unit
    return np.maximum(np.diff(ends), unit).tolist()
