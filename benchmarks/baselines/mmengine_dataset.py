"""The dataset of the way `mmengine`; apart, since its class needs MMEngine when it is defined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from benchmarks.clips import read_offsets


class MappedRecords(BaseDataset):
    """Where each clip lies in the block.

    Args:
        folder: Of the block.
        kwargs: As for BaseDataset.
    """

    def __init__(self, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """One record a clip."""
        offsets = read_offsets(self.folder).tolist()
        return [
            {"start": start, "end": end, "label": number % 502}
            for number, (start, end) in enumerate(zip(offsets[:-1], offsets[1:], strict=True))
        ]
