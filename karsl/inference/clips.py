"""Clips to classify: arrays, files and folders of any format, as the test dataset of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import ConfigError, CorruptRecordError, KarslError, SkeletonError, pluralize
from karsl.formats.convert import open_clips
from karsl.io.clip import canonical_clip
from karsl.io.sources import ClipSource, FunctionSource, RemappedSource, describe_points, dropped_points
from karsl.skeletons import Skeleton
from karsl.visualization.clips.open import read_arrays

_ARRAY_SUFFIXES = (".npz", ".npy")


class ClipDataset(KeypointDataset):
    """The clips of a source as a dataset without labels, made into batches as those of any other dataset.

    Args:
        source: Source of the clips.
        pipeline: Configs of transforms, the first of which is LoadKeypoints; it reads from the source.

    Raises:
        ConfigError: If the pipeline has no LoadKeypoints.
    """

    def __init__(self, source: ClipSource, pipeline: Sequence[dict]) -> None:
        self.source = source
        options: dict[str, Any] = {"serialize_data": False, "test_mode": True, "index_cache": None}
        super().__init__(metainfo={}, skeleton=source.skeleton, pipeline=pipeline, **options)
        load = next((step for step in self.pipeline.transforms if isinstance(step, LoadKeypoints)), None)
        if load is None:
            raise ConfigError("the test pipeline of the checkpoint has no LoadKeypoints, so clips cannot be given to it")
        load._reader = _SourceReader(source)  # type: ignore[assignment]

    @property
    def public_records(self) -> list[dict]:
        """What is known about each clip."""
        return self._public

    def load_data_list(self) -> list[dict]:
        """Return a record per clip without its label, with its number in the source as path."""
        records = (self.source.public_record(record) for record in self.source.records)
        self._public = [{key: value for key, value in record.items() if key != "label"} for record in records]
        return [{**record, "keypoint_path": str(number)} for number, record in enumerate(self._public)]


class _SourceReader:
    """Reader for LoadKeypoints that reads from a source."""

    def __init__(self, source: ClipSource) -> None:
        self._source = source

    def read(self, record: Mapping[str, Any], num_keypoints: int, **_: Any) -> np.ndarray:
        clip = self._source.read_stored(self._source.records[int(record["keypoint_path"])])
        if not len(clip):
            raise CorruptRecordError(f"clip {record.get('clip_id')!r} has no frames")
        return clip

    def read_batch(self, records: Sequence[Mapping[str, Any]], num_keypoints: int, **_: Any) -> list[np.ndarray]:
        return [self.read(record, num_keypoints) for record in records]

    def close(self) -> None:
        pass


def array_source(clips: Sequence[np.ndarray], skeleton: Skeleton, *, nonfinite: str = "raise") -> FunctionSource:
    """Return arrays as a source.

    Args:
        clips: Arrays (T, V, 3 or 4): x, y, z and score. Zeros are missing keypoints.
        skeleton: Skeleton of the V keypoints.
        nonfinite: `'raise'` on NaN or infinity, or `'missing'` to treat these keypoints as missing.

    Raises:
        CorruptRecordError: If an array is not a clip of the skeleton.
    """
    canonical = [_check_array(np.asarray(clip), number, skeleton, nonfinite) for number, clip in enumerate(clips)]
    records = [{"clip_id": f"clip {n}", "num_frames": len(clip), "number": n} for n, clip in enumerate(canonical)]
    return FunctionSource({}, skeleton, records, lambda record: canonical[record["number"]])


def _check_array(clip: np.ndarray, number: int, skeleton: Skeleton, nonfinite: str) -> np.ndarray:
    expected = f"expected (frames, {skeleton.num_keypoints}, 3 or 4) for skeleton {skeleton.name!r}"
    if clip.dtype.kind not in "fiu" or clip.ndim != 3 or not len(clip) or clip.shape[2] not in (3, 4):
        raise CorruptRecordError(f"clip {number} is an array of {clip.dtype} {clip.shape}; {expected}")
    if clip.shape[1] != skeleton.num_keypoints:
        raise SkeletonError(
            f"clip {number} has {clip.shape[1]} keypoints; {expected}; name the skeleton of the array with skeleton=..., "
            "and map_skeleton=True maps its keypoints by name"
        )
    return canonical_clip(clip, where=f"clip {number}", nonfinite=nonfinite)


def file_source(path: str | Path, *, skeleton: str | Mapping | Skeleton | None = None, **options: Any) -> ClipSource:
    """Open a file or folder of clips.

    Args:
        path: File or folder of any format that `karsl.formats.open_clips` reads.
        skeleton: Skeleton of files that do not name one.
        options: Further arguments of `open_clips`.

    Raises:
        KarslError: If it cannot be read.
    """
    path, plain = Path(path), not any(options.get(key) for key in ("format", "layout", "pattern", "labels"))
    if plain and path.is_file() and path.suffix.lower() in _ARRAY_SUFFIXES:
        try:
            return read_arrays(path, skeleton, **{k: v for k, v in options.items() if k == "missing"})
        except KarslError as error:  # not (T, V, C) arrays; a format with named columns may still match
            try:
                return open_clips(path, skeleton=skeleton, **options)
            except KarslError:
                raise error from None
    return open_clips(path, skeleton=skeleton, **options)


def match_skeleton(source: ClipSource, target: Skeleton, *, where: str, map_skeleton: bool) -> ClipSource:
    """Return the clips of a source on the skeleton of a model.

    Args:
        source: Source of the clips.
        target: Skeleton that the model was trained on.
        where: Name of the source, for the error.
        map_skeleton: Map another skeleton by the names of its keypoints; those that it lacks are missing.

    Raises:
        SkeletonError: If the skeletons differ and `map_skeleton` is False, or they share no keypoint.
    """
    if source.skeleton.parts == target.parts:
        return source
    lacking = dropped_points(target, source.skeleton)
    have = f"{where} has skeleton {source.skeleton.name!r}, the model {target.name!r}"
    if len(lacking) == target.num_keypoints:
        raise SkeletonError(f"{have}, and they share no keypoint; is the skeleton of the clips right?")
    if map_skeleton:
        return RemappedSource(source, target)
    option = "--map-skeleton (map_skeleton=True)"
    if not len(lacking):
        raise SkeletonError(f"{have}; it has all {target.num_keypoints} keypoints by name, {option} maps them")
    lacked = f"{pluralize(len(lacking), 'keypoint')} ({describe_points(target, lacking)})"
    raise SkeletonError(f"{have}, of which it lacks {lacked}; {option} maps the others by name, and these are missing")
