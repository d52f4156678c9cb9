"""Dataset of the candidate `mmengine`, in its own module because the class derives from one of the library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from benchmarks.clips import read_offsets


class MappedRecords(BaseDataset):
    """First and last frame of each clip in the block.

    Args:
        folder: Folder of the block.
        kwargs: Further arguments of BaseDataset.
    """

    def __init__(self, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one record per clip."""
        offsets = read_offsets(self.folder).tolist()
        return [
            {"start": start, "end": end, "label": index % 502}
            for index, (start, end) in enumerate(zip(offsets[:-1], offsets[1:], strict=True))
        ]
