"""Batches of a `KeypointDataset`: what `__getitems__` gives to a DataLoader."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.fused.assembly import BatchPart, LazyBatch, Resident, assemble
from karsl.datasets.fused.frames import Frames
from karsl.datasets.fused.pipeline import BatchPipeline
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.errors import AnnotationError, KarslError, TransformError
from karsl.skeletons import Skeleton
from karsl.storage.whole_pack import WholePack

if TYPE_CHECKING:
    from karsl.datasets.keypoint_dataset import KeypointDataset

__all__ = ["BatchPart", "LazyBatch", "assemble", "batch_of", "part_of"]


_IN_FILES = ("pack", "byte_start", "num_frames", "dtype", "xxh3")


def batch_of(dataset: KeypointDataset, places: np.ndarray) -> LazyBatch | None:
    """The samples at some places as a batch to be made; None if the pipeline does not begin with LoadKeypoints.

    Args:
        dataset: With a skeleton.
        places: int64 (N,), each in [0, n).
    """
    steps, skeleton = BatchPipeline.of(dataset.pipeline.transforms), dataset.skeleton
    if steps is None or skeleton is None:
        return None
    part = partial(_part, dataset, steps, skeleton, places, keys=dataset.sample_keys(places))  # of now, not of the collate
    return LazyBatch(len(places), lambda: [part()], lambda: _samples(dataset, places, part))


def part_of(
    dataset: KeypointDataset, places: np.ndarray, *, keys: np.ndarray | None = None, at: np.ndarray | None = None
) -> BatchPart | None:
    """The clips at some places as a part of a batch; None if the pipeline does not begin with LoadKeypoints.

    Args:
        dataset: With a skeleton.
        places: int64 (N,), each in [0, n).
        keys: uint64 (N,), random keys; those of the places if not given.
        at: int64 (N,), rows of the batch.

    Raises:
        KarslError, OSError: A clip cannot be read.
    """
    steps, skeleton = BatchPipeline.of(dataset.pipeline.transforms), dataset.skeleton
    if steps is None or skeleton is None:
        return None
    return _part(dataset, steps, skeleton, places, keys=keys, at=at)


def _part(
    dataset: KeypointDataset,
    steps: BatchPipeline,
    skeleton: Skeleton,
    places: np.ndarray,
    *,
    keys: np.ndarray | None = None,
    at: np.ndarray | None = None,
) -> BatchPart:
    frames, resident = _frames(dataset, steps.load, places, skeleton.num_keypoints)
    keys = dataset.sample_keys(places) if keys is None else keys
    return BatchPart(steps, frames, skeleton, keys, _labels(dataset, places), places, at, resident)


def _frames(
    dataset: KeypointDataset, load: LoadKeypoints, places: np.ndarray, num_keypoints: int
) -> tuple[Frames, Resident | None]:
    index = dataset.index if dataset.serialize_data else None
    if index is not None and set(_IN_FILES) <= set(index.columns) and len(index.categories("dtype")) == 1:
        return _mapped_frames(dataset, load, places, num_keypoints), None
    if index is None or not {"frame_start", "pack"} <= set(index.columns):
        return Frames.of_clips([load.read_clip(record) for record in dataset.clip_records(places)]), None
    paths = index.categories("pack")
    starts, lengths = dataset.column("frame_start")[places], dataset.column("num_frames")[places]
    codes = dataset.column("pack")[places]
    used, which = np.unique(codes, return_inverse=True) if len(paths) > 1 else (np.zeros(1, np.int64), codes)
    packs = [load.pack(paths[number], num_keypoints) for number in used.tolist()]
    frames = Frames.of_rows([pack.frames for pack in packs], which, starts, lengths)
    for number, pack in enumerate(packs):
        here = slice(None) if len(packs) == 1 else which == number
        pack.verify(starts[here], lengths[here])
    return frames, partial(_in_whole_pack, paths, codes, starts)


def _mapped_frames(dataset: KeypointDataset, load: LoadKeypoints, places: np.ndarray, num_keypoints: int) -> Frames:
    """Clips that are arrays inside mapped files, such as the members of a tar."""
    codes, starts, lengths, _, checksums = (dataset.column(name)[places] for name in _IN_FILES)
    dtype, paths = np.dtype(dataset.index.categories("dtype")[0]), dataset.index.categories("pack")
    nbytes = lengths * (num_keypoints * 4 * dtype.itemsize)
    addresses, memory = load.addresses(paths, codes, starts, nbytes, checksums)
    return Frames(addresses, lengths, dtype, num_keypoints, memory)


def _in_whole_pack(paths: tuple[str, ...], which: np.ndarray, starts: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Digest of the pack and first rows of clips in it; None if the shards are not of one pack."""
    folders, names = {os.path.dirname(path) for path in paths}, [os.path.basename(path) for path in paths]
    pack = _whole_pack(folders.pop())
    return None if folders else (pack.digest, pack.rows(names, which, starts))


_whole_pack = lru_cache(maxsize=8)(WholePack)


def _labels(dataset: KeypointDataset, places: np.ndarray) -> np.ndarray | None:
    if not dataset.serialize_data:
        labels = [dataset.data_list[place].get("label") for place in places]
        return None if None in labels else np.array(labels, np.int64)
    if "label" in dataset.index.columns:
        return dataset.column("label")[places]
    reason = dataset.index.missing_reason("label")
    if not reason.startswith("record 0 lacks"):
        raise AnnotationError(f"labels do not make a batch: {reason}; give every record a whole number")
    return None


def _samples(dataset: KeypointDataset, places: np.ndarray, part: partial[BatchPart]) -> list[Any]:
    try:
        return list(_one_by_one(dataset, places, part()))
    except (KarslError, OSError):
        return [dataset[place] for place in places.tolist()]


def _one_by_one(dataset: KeypointDataset, places: np.ndarray, part: BatchPart) -> Iterator[Any]:
    """Deferred steps for all, the others for each."""
    clips = part.clips
    points, mask = clips.write(channels=4, fill=part.filled(np.nan))
    ends = np.concatenate([[0], np.cumsum(clips.num_frames)])
    for n, place in enumerate(places.tolist()):
        here = slice(ends[n], ends[n + 1])
        results = {
            **dataset.initial_results(place),
            "sample_key": part.keys[n],
            **clips.notes(n),
            "keypoint": points[here, :, :3],
            "keypoint_score": np.where(mask[here], points[here, :, 3], np.float32(0)),
            "num_frames": int(ends[n + 1] - ends[n]),
        }
        try:
            sample = dataset.pipeline(results, first=1 + len(part.steps.deferred))
        except TransformError:
            sample = None
        # none, or an error: the sample on its own raises it again, or takes another clip where that is allowed
        yield dataset[place] if sample is None else sample
