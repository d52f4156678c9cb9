"""A batch born as a batch: what `__getitems__` gives to a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.fused.pending import Frames, PendingClips
from karsl.datasets.fused.pipeline import BatchPipeline, clip_frames
from karsl.datasets.transfer.batch import batch_buffer
from karsl.datasets.transforms.normalize import FillMissing
from karsl.errors import ConfigError, CorruptRecordError, KarslError, TransformError
from karsl.skeletons import Skeleton
from karsl.storage.packed import Pack

if TYPE_CHECKING:
    from karsl.datasets.base import KeypointDataset


class LazyBatch(Sequence):
    """N samples, made together when they are first asked for.

    `keypoint_collate` takes `finished()`: tensors that may travel to the main process without a copy. Any other collate
    function sees a sequence of N samples, views of tensors of their own.

    Args:
        dataset: Gives records, keys and the pipeline.
        steps: Its pipeline, split.
        places: int64 (N,).
        skeleton: Of the clips.
    """

    def __init__(
        self, dataset: KeypointDataset, steps: BatchPipeline, places: np.ndarray, *, skeleton: Skeleton
    ) -> None:
        self._dataset, self._steps, self._places, self._skeleton = dataset, steps, places, skeleton

    def finished(self) -> dict[str, Any] | None:
        """The batch as tensors, or None where samples must be stacked one by one."""
        clips = self._whole()
        return None if clips is None else self._write(clips)

    def planned(self, *, resident: bool) -> dict[str, Any] | None:
        """What `KeypointDataPreprocessor` makes the batch of: a plan, and raw frames or their numbers in the pack.

        Args:
            resident: Send numbers alone.

        Returns:
            The finished batch where the steps read frames twice; None where samples must be stacked one by one.

        Raises:
            ConfigError: `resident`, and the clips are not in a pack.
        """
        pack = self._pack() if resident else None
        if resident and pack is None:
            raise ConfigError("plan_collate: mode='resident' needs clips of a pack; make one with 'karsl pack'")
        clips = self._whole(read_soon=not resident)
        if clips is None or clips.settled:
            return None if clips is None else self._write(clips)
        plan = clips.plan()
        if pack is not None:
            batch = self._filled(plan.arrays())[1]
        else:
            used, small = plan.used_frames()
            stored = clips.source.frames
            arrays, batch = self._filled(small, {"frames": ((len(used), *stored.shape[1:]), stored.dtype)})
            np.take(stored, used, axis=0, out=arrays["frames"], mode="clip")  # clip: the other modes buffer `out`
        batch["frame_plan"] = {  # plain numbers: read without waiting for a device
            "channels": self._channels(),
            "fill": self._fill(self._steps.pack.fill if self._steps.pack else 0.0),
            "missing_is_zero": plan.missing_is_zero,
            "pack": None if pack is None else pack.digest,
        }
        return batch

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        return self._samples[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._samples)

    @cached_property
    def _samples(self) -> list[Any]:
        try:
            clips = self.pending()
        except (KarslError, OSError):
            return [self._dataset[place] for place in self._places.tolist()]
        return list(self._one_by_one(clips))

    def _one_by_one(self, clips: PendingClips) -> Iterator[Any]:
        dataset = self._dataset
        points, mask = clips.write(channels=4, fill=self._fill(np.nan))
        ends = np.concatenate([[0], np.cumsum(clips.num_frames)])
        for n, place in enumerate(self._places.tolist()):
            here = slice(ends[n], ends[n + 1])
            results = {
                **dataset.start(place),
                **clips.notes(n),
                "keypoint": points[here, :, :3],
                "keypoint_score": np.where(mask[here], points[here, :, 3], np.float32(0)),
                "num_frames": int(ends[n + 1] - ends[n]),
            }
            try:
                sample = dataset.pipeline(results, first=1 + len(self._steps.deferred))
            except TransformError:
                sample = None
            # none, or an error: the sample on its own raises it again, or takes another clip where that is allowed
            yield dataset[place] if sample is None else sample

    def _write(self, clips: PendingClips) -> dict[str, Any]:
        n, frames, points = len(clips), int(clips.num_frames[0]), clips.skeleton.num_keypoints
        channels = self._channels()
        spec = {"inputs": ((n, frames, points, channels), np.float32), "keypoint_mask": ((n, frames, points), np.bool_)}
        arrays, batch = self._filled({}, spec)
        clips.write(
            channels=channels,
            fill=self._fill(self._steps.pack.fill if self._steps.pack else 0.0),
            out=arrays["inputs"].reshape(-1, points, channels),
            mask=arrays["keypoint_mask"].reshape(-1, points),
        )
        return batch

    def _filled(
        self, small: dict[str, np.ndarray], spec: dict | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Memory for a batch: entries of `spec` to be filled, `small` arrays, label and sample_idx as they are."""
        labels = self._labels()
        small = small | ({} if labels is None else {"label": np.asarray(labels)}) | {"sample_idx": self._places}
        kinds = {k: v.dtype if v.dtype.kind in "fb" else np.int64 for k, v in small.items()}
        arrays, batch = batch_buffer({**(spec or {}), **{k: (v.shape, kinds[k]) for k, v in small.items()}})
        for key, value in small.items():
            arrays[key][...] = value
        return arrays, batch

    def _whole(self, *, read_soon: bool = True) -> PendingClips | None:
        """Clips that make one batch: of one length, and nothing is left but to pack them."""
        if self._steps.pack is None or self._steps.pack.meta_keys:
            return None
        try:
            clips = self.pending(read_soon=read_soon)
        except (KarslError, OSError):
            return None  # the samples, one by one, say which clip it is, or skip it
        return None if len(set(clips.num_frames.tolist())) > 1 else clips

    def pending(self, *, read_soon: bool = True) -> PendingClips:
        """The clips with every deferred step noted."""
        dataset = self._dataset
        return self._steps.pending(self._frames(read_soon), self._skeleton, dataset.sample_keys(self._places))

    def _pack(self) -> Pack | None:
        index = self._dataset.index if self._dataset.serialize_data else None
        paths = [] if index is None or "frame_start" not in index.columns else index.categories("pack")
        return self._steps.load.pack(paths[0], self._skeleton.num_keypoints) if len(paths) == 1 else None

    def _frames(self, read_soon: bool = True) -> Frames:
        dataset, pack = self._dataset, self._pack()
        if pack is None:
            records = [dataset.start(place) for place in self._places.tolist()]
            return clip_frames([self._steps.load.read_clip(r) for r in records], self._skeleton)
        starts, lengths = dataset.column("frame_start")[self._places], dataset.column("num_frames")[self._places]
        if starts.min() < 0 or lengths.min() < 1 or (starts + lengths).max() > len(pack.frames):
            raise CorruptRecordError(f"{pack.path}: records point outside its {len(pack.frames)} frames")
        if read_soon:
            pack.advise(starts, lengths)
        return Frames(pack.frames, pack.presence, starts, lengths)

    def _channels(self) -> int:
        return 4 if self._steps.pack and self._steps.pack.with_score else 3

    def _labels(self) -> np.ndarray | list[int] | None:
        dataset = self._dataset
        if dataset.serialize_data:
            return dataset.column("label")[self._places] if "label" in dataset.index.columns else None
        labels = [dataset.data_list[p].get("label") for p in self._places]
        return None if None in labels else labels

    def _fill(self, otherwise: float) -> float:
        deferred = self._steps.deferred
        return deferred[-1].value if deferred and isinstance(deferred[-1], FillMissing) else otherwise
