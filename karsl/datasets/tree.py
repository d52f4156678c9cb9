"""Walk trees of datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from karsl.datasets.batched import BatchedDataset
from karsl.datasets.combine.leaves import leaf_clips
from karsl.storage.readahead import FileRanges, rows_place


def file_ranges(dataset: Any, indices: np.ndarray) -> list[FileRanges]:
    """Return the byte ranges of clips in mapped files; archives have none.

    Args:
        dataset: Any dataset or tree of datasets.
        indices: int64 (N,), each in [0, len(dataset)).

    Raises:
        OSError: If a file is missing.
        ValueError: If a file does not match the index.
    """
    return [part for clips in leaf_clips(dataset, indices) for part in _leaf_ranges(clips.dataset, clips.places)]


def _leaf_ranges(dataset: Any, indices: np.ndarray) -> Iterator[FileRanges]:
    if not isinstance(dataset, BatchedDataset) or not dataset._fully_initialized or not dataset.serialize_data:
        return
    columns = set(dataset.index.columns)
    if not {"pack", "num_frames"} <= columns or not columns & {"frame_start", "byte_start"}:
        return
    paths, codes = dataset.index.categories("pack"), dataset.column("pack")[indices]
    lengths = dataset.column("num_frames")[indices]
    for code in np.unique(codes).tolist():
        in_file = codes == code
        if "frame_start" in columns:
            first_byte, frame_bytes = rows_place(paths[code])
            starts = first_byte + dataset.column("frame_start")[indices[in_file]] * frame_bytes
        else:
            keypoints = 0 if dataset.skeleton is None else dataset.skeleton.num_keypoints
            frame_bytes = keypoints * 4 * np.dtype(dataset.index.categories("dtype")[0]).itemsize
            starts = dataset.column("byte_start")[indices[in_file]]
        yield FileRanges(paths[code], list(zip(starts.tolist(), (lengths[in_file] * frame_bytes).tolist(), strict=True)))
