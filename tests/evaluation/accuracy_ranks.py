"""Run in a test: two gloo ranks evaluate 7 clips, of which samplers give one rank 4 and the other 4 or 3."""

import json
import multiprocessing
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler

from karsl.datasets import ResumableSampler
from karsl.evaluation import AccuracyMetric

LABELS = [1, 0, 0, 1, 1, 0, 1]  # the model always predicts 0: 3 of 7, and 3 of 8 or 3 of 6 where one is counted twice or not


def evaluate(sampler, collect_device):
    metric = AccuracyMetric(collect_device=collect_device)
    batches = torch.tensor(list(sampler)).split(2)
    for batch in batches:
        metric.process(None, [{"pred_score": torch.tensor([1.0, 0.0]), "gt_label": LABELS[index]} for index in batch])
    return {"clips": sum(map(len, batches)), **metric.evaluate(len(LABELS))}


def run(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    samplers = {
        "mmengine": DefaultSampler(LABELS, shuffle=False),
        "pad": ResumableSampler(LABELS, seed=0, shuffle=False),
        "uneven": ResumableSampler(LABELS, seed=0, shuffle=False, remainder="uneven"),
        "shuffled": ResumableSampler(LABELS, seed=3, remainder="uneven"),
    }
    found = {
        f"{name} {device}": evaluate(sampler, device) for name, sampler in samplers.items() for device in ("gpu", "cpu")
    }
    Path(folder, f"rank{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=run, args=(rank, sys.argv[1])) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(max(process.exitcode for process in ranks))
