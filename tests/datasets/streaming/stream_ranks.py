"""Run by torchrun in a test: each rank reads an epoch with two workers and writes its state after two batches."""

import json
import os
import sys
from pathlib import Path

import torch.distributed as dist
from torch.utils.data import DataLoader

from karsl.datasets import ResumableSampler, StreamDataset, TarDataset, keypoint_collate

PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=4), dict(type="PackKeypointInputs")]

if __name__ == "__main__":
    dist.init_process_group("gloo")
    options = dict(batch_size=6, num_workers=2, collate_fn=keypoint_collate)
    stream = StreamDataset(sys.argv[1], PIPELINE, seed=5, window=20, block_size=7, batch_size=6, remainder="uneven")
    found = {"stream": [batch["sample_idx"].tolist() for batch in DataLoader(stream, **options)]}
    dataset = TarDataset(sys.argv[1], PIPELINE, seed=5)
    sampler = ResumableSampler(dataset, seed=5, remainder="uneven")
    found["sampler"] = [batch["sample_idx"].tolist() for batch in DataLoader(dataset, sampler=sampler, **options)]
    for _ in range(2):
        stream.advance(6)
    found["state"] = stream.state_dict()
    Path(sys.argv[2], f"rank{os.environ['RANK']}.json").write_text(json.dumps(found))
    dist.destroy_process_group()
