"""Dataset of the candidate `mosaicml`, in its own module because the class derives from one of the library."""

from __future__ import annotations

import numpy as np
from streaming import StreamingDataset

from benchmarks.task import EagerTask


class StreamedClips(StreamingDataset):
    """Clips after the task, in the shuffled order of the library."""

    def __init__(self, folder: str, *, batch_size: int, seed: int) -> None:
        super().__init__(local=folder, shuffle=True, batch_size=batch_size, shuffle_seed=seed)
        self.task = EagerTask(seed)

    def __getitem__(self, idx: int) -> np.ndarray:  # type: ignore[override]
        """Return float32 (50, 184, 4)."""
        return self.task(super().__getitem__(idx)["clip"])
