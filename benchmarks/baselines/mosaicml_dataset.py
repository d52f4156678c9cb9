"""The dataset of the way `mosaicml`; apart, since its class needs the library when it is defined."""

from __future__ import annotations

import numpy as np
from streaming import StreamingDataset

from benchmarks.task import EagerTask


class StreamedClips(StreamingDataset):
    """Clips through the job, in its own shuffled order."""

    def __init__(self, folder: str, *, batch_size: int, seed: int) -> None:
        super().__init__(local=folder, shuffle=True, batch_size=batch_size, shuffle_seed=seed)
        self.job = EagerTask(seed)

    def __getitem__(self, idx: int) -> np.ndarray:  # type: ignore[override]
        """float32 (50, 184, 4)."""
        return self.job(super().__getitem__(idx)["clip"])
