"""MosaicML streaming: MDS shards, with its own dataset and loader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidate import Candidate, folder_bytes
from benchmarks.clips import Clips

_SHARD_BYTES = 1 << 26  # its default


class MosaicML(Candidate):
    """One `ndarray:float32` column in local files."""

    name = "mosaicml"
    libraries = ("streaming", "torchvision")
    extra = None
    remedy = (
        "no extra installs it, since version 0.13 requires numpy<2.2 and xxhash<4 and imports torchvision, but it runs with "
        "newer versions; use 'pip install --no-deps mosaicml-streaming' and install what is then missing"
    )

    def prepare(self, clips: Clips, folder: Path) -> int:
        from streaming import MDSWriter

        columns = {"clip": "ndarray:float32"}
        with MDSWriter(out=str(folder), columns=columns, size_limit=_SHARD_BYTES, progress_bar=False) as writer:
            for clip in clips:
                writer.write({"clip": np.ascontiguousarray(clip)})
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from streaming import StreamingDataLoader

        from benchmarks.baselines.mosaicml_dataset import StreamedClips

        workers = {"multiprocessing_context": start_method, "persistent_workers": True} if num_workers else {}
        dataset = StreamedClips(str(folder), batch_size=batch_size, seed=seed)
        return StreamingDataLoader(dataset, batch_size=batch_size, num_workers=num_workers, **workers)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        from streaming import StreamingDataset

        dataset = StreamingDataset(local=str(folder), batch_size=1)
        return [dataset[index]["clip"] for index in range(count)]


CANDIDATE = MosaicML()
