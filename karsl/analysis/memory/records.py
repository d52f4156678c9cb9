"""Loaders of small synthetic records of KArSL's size, to look at memory without any data."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from mmengine.dataset import BaseDataset, worker_init_fn
from torch.utils.data import DataLoader

from karsl.analysis.memory.samples import Case
from karsl.datasets.keypoint_dataset import KeypointDataset


def synthetic_records(count: int) -> Iterator[dict]:
    """Records as `karsl prepare` writes them; 187 bytes each when serialised."""
    for i in range(count):
        signer, sign = f"{i % 3 + 1:02}", i % 502 + 1
        clip = f"03_{signer}_{sign:04}_({i % 31:02}_{i % 12:02}_16_{i:09})_c"
        yield {
            "clip_id": clip, "keypoint_path": f"data/karsl/{signer}-train/{sign:04}.npz", "keypoint_key": clip,
            "label": sign - 1, "sign": sign, "signer": signer, "split": "train", "num_frames": 20 + i % 80,
        }  # fmt: skip


class _MadeUp(BaseDataset):
    """Records without clips. An item is a label: neither transforms nor the loader's buffers are in the picture.

    Args:
        count: How many.
        kwargs: Of the class that keeps the records.
    """

    def __init__(self, count: int, **kwargs: Any) -> None:
        self.count = count
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Make the records up."""
        return list(synthetic_records(self.count))

    def prepare_data(self, idx: int) -> int:
        """The label alone."""
        return self.get_data_info(idx)["label"]


class SyntheticRecords(_MadeUp, KeypointDataset):
    """Made-up records in karsl's index."""


class MMEngineRecords(_MadeUp):
    """The same in MMEngine's buffer."""


def records_loader(
    case: Case, rank: int, *, count: int, batch_size: int = 1024, index_cache: str | None = "auto"
) -> DataLoader:
    """A shuffled loader over synthetic records, as `probe` wants it.

    Args:
        count: Records.
        batch_size: Records a batch.
        index_cache: As for KeypointDataset.
    """
    dataset: BaseDataset
    if case.serialize == "mmengine":
        dataset = MMEngineRecords(count)
    else:
        dataset = SyntheticRecords(count, serialize_data=case.serialize == "on", index_cache=index_cache)
    return make_dataloader(dataset, case, batch_size=batch_size, seed=rank)


def make_dataloader(dataset: Any, case: Case, *, batch_size: int, seed: int) -> DataLoader:
    """A plain shuffled DataLoader with the workers of `case`."""
    workers: dict[str, Any] = {}
    if case.num_workers:
        workers = {"multiprocessing_context": case.start_method, "persistent_workers": True}
    options = {"num_workers": case.num_workers, "rank": 0, "seed": seed, "disable_subprocess_warning": True}
    return DataLoader(
        dataset, batch_size, shuffle=True, num_workers=case.num_workers, collate_fn=len,
        generator=torch.Generator().manual_seed(seed), worker_init_fn=partial(worker_init_fn, **options), **workers,
    )  # fmt: skip
