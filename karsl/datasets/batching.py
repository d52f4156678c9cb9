"""A batch born as a batch: what `__getitems__` gives to a DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.fused.pending import Frames, PendingClips
from karsl.datasets.fused.pipeline import BatchPipeline, clip_frames
from karsl.datasets.transfer import batch_buffer
from karsl.datasets.transforms.normalize import FillMissing
from karsl.errors import CorruptRecordError, KarslError

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
    """

    def __init__(self, dataset: KeypointDataset, steps: BatchPipeline, places: np.ndarray) -> None:
        self._dataset, self._steps, self._places = dataset, steps, places

    def finished(self) -> dict[str, Any] | None:
        """The batch as tensors, or None where samples must be stacked one by one."""
        if self._steps.pack is None or self._steps.pack.meta_keys:
            return None
        try:
            clips = self._pending()
        except (KarslError, OSError):
            return None  # the samples, one by one, say which clip it is, or skip it
        return None if len(set(clips.num_frames.tolist())) > 1 else self._write(clips)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: Any) -> Any:
        return self._samples[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._samples)

    @cached_property
    def _samples(self) -> list[Any]:
        try:
            clips = self._pending()
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
            sample = dataset.pipeline(results, first=1 + len(self._steps.deferred))
            yield dataset[place] if sample is None else sample

    def _write(self, clips: PendingClips) -> dict[str, Any]:
        n, frames, points = len(clips), int(clips.num_frames[0]), clips.skeleton.num_keypoints
        channels = 4 if self._steps.pack and self._steps.pack.with_score else 3
        labels = self._labels()
        spec = {"inputs": ((n, frames, points, channels), np.float32), "keypoint_mask": ((n, frames, points), np.bool_)}
        spec |= {"label": ((n,), np.int64)} if labels is not None else {}
        arrays, batch = batch_buffer({**spec, "sample_idx": ((n,), np.int64)})
        clips.write(
            channels=channels,
            fill=self._fill(self._steps.pack.fill if self._steps.pack else 0.0),
            out=arrays["inputs"].reshape(-1, points, channels),
            mask=arrays["keypoint_mask"].reshape(-1, points),
        )
        arrays["sample_idx"][:] = self._places
        if labels is not None:
            arrays["label"][:] = labels
        return batch

    def _pending(self) -> PendingClips:
        dataset = self._dataset
        return self._steps.pending(self._frames(), dataset.skeleton, dataset.sample_keys(self._places))

    def _frames(self) -> Frames:
        dataset, index = self._dataset, self._dataset.index if self._dataset.serialize_data else None
        if index is None or "frame_start" not in index.columns:
            records = [dataset.start(place) for place in self._places.tolist()]
            return clip_frames([self._steps.load.read_clip(r) for r in records], dataset.skeleton)
        pack = self._steps.load.pack(index.categories("pack")[0], dataset.skeleton.num_keypoints)
        starts, lengths = dataset.column("frame_start")[self._places], dataset.column("num_frames")[self._places]
        if starts.min() < 0 or lengths.min() < 1 or (starts + lengths).max() > len(pack.frames):
            raise CorruptRecordError(f"{pack.path}: records point outside its {len(pack.frames)} frames")
        pack.advise(starts, lengths)
        return Frames(pack.frames, pack.presence, starts, lengths)

    def _labels(self) -> np.ndarray | list[int] | None:
        dataset = self._dataset
        if dataset.serialize_data:
            return dataset.column("label")[self._places] if "label" in dataset.index.columns else None
        labels = [dataset.data_list[p].get("label") for p in self._places]
        return None if None in labels else labels

    def _fill(self, otherwise: float) -> float:
        deferred = self._steps.deferred
        return deferred[-1].value if deferred and isinstance(deferred[-1], FillMissing) else otherwise
