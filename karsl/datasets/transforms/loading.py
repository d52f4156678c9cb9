"""Fetch a clip's arrays by its locator."""

from __future__ import annotations

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError, CorruptRecordError
from karsl.registry import TRANSFORMS
from karsl.storage import ArrayCache, read_member
from karsl.storage.packed import Pack
from karsl.storage.record import canonical_clip, shape_problem, split_clip


@TRANSFORMS.register_module()
class LoadKeypoints(KeypointTransform):
    """Read the clip that a record points to: an array of an `.npz`, or a slice of a pack (`frame_start`, `num_frames`).

    A clip of a pack is read from mapped pages. Decoded clips of archives stay in a least-recently-used cache bounded in
    bytes, one for each pipeline and process; no archive stays open. The arrays given are read-only: a step of one's own
    copies before it edits.

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
        self._packs: dict[str, Pack] = {}

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = split_clip(self.read_clip(results))
        keypoint.flags.writeable = score.flags.writeable = False
        return {"keypoint": keypoint, "keypoint_score": score, "num_frames": len(score), "total_frames": len(score)}

    def read_clip(self, record: dict) -> np.ndarray:
        """The clip of a record as one float array (T, V, 4): x, y, z, score, zeros where missing; not to be edited."""
        path, points = record["keypoint_path"], record["skeleton"].num_keypoints
        if "frame_start" in record:
            return self.pack(path, points).clip(record["frame_start"], record["num_frames"])
        key = record["keypoint_key"]
        return self._cache.get((path, key, points), lambda: self._decode(path, key, points))

    def pack(self, path: str, num_keypoints: int) -> Pack:
        """The pack at a path, mapped at the first call.

        Raises:
            CorruptRecordError: Its frames have another number of keypoints.
        """
        found = self._packs.get(path)
        if found is None:
            found = self._packs[path] = Pack(path)
        if found.frames.shape[1] != num_keypoints:
            raise CorruptRecordError(
                f"{path}: frames of {found.frames.shape[1]} keypoints, the skeleton has {num_keypoints}; is it right?"
            )
        return found

    def _decode(self, path: str, key: str, num_keypoints: int) -> np.ndarray:
        raw = read_member(path, key)
        problem = shape_problem(raw.shape, raw.dtype, num_keypoints)
        if problem:
            raise CorruptRecordError(f"{path}: clip {key!r} {problem}; is the skeleton of the dataset right?")
        return canonical_clip(raw, where=f"{path}: clip {key!r}", nonfinite=self.nonfinite)
