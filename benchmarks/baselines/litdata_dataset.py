"""Dataset of the candidate `litdata`, in its own module because the class derives from one of the library."""

from __future__ import annotations

import numpy as np
from litdata import StreamingDataset

from benchmarks.baselines.litdata import as_clip
from benchmarks.task import EagerTask


class StreamedClips(StreamingDataset):
    """Clips after the task, in the shuffled order of the library."""

    def __init__(self, folder: str, *, seed: int) -> None:
        super().__init__(folder, shuffle=True, drop_last=False, seed=seed)
        self.task = EagerTask(seed)

    def __getitem__(self, index: object) -> np.ndarray:  # type: ignore[override]
        """Return float32 (50, 184, 4)."""
        return self.task(as_clip(super().__getitem__(index)))
