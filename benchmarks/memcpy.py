"""Upper limit of the machine: the same bytes, float16 clips in and a float32 batch out, copied in one compiled loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidate import Candidate, folder_bytes
from benchmarks.clips import Clips, StoredClips, write_block
from benchmarks.task import CHANNELS, CLIP_LEN, NUM_KEYPOINTS, EndlessOrder


class Memcpy(Candidate):
    """Copy without sampling or augmentation: every frame of a clip is read once, every frame of the batch is written once.

    Two batches alternate, as in a training loop, which holds one while the next is made. A single batch would stay in the
    processor's cache.
    """

    name = "limit"
    role = "limit"
    libraries = ("numba",)
    extra = "fast"
    max_workers = 0

    def prepare(self, clips: Clips, folder: Path) -> int:
        write_block(clips, folder, dtype="float16")
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from benchmarks.memcpy_kernel import copy_clips

        clips = StoredClips(folder, "float16")
        bits = clips.frames.view(np.uint16)
        outs = [torch.empty(batch_size, CLIP_LEN, NUM_KEYPOINTS, CHANNELS) for _ in range(2)]

        def batches() -> Iterator[torch.Tensor]:
            order = iter(EndlessOrder(len(clips), seed=seed))
            for out in cycle(outs):
                indices = np.fromiter(order, np.int64, batch_size)
                copy_clips(bits, clips.offsets, indices, out.numpy())
                yield out

        return batches()

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        clips = StoredClips(folder, "float16")
        return [clips[number].astype(np.float32) for number in range(count)]


CANDIDATE = Memcpy()
