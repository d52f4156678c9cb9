"""Run by torchrun in a test: each rank opens the same dataset and reads an epoch with two workers."""

import json
import os
import sys
from pathlib import Path

import torch.distributed as dist
from torch.utils.data import DataLoader

from karsl.datasets import KeypointDataset
from karsl.profiling.proc import record_pages


class Counting(KeypointDataset):
    """Write a line to a file at every parse."""

    def load_data_list(self):
        with open(os.environ["PARSES"], "a") as notes:
            notes.write(f"{os.getpid()}\n")
        return super().load_data_list()

    def index_inputs(self):
        return []


def look(samples):
    """Return the samples that this process read, and the inode and private pages of the index that it has mapped."""
    pages = record_pages(DATASET)[0]
    count = pages.count(os.getpid())
    return {
        "pid": os.getpid(),
        "samples": [s["sample_idx"] for s in samples],
        "inode": pages.inode,
        "private": None if count is None else count.private,
    }


if __name__ == "__main__":
    dist.init_process_group("gloo")
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    DATASET = Counting("annotations.json", data_root=str(root), index_cache=str(out / "cache"))
    seen = list(DataLoader(DATASET, batch_size=4, num_workers=2, collate_fn=look))
    seen.append(look([]))
    (out / f"rank{dist.get_rank()}.json").write_text(json.dumps(seen))
    dist.barrier()
    dist.destroy_process_group()
