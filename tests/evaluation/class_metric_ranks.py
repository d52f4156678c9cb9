"""Run in a test: two gloo ranks evaluate 7 clips with all metrics, of which a padding sampler gives each rank 4."""

import json
import multiprocessing
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dataset import DefaultSampler

from karsl.evaluation import AccuracyMetric, ConfusionMatrixMetric, DumpScores, PerClassMetric

LABELS = [1, 0, 0, 2, 1, 0, 1]
PREDICTED = [1, 0, 2, 2, 0, 0, 1]


class Clips:
    """The clips as a dataset, of which only records are read."""

    metainfo = {"classes": ("a", "b", "c")}

    def __len__(self):
        return len(LABELS)

    def get_data_info(self, index):
        return {"clip_id": f"clip_{index}", "sample_idx": index}


def evaluate(folder):
    clips = Clips()
    metrics = [
        AccuracyMetric(topk=(1, 2)),
        PerClassMetric(each=True),
        ConfusionMatrixMetric(out_file=Path(folder, "matrix.csv")),
        DumpScores(Path(folder, "scores.npz"), clips, checkpoint="epoch_1.pth"),
    ]
    found = {}
    for metric in metrics:
        metric.dataset_meta = clips.metainfo
        for batch in torch.tensor(list(DefaultSampler(clips, shuffle=False))).split(2):
            scores = [{"pred_score": torch.eye(3)[PREDICTED[i]], "gt_label": LABELS[i], "sample_idx": int(i)} for i in batch]
            metric.process(None, scores)
        found |= metric.evaluate(len(clips))
    return found


def run(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    Path(folder, f"rank{rank}.json").write_text(json.dumps(evaluate(folder)))
    dist.destroy_process_group()


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=run, args=(rank, sys.argv[1])) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    sys.exit(max(process.exitcode for process in ranks))
