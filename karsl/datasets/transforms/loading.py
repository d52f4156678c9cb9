"""Loading of clips from the files of their records."""

from __future__ import annotations

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.io import ClipReader
from karsl.io.array_layout import ArrayLayout
from karsl.io.clip import split_score
from karsl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadKeypoints(KeypointTransform):
    """Read the clip of a record: an array of an `.npz`, a `.npy` or `.pt` file, rows of a pack, or bytes of a mapped file.

    Packs and mapped files are read through memory maps. Clips decoded from other files are cached up to `cache_bytes`, per
    pipeline and process, and the least recently used are evicted; no archive stays open. The returned arrays are
    read-only: copy them before you edit them. Array files are read by the `layout` of the sample, an `ArrayLayout`, if
    there is one. See `karsl.io.ClipReader`.

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
        layout: ArrayLayout | None = results.get("layout")
        keypoint, score = split_score(self._reader.read(results, results["skeleton"].num_keypoints, layout=layout))
        keypoint.flags.writeable = score.flags.writeable = False
        return {"keypoint": keypoint, "keypoint_score": score, "num_frames": len(score), "total_frames": len(score)}

    def close(self) -> None:
        """Close all memory maps and clear the cache; both are filled again when a clip is read."""
        self._reader.close()
