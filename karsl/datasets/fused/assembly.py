"""Clips of one dataset, or of several, written into one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from karsl.datasets.fused.frames import Frames
from karsl.datasets.fused.pending import PendingClips
from karsl.datasets.fused.pipeline import BatchPipeline
from karsl.datasets.transfer.batch import batch_buffer
from karsl.datasets.transforms.normalize import FillMissing
from karsl.errors import ConfigError, KarslError
from karsl.skeletons import Skeleton

Arrays = dict[str, np.ndarray]
Resident = Callable[[], "tuple[int, np.ndarray] | None"]


@dataclass
class BatchPart:
    """Clips of one pipeline in a batch.

    Attributes:
        steps: The pipeline, split.
        frames: N clips.
        skeleton: Of the frames.
        keys: uint64 (N,), random keys of the samples.
        labels: int64 (N,), or None where there are none.
        sample_idx: int64 (N,).
        at: int64 (N,), their rows of the batch; None for all rows in order.
        resident: Gives the digest of the whole pack and int64 (N,), the clips' first rows in it, or None.
    """

    steps: BatchPipeline
    frames: Frames
    skeleton: Skeleton
    keys: np.ndarray
    labels: np.ndarray | None
    sample_idx: np.ndarray
    at: np.ndarray | None = None
    resident: Resident | None = None

    @cached_property
    def clips(self) -> PendingClips:
        """The clips with every deferred step noted."""
        return self.steps.pending(self.frames, self.skeleton, self.keys)

    @property
    def channels(self) -> int:
        """C of the batch."""
        return 4 if self.steps.pack and self.steps.pack.with_score else 3

    @property
    def fill(self) -> float:
        """Coordinate of missing points in the batch."""
        return self.filled(self.steps.pack.fill if self.steps.pack else 0.0)

    def filled(self, otherwise: float) -> float:
        """What the steps fill missing points with, or `otherwise`."""
        deferred = self.steps.deferred
        return deferred[-1].value if deferred and isinstance(deferred[-1], FillMissing) else otherwise

    def shape(self) -> tuple[int, int, int] | None:
        """(T, V, C) of every clip; None where they differ, or where a step is left that sees one clip at a time."""
        if self.steps.pack is None or self.steps.pack.meta_keys:
            return None
        lengths = self.clips.num_frames
        same = (lengths == lengths[0]).all()
        return (int(lengths[0]), self.clips.skeleton.num_keypoints, self.channels) if same else None


class LazyBatch(MutableSequence):
    """N samples, made together when they are first asked for.

    `keypoint_collate` takes `collate()`: tensors that may travel to the main process without a copy. Any other collate
    function sees a list of N samples; from then on these are the batch, since it may have edited them.

    Args:
        length: N.
        parts: Gives the clips; None or an error of the data where samples are to be made one by one, which says which clip
            it is, or skips it.
        samples: Gives the N samples.
    """

    def __init__(
        self, length: int, parts: Callable[[], Sequence[BatchPart] | None], samples: Callable[[], Sequence[Any]]
    ) -> None:
        self._length, self._parts, self._make_samples = length, parts, samples

    def collate(self) -> dict[str, Any] | None:
        """The batch as tensors, or None where samples must be stacked one by one, as those that were looked at."""
        parts = self._fitting()
        return None if parts is None else assemble(parts)

    def to_plan(self, *, resident: bool) -> dict[str, Any] | None:
        """What `KeypointDataPreprocessor` makes the batch of: a plan, and raw frames or their numbers in the pack.

        Args:
            resident: Send numbers alone.

        Returns:
            The finished batch where steps read frames twice, or clips of several pipelines meet; None where samples must be
            stacked one by one.

        Raises:
            ConfigError: `resident`, and the clips are not in one pack.
        """
        parts = self._fitting()
        if parts is None:
            return None
        pack = parts[0].resident() if resident and len(parts) == 1 and parts[0].resident else None
        if resident and pack is None:
            raise ConfigError("device_collate: mode='resident' needs clips of a pack; make one with 'karsl pack'")
        return assemble(parts) if len(parts) > 1 or parts[0].clips.settled else _planned(parts[0], pack)

    def _fitting(self) -> Sequence[BatchPart] | None:
        if "_samples" in self.__dict__:
            return None
        try:
            parts = self._parts()
            shapes = {part.shape() for part in parts or ()}
        except (KarslError, OSError):
            return None
        return parts if parts and len(shapes) == 1 and None not in shapes else None

    def __len__(self) -> int:
        return len(self.__dict__.get("_samples", range(self._length)))

    def __getitem__(self, at: Any) -> Any:
        return self._samples[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._samples)

    def __setitem__(self, at: Any, value: Any) -> None:
        self._samples[at] = value

    def __delitem__(self, at: Any) -> None:
        del self._samples[at]

    def insert(self, index: int, value: Any) -> None:
        """As of a list."""
        self._samples.insert(index, value)

    def sort(self, **how: Any) -> None:
        """As of a list."""
        self._samples.sort(**how)

    def copy(self) -> list[Any]:
        """The samples as a list."""
        return list(self._samples)

    def __add__(self, other: Iterable) -> list[Any]:
        return [*self._samples, *other]

    def __radd__(self, other: Iterable) -> list[Any]:
        return [*other, *self._samples]

    def __reduce__(self) -> tuple:
        return list, (list(self),)  # a worker whose collate function gives the samples themselves

    @cached_property
    def _samples(self) -> list[Any]:
        return list(self._make_samples())


def assemble(parts: Sequence[BatchPart]) -> dict[str, Any] | None:
    """Write the clips of all parts into one batch.

    Args:
        parts: At least one; their `at` together are the rows of the batch.

    Returns:
        inputs (N, T, V, C), keypoint_mask (N, T, V), sample_idx, and label where every part has it; None where clips differ
        in shape, or a step is left.
    """
    shapes = {part.shape() for part in parts}
    shape = shapes.pop()
    if shapes or shape is None:
        return None
    arrays, batch = batch_memory(parts, shape)
    write_parts(parts, arrays)
    return batch


def batch_memory(parts: Sequence[BatchPart], shape: tuple[int, int, int]) -> tuple[Arrays, dict[str, Any]]:
    """Memory for clips of one shape (T, V, C), label and sample_idx filled: arrays to write to, and the batch over them."""
    n, (frames, points, _) = sum(len(part.frames) for part in parts), shape
    spec = {"inputs": ((n, *shape), np.float32), "keypoint_mask": ((n, frames, points), np.bool_)}
    return _filled(parts, {}, spec)


def write_parts(parts: Sequence[BatchPart], arrays: Arrays) -> None:
    """Do what waits for the clips of all parts, into `batch_memory`."""
    _, frames, points, channels = arrays["inputs"].shape
    inputs, mask = arrays["inputs"].reshape(-1, points, channels), arrays["keypoint_mask"].reshape(-1, points)
    for part in parts:
        rows = None if part.at is None else part.at * frames
        part.clips.write(channels=channels, fill=part.fill, out=inputs, mask=mask, rows=rows)


def _planned(part: BatchPart, pack: tuple[int, np.ndarray] | None) -> dict[str, Any]:
    frames = part.frames
    plan = part.clips.plan(frames.first_rows if pack is None else pack[1])
    if pack is not None:
        batch = _filled([part], plan.arrays())[1]
    else:
        used, small = plan.used_frames()
        arrays, batch = _filled([part], small, {"frames": ((len(used), frames.num_keypoints, 4), frames.dtype)})
        frames.copy_to(arrays["frames"], used)
    batch["frame_plan"] = {  # plain numbers: read without waiting for a device
        "channels": part.channels,
        "fill": part.fill,
        "missing_is_zero": plan.missing_is_zero,
        "pack": None if pack is None else pack[0],
    }
    return batch


def _filled(parts: Sequence[BatchPart], small: Arrays, spec: Mapping | None = None) -> tuple[Arrays, dict[str, Any]]:
    """Memory for a batch: entries of `spec` to be filled, `small` arrays, label and sample_idx as they are."""
    small = dict(small)
    if all(part.labels is not None for part in parts):
        small["label"] = _gathered(parts, "labels")
    small["sample_idx"] = _gathered(parts, "sample_idx")
    kinds = {k: v.dtype if v.dtype.kind in "fb" else np.int64 for k, v in small.items()}
    arrays, batch = batch_buffer({**(spec or {}), **{k: (v.shape, kinds[k]) for k, v in small.items()}})
    for key, value in small.items():
        arrays[key][...] = value
    return arrays, batch


def _gathered(parts: Sequence[BatchPart], name: str) -> np.ndarray:
    if len(parts) == 1 and parts[0].at is None:
        return getattr(parts[0], name)
    out = np.empty(sum(len(part.frames) for part in parts), np.int64)
    for part in parts:
        out[slice(None) if part.at is None else part.at] = getattr(part, name)
    return out
