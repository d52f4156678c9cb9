"""Read an epoch with StatefulDataLoader and record each batch and its state; optionally kill this process after a batch."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from xxhash import xxh3_64_hexdigest

from karsl.datasets import ResumableSampler, StreamDataset, TarDataset, keypoint_collate

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=6, jitter=1.0),
    dict(type="PackKeypointInputs"),
]


def main(tars: str, folder: Path, source: str, workers: int, kill: int) -> None:
    from torchdata.stateful_dataloader import StatefulDataLoader

    folder.mkdir(exist_ok=True)
    options: dict = dict(batch_size=8, num_workers=workers, collate_fn=keypoint_collate)
    if source == "stream":
        loader = StatefulDataLoader(StreamDataset(tars, PIPELINE, seed=5, window=20, block_size=7, batch_size=8), **options)
    else:
        dataset = TarDataset(tars, PIPELINE, seed=5)
        loader = StatefulDataLoader(dataset, sampler=ResumableSampler(dataset, seed=5), **options)
    if (folder / "state.pth").exists():
        loader.load_state_dict(torch.load(folder / "state.pth", weights_only=True))
    for number, batch in enumerate(loader, 1):
        with (folder / "batches.jsonl").open("a") as stream:
            stream.write(
                json.dumps([batch["sample_idx"].tolist(), xxh3_64_hexdigest(batch["inputs"].numpy().tobytes())]) + "\n"
            )
        torch.save(loader.state_dict(), folder / "state.pth")
        if number == kill:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
