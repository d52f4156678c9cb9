"""Export the samples of a dataset as a pack or to another format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.combine.read import modifies
from karsl.datasets.tree import resolve_leaves
from karsl.errors import ConfigError, type_name
from karsl.formats.convert import convert
from karsl.io.sources import ClipSource, public_record
from karsl.pack.write import pack_clips
from karsl.progress import track
from karsl.skeletons import describe_skeleton

_STORED_KEYS = ("clip_id", "label", "sign", "signer", "split", "fps", "num_frames")


class DatasetSource(ClipSource):
    """Samples of a dataset as a source of clips, for `pack_clips` and `convert`.

    A sample has its own random numbers, of the epoch at construction, however often it is read. A sample of which the
    dataset has a clip already gets `#2`, `#3` and so on at the end of its `clip_id`.

    Args:
        dataset: A dataset wrapper, KeypointDataset, or other dataset with `metainfo`, `output_skeleton` and a length.

    Raises:
        ConfigError: If the skeleton of the samples is unknown, or a sample has no keypoints.
    """

    def __init__(self, dataset: Any) -> None:
        skeleton = getattr(dataset, "output_skeleton", None)
        if skeleton is None:
            raise ConfigError(
                f"the skeleton of {type_name(dataset)} is unknown; give skeleton= to the datasets it is made of"
            )
        self.dataset, self.skeleton = dataset, skeleton
        self.metainfo = dict(dataset.metainfo) | {"skeleton": describe_skeleton(skeleton)}
        state = getattr(dataset, "_epoch_state", None)
        self._rng_keys = None if state is None else state.keys(np.arange(len(dataset)))
        self.records = [self._record(index) for index in track(range(len(dataset)), "reading records", interval=16)]
        seen: Counter[str] = Counter()
        for record in self.records:
            seen[record["clip_id"]] += 1
            if (count := seen[record["clip_id"]]) > 1:
                record["clip_id"] += f"#{count}"
        self._indices = {record["clip_id"]: index for index, record in enumerate(self.records)}

    def read(self, record: dict) -> np.ndarray:
        """Return the clip of a sample, float32 (T, V, 4)."""
        return to_clip(self._sample(self._indices[record["clip_id"]]))

    def _sample(self, index: int) -> Any:
        if self._rng_keys is None or not hasattr(self.dataset, "get_sample"):
            return self.dataset[index]
        return self.dataset.get_sample(index, rng_key=self._rng_keys[index])

    def _record(self, index: int) -> dict:
        info = dict(self.dataset.get_data_info(index)) if hasattr(self.dataset, "get_data_info") else {}
        (clips,) = resolve_leaves(self.dataset, np.array([index]))
        if "num_frames" not in info or any(modifies(clips, key) for key in _STORED_KEYS):
            sample = self._sample(index)
            info |= sample if isinstance(sample, Mapping) else {}
            info["num_frames"] = len(to_clip(sample))
        return {"clip_id": str(index), **public_record(info)}


def save(dataset: Any, path: str | Path, format: str = "pack", **options: Any) -> Path:
    """Write the samples of a dataset, clips and records, to disk.

    Args:
        dataset: See DatasetSource.
        path: File or folder, which must not exist.
        format: `'pack'`, or a format of `karsl.formats` that can be written, e.g. `'tar'` or `'parquet'`.
        options: Arguments of `pack_clips` or `convert`.

    Returns:
        `path`.

    Raises:
        ConfigError: If the format is unknown, `path` exists, or samples have no keypoints.
    """
    path = Path(path)
    if path.exists():
        raise ConfigError(f"{path} exists; choose another name, or remove it first")
    source = DatasetSource(dataset)
    if format == "pack":
        pack_clips(source, path, **options)
    else:
        convert(source, path, format, **options)
    return path


def to_clip(sample: Any) -> np.ndarray:
    """Return the clip of a sample: float32 (T, V, 4) with x, y, z and score, zeros where missing.

    Args:
        sample: With keypoint and keypoint_score; or packed, with inputs, of which a fourth channel is the score, and
            keypoint_mask.

    Raises:
        ConfigError: If it has neither.
    """
    if isinstance(sample, Mapping) and "keypoint" in sample:
        keypoint, score = np.asarray(sample["keypoint"]), np.asarray(sample["keypoint_score"])
    elif isinstance(sample, Mapping) and "inputs" in sample:
        inputs, mask = np.asarray(sample["inputs"]), np.asarray(sample["keypoint_mask"])
        keypoint, score = inputs[..., :3], inputs[..., 3] * mask if inputs.shape[-1] == 4 else mask.astype(np.float32)
    else:
        found = sorted(sample) if isinstance(sample, Mapping) else type_name(sample)
        raise ConfigError(f"a sample has no keypoints: {found}; export before transforms that remove them")
    is_present = score > 0
    clip = np.zeros((*score.shape, 4), np.float32)
    clip[..., :3] = np.where(is_present[..., None], keypoint, 0)
    clip[..., 3] = np.where(is_present, score, 0)
    return clip
