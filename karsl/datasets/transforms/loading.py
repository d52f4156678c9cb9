"""Loading of clips from the files of their records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.io import ClipReader
from karsl.io.clip import split_score
from karsl.io.pack_reader import Pack
from karsl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadKeypoints(KeypointTransform):
    """Read the clip of a record: an array of an `.npz`, a `.npy` or `.pt` file, rows of a pack, or bytes of a mapped file.

    Packs and mapped files are read through memory maps. Clips decoded from other files are cached up to `cache_bytes`, per
    pipeline and process, and the least recently used are evicted; no archive stays open. The returned arrays are
    read-only: copy them before you edit them. See `karsl.io.ClipReader`.

    Required Keys:
        keypoint_path, skeleton
    Added Keys:
        keypoint: float32 (T, V, 3), NaN where missing.
        keypoint_score: float32 (T, V) in [0, 1], 0 where missing.
        total_frames: int, T of the stored clip.
    Modified Keys:
        num_frames: T.

    Args:
        cache_bytes: Maximum size of the cache in bytes, per process; 0 disables it.
        nonfinite: `'raise'` on NaN or infinity in the file, or `'missing'` to treat these keypoints as missing.
        verify: When to compare checksums of packed clips: `'first touch'` the first time that a process reads a clip,
            `'always'` each time, `'off'` never. The checksums inside an `.npz` are always compared.

    Raises:
        FileNotFoundError: If the file does not exist.
        CorruptRecordError: If the file does not contain the clip that the record describes.
    """

    # num_frames is set to the value that the record has
    modified_keys = ("keypoint", "keypoint_score", "total_frames")

    def __init__(self, *, cache_bytes: int = 64 << 20, nonfinite: str = "raise", verify: str = "first touch") -> None:
        self.cache_bytes, self.nonfinite, self.verify = cache_bytes, nonfinite, verify
        self._reader = ClipReader(cache_bytes=cache_bytes, nonfinite=nonfinite, verify=verify)

    def apply(self, results: dict, params: Params) -> dict:
        keypoint, score = split_score(self.read_clip(results))
        keypoint.flags.writeable = score.flags.writeable = False
        return {"keypoint": keypoint, "keypoint_score": score, "num_frames": len(score), "total_frames": len(score)}

    def read_clip(self, record: dict, *, fill: Callable | None = None) -> np.ndarray:
        """Return the clip of a record as a float array (T, V, 4): x, y, z, score, zeros where missing. Do not edit it.

        Args:
            record: Record with its `skeleton`.
            fill: Compiled function for `canonical_clip`; None uses NumPy.
        """
        return self._reader.read(record, record["skeleton"].num_keypoints, fill=fill)

    def close(self) -> None:
        """Close all memory maps and clear the cache; both are filled again when a clip is read."""
        self._reader.close()

    def addresses(
        self, paths: Sequence[str], which: np.ndarray, starts: np.ndarray, nbytes: np.ndarray, checksums: np.ndarray
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the addresses of byte ranges of mapped files after their checksums are compared; see `ClipReader`."""
        return self._reader.addresses(paths, which, starts, nbytes, checksums)

    def block(self, path: str, num_keypoints: int) -> Pack:
        """Return a shard of a pack, mapped at the first call.

        Raises:
            CorruptRecordError: If its frames do not have `num_keypoints` keypoints.
        """
        return self._reader.pack(path, num_keypoints)
