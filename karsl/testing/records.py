"""Synthetic records of KArSL's size, for measuring memory without data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from mmengine.dataset import BaseDataset, worker_init_fn
from torch.utils.data import DataLoader

from karsl.datasets.keypoint_dataset import KeypointDataset


def synthetic_records(count: int) -> Iterator[dict]:
    """Yield records as `karsl prepare` writes them; 187 bytes each when serialized."""
    for i in range(count):
        signer, sign = f"{i % 3 + 1:02}", i % 502 + 1
        clip = f"03_{signer}_{sign:04}_({i % 31:02}_{i % 12:02}_16_{i:09})_c"
        yield {
            "clip_id": clip, "keypoint_path": f"data/karsl/{signer}-train/{sign:04}.npz", "keypoint_key": clip,
            "label": sign - 1, "sign": sign, "signer": signer, "split": "train", "num_frames": 20 + i % 80,
        }  # fmt: skip


class _RecordsOnly(BaseDataset):
    """Records without clips. A sample is a label, so that neither transforms nor buffers of the loader are measured.

    Args:
        count: Number of records.
        kwargs: Arguments of the dataset class.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        self.count = count
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Make the records."""
        return list(synthetic_records(self.count))

    def index_inputs(self) -> list[str]:
        """Return no files: the number of records determines them."""
        return []

    def prepare_data(self, idx: int) -> int:
        """Return the label alone."""
        return self.get_data_info(idx)["label"]


class SyntheticRecords(_RecordsOnly, KeypointDataset):
    """Synthetic records in karsl's index."""


class MMEngineRecords(_RecordsOnly):
    """Synthetic records in MMEngine's buffer."""


def records_loader(
    *,
    count: int,
    serialize: str,
    num_workers: int,
    start_method: str,
    seed: int = 0,
    batch_size: int = 1024,
    index_cache: str | None = "auto",
) -> DataLoader:
    """Return a shuffled loader over synthetic records.

    Args:
        count: Number of records.
        serialize: 'on' (karsl's index), 'off' (plain Python records), or 'mmengine' (its numpy buffer).
        num_workers: Worker processes.
        start_method: Start method of the workers.
        seed: Seed of the order.
        batch_size: Records per batch.
        index_cache: As for KeypointDataset.
    """
    dataset: BaseDataset
    if serialize == "mmengine":
        dataset = MMEngineRecords(count)
    else:
        dataset = SyntheticRecords(count, serialize_data=serialize == "on", index_cache=index_cache)
    return shuffled_loader(dataset, num_workers=num_workers, start_method=start_method, batch_size=batch_size, seed=seed)


def shuffled_loader(dataset: Any, *, num_workers: int, start_method: str, batch_size: int, seed: int) -> DataLoader:
    """Return a plain shuffled DataLoader whose batches are their lengths."""
    workers: dict[str, Any] = {}
    if num_workers:
        workers = {"multiprocessing_context": start_method, "persistent_workers": True}
    options = {"num_workers": num_workers, "rank": 0, "seed": seed, "disable_subprocess_warning": True}
    return DataLoader(
        dataset, batch_size, shuffle=True, num_workers=num_workers, collate_fn=len,
        generator=torch.Generator().manual_seed(seed), worker_init_fn=partial(worker_init_fn, **options), **workers,
    )  # fmt: skip
