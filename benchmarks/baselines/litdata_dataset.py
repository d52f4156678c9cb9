"""The dataset of the way `litdata`; apart, since its class needs the library when it is defined."""

from __future__ import annotations

import numpy as np
from litdata import StreamingDataset

from benchmarks.baselines.litdata import as_clip
from benchmarks.task import EagerTask


class StreamedClips(StreamingDataset):
    """Clips through the job, in its own shuffled order."""

    def __init__(self, folder: str, *, seed: int) -> None:
        super().__init__(folder, shuffle=True, drop_last=False, seed=seed)
        self.job = EagerTask(seed)

    def __getitem__(self, index: object) -> np.ndarray:  # type: ignore[override]
        """float32 (50, 184, 4)."""
        return self.job(as_clip(super().__getitem__(index)))
