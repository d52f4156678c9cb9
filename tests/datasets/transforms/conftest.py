"""Clips small enough to be written out."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import Skeleton


@pytest.fixture
def clip():
    """`clip([[1, None], [3, 4]])` gives results of T = 2 frames and V = 2 keypoints.

    A number is x (y and z are 0), a tuple is (x, y, z), None is missing. Points are called p0, p1, ... in one group.
    """

    def make(rows: list[list], skeleton: Skeleton | None = None, **more: object) -> dict:
        points = [[(np.nan,) * 3 if p is None else p if isinstance(p, tuple) else (p, 0, 0) for p in row] for row in rows]
        keypoint = np.array(points, np.float32)
        score = np.array([[p is not None for p in row] for row in rows], np.float32)
        keypoint.flags.writeable = score.flags.writeable = False
        names = tuple(f"p{v}" for v in range(keypoint.shape[1]))
        return {
            "keypoint": keypoint,
            "keypoint_score": score,
            "skeleton": skeleton or Skeleton("points", (("all", names),)),
            "sample_key": np.uint64(1),
            **more,
        }

    return make


@pytest.fixture
def xs():
    """x of every point as nested lists, None where it is missing; a missing point must be NaN with score 0."""

    def read(results: dict) -> list[list[float | None]]:
        keypoint, score = results["keypoint"], results["keypoint_score"]
        assert (np.isnan(keypoint).any(-1) == (score == 0)).all()
        return [[None if np.isnan(x) else float(x) for x in row] for row in keypoint[..., 0]]

    return read
