"""litdata: chunks of clips as bytes, with its own dataset and loader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidate import Candidate, folder_bytes
from benchmarks.clips import Clips
from benchmarks.task import CHANNELS, NUM_KEYPOINTS

_CHUNK_BYTES = 1 << 26


class LitData(Candidate):
    """Clips as bytes, since its serializer of arrays is slower."""

    name = "litdata"
    libraries = ("litdata",)
    extra = None
    remedy = (
        "no extra installs it, since it requires torchvision, whose wheel on PyPI breaks MMEngine's Runner with a CPU build "
        "of torch; use 'pip install --no-deps litdata lightning-utilities' and install what is then missing"
    )

    def prepare(self, clips: Clips, folder: Path) -> int:
        from litdata.streaming.writer import BinaryWriter

        writer = BinaryWriter(str(folder), chunk_bytes=_CHUNK_BYTES)
        for number, clip in enumerate(clips):
            writer.add_item(number, np.ascontiguousarray(clip).tobytes())
        writer.done()
        writer.merge()
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from litdata import StreamingDataLoader

        from benchmarks.baselines.litdata_dataset import StreamedClips

        workers = {"multiprocessing_context": start_method, "persistent_workers": True} if num_workers else {}
        dataset = StreamedClips(str(folder), seed=seed)
        return StreamingDataLoader(dataset, batch_size=batch_size, num_workers=num_workers, **workers)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        from litdata import StreamingDataset

        dataset = StreamingDataset(str(folder), shuffle=False)
        return [as_clip(dataset[index]) for index in range(count)]


def as_clip(raw: bytes) -> np.ndarray:
    """Return (T, 184, 4) from the bytes of a clip."""
    return np.frombuffer(raw, np.float32).reshape(-1, NUM_KEYPOINTS, CHANNELS)


CANDIDATE = LitData()
