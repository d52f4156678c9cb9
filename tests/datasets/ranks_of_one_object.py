"""Run in a test: two gloo ranks that were given the same objects, by fork or spawn, each with a persistent worker."""

import json
import multiprocessing
import sys
from pathlib import Path

import torch.distributed as dist
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, StreamDataset, keypoint_collate

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=4, jitter=1.0),
    dict(type="PackKeypointInputs"),
]
EPOCHS = 3


def train(rank, method, stream, dataset, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    context = multiprocessing.get_context(method)
    options = dict(batch_size=6, num_workers=1, persistent_workers=True, multiprocessing_context=context)
    loader = DataLoader(stream, collate_fn=keypoint_collate, **options)
    clips, sums = [], []
    for epoch in range(EPOCHS):
        if epoch:  # the first pass starts without: it finds the ranks itself
            stream.set_epoch(epoch)
        clips.append([index for batch in loader for index in batch["sample_idx"].tolist()])
    for epoch in (0, rank):
        dataset.set_epoch(epoch)
        dist.barrier()
        sums.append(float(dataset[3]["inputs"].double().sum()))
        dist.barrier()
    Path(folder, f"rank{rank}.json").write_text(json.dumps({"clips": clips, "sums": sums}))
    dist.destroy_process_group()


if __name__ == "__main__":
    method, root, folder = sys.argv[1:]
    source = KArSLDataset(data_root=root, pipeline=PIPELINE)
    stream = StreamDataset(source, seed=0, batch_size=6, remainder="uneven")
    dataset = KArSLDataset(data_root=root, pipeline=PIPELINE, seed=0)
    context = multiprocessing.get_context(method)
    ranks = [context.Process(target=train, args=(rank, method, stream, dataset, folder)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(max(process.exitcode for process in ranks))
