"""Fetch a clip's arrays by its locator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.registry import TRANSFORMS
from karsl.storage import ClipReader
from karsl.storage.packed import Pack
from karsl.storage.record import split_clip


@TRANSFORMS.register_module()
class LoadKeypoints(KeypointTransform):
    """Read the clip that a record points to, see `karsl.storage.ClipReader`: an array of an `.npz`, a `.npy` or `.pt` file,
    rows of a pack, or an array inside a mapped file.

    Clips of packs and mapped files are read from mapped pages. Decoded clips of files stay in a least-recently-used cache
    bounded in bytes, one for each pipeline and process; no archive stays open. The arrays given are read-only: a step of
    one's own copies before it edits.

    Required Keys:
        keypoint_path, skeleton
    Added Keys:
        keypoint: float32 (T, V, 3), NaN where missing.
        keypoint_score: float32 (T, V) in [0, 1], 0 where missing.
        total_frames: T on disk.
    Modified Keys:
        num_frames: T.

    Args:
        cache_bytes: Bytes of decoded clips to keep in each process; 0 reads every time.
        nonfinite: `'raise'` on NaN or infinity in the file, or `'missing'` to drop those points.
        verify: Checksums of packed clips: `'first touch'` compares a clip's the first time that a process reads it,
            `'always'` each time, `'off'` never. An `.npz` has checksums of its own, which are always compared.

    Raises:
        FileNotFoundError: The file is gone.
        CorruptRecordError: The file does not hold the clip that the index promises.
    """

    modified_keys = ("keypoint","keypoint_score")

    def __init__(self, *, cache_bytes: int = 64 << 20, nonfinite: str = "raise", verify: str = "first touch") -> None:
        self.cache_bytes, self.nonfinite, self.verify = cache_bytes, nonfinite, verify
        self._reader = ClipReader(cache_bytes=cache_bytes, nonfinite=nonfinite, verify=verify)

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = split_clip(self.read_clip(results))
        keypoint.flags.writeable = score.flags.writeable = False
        return {"keypoint": keypoint, "keypoint_score": score, "num_frames": len(score), "total_frames": len(score)}

    def read_clip(self, record: dict) -> np.ndarray:
        """The clip of a record as one float array (T, V, 4): x, y, z, score, zeros where missing; not to be edited."""
        return self._reader.read(record, record["skeleton"].num_keypoints)

    def close(self) -> None:
        """Let go of every map and every decoded clip; they are opened again when a clip is read."""
        self._reader.close()

    def addresses(
        self, paths: Sequence[str], which: np.ndarray, starts: np.ndarray, nbytes: np.ndarray, checksums: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Where runs of bytes of mapped files lie, after they were compared, see `ClipReader.addresses`."""
        return self._reader.addresses(paths, which, starts, nbytes, checksums)

    def pack(self, path: str, num_keypoints: int) -> Pack:
        """A shard of a pack, mapped at the first call.

        Raises:
            CorruptRecordError: Its frames have another number of keypoints.
        """
        return self._reader.pack(path, num_keypoints)
