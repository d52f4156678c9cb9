"""Two ranks of torchrun with two workers each: each clip once per epoch, resumed by a single rank."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from karsl.datasets import StreamDataset

SCRIPT = Path(__file__).with_name("stream_ranks.py")
COUNT = 60


def test_an_epoch_over_two_ranks_is_each_clip_once_and_resumes_on_one(stores, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(SCRIPT)]
    done = subprocess.run(
        [*command, str(stores / "tars"), str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for source in ("stream", "sampler"):
        epochs = [rank[source] for rank in ranks]
        assert sorted(clip for epoch in epochs for batch in epoch for clip in batch) == list(range(COUNT))
        assert [len(epoch) for epoch in epochs] == [5, 5]
    steps = [sorted(a + b) for a, b in zip(ranks[0]["stream"], ranks[1]["stream"], strict=True)]
    assert ranks[0]["state"] == ranks[1]["state"]
    assert ranks[0]["state"]["consumed"] == 24
    alone = StreamDataset(str(stores / "tars"), [], seed=0, window=20, block_size=7)
    order = alone.order(5, 0)
    assert [sorted(order.indices(np.arange(12 * k, 12 * k + 12)).tolist()) for k in range(5)] == steps
    alone.load_state_dict(ranks[0]["state"])
    rest = [sample["sample_idx"] for sample in alone]
    assert sorted([*(clip for step in steps[:2] for clip in step), *rest]) == list(range(COUNT))
