"""Fetch a clip's arrays by its locator."""

from __future__ import annotations

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError, CorruptRecordError
from karsl.registry import TRANSFORMS
from karsl.storage import ArrayCache, read_member, split_channels
from karsl.storage.record import shape_problem


@TRANSFORMS.register_module()
class LoadKeypoints(KeypointTransform):
    """Read the clip that a record points to.

    Decoded clips stay in a least-recently-used cache bounded in bytes, one for each pipeline and process; no file stays
    open. The arrays are shared with the cache, hence read-only: a step of one's own copies before it edits.

    Required Keys:
        keypoint_path, keypoint_key, skeleton
    Added Keys:
        keypoint: float32 (T, V, 3), NaN where missing.
        keypoint_score: float32 (T, V) in [0, 1], 0 where missing.
        total_frames: T on disk.
    Modified Keys:
        num_frames: T.

    Args:
        cache_bytes: Bytes of decoded clips to keep in each process; 0 reads every time.
        nonfinite: `'raise'` on NaN or infinity in the file, or `'missing'` to drop those points.

    Raises:
        FileNotFoundError: The file is gone.
        CorruptRecordError: The file does not hold the clip that the index promises.
    """

    def __init__(self, *, cache_bytes: int = 64 << 20, nonfinite: str = "raise") -> None:
        if nonfinite not in ("raise", "missing"):
            raise ConfigError(f"LoadKeypoints: nonfinite={nonfinite!r}; expected 'raise' or 'missing'")
        self.cache_bytes, self.nonfinite = cache_bytes, nonfinite
        self._cache = ArrayCache(cache_bytes)

    def apply(self, results: dict, params: Params) -> dict:
        path, key, points = results["keypoint_path"], results["keypoint_key"], results["skeleton"].num_keypoints
        clip = self._cache.get((path, key, points), lambda: self._decode(path, key, points))
        frames = len(clip)
        return {
            "keypoint": clip[..., :3],
            "keypoint_score": clip[..., 3],
            "num_frames": frames,
            "total_frames": frames,
        }

    def _decode(self, path: str, key: str, num_keypoints: int) -> np.ndarray:
        raw = read_member(path, key)
        problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
        if problem:
            raise CorruptRecordError(f"{path}: clip {key!r} {problem}; is the skeleton of the dataset right?")
        keypoint, score = split_channels(raw, where=f"{path}: clip {key!r}", nonfinite=self.nonfinite)
        return np.concatenate([keypoint, score[..., None]], axis=-1)
