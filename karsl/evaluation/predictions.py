"""Predictions of a test run as a JSON file that people and scripts can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from karsl.io.atomic import atomic_path
from karsl.registry import METRICS


@METRICS.register_module()
class DumpPredictions(BaseMetric):
    """Write the best classes of each clip; adds no metric.

    The file is `{"classes": [...], "predictions": [{"sample_idx", "gt_label", "pred_label", "top": [[label, score],
    ...]}, ...]}` in dataset order, a line each, written in full or not at all.

    Args:
        out_file: JSON file to write.
        topk: Best classes to keep of each clip.
        describe: Gives further JSON-able keys of a clip from its `sample_idx`, e.g. its `clip_id`.
    """

    default_prefix = "dump"

    def __init__(self, out_file: str | Path, topk: int = 5, describe: Callable[[int], dict] | None = None) -> None:
        super().__init__(collect_device="gpu")
        self.out_file, self.topk, self.describe = Path(out_file), topk, describe

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the `topk` best classes of each clip."""
        for sample in data_samples:
            scores = torch.as_tensor(sample["pred_score"]).float()
            values, labels = scores.topk(min(self.topk, len(scores)))
            top = [[label, round(value, 6)] for label, value in zip(labels.tolist(), values.tolist(), strict=True)]
            row = {key: sample.get(key) for key in ("sample_idx", "gt_label", "pred_label")}
            self.results.append(row | {"top": top})

    def compute_metrics(self, results: list[dict]) -> dict:
        """Write the file."""
        if self.describe is not None:
            results = [self.describe(row["sample_idx"]) | row for row in results]
        classes = list((self.dataset_meta or {}).get("classes", ()))
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in results)
        text = f'{{"classes": {json.dumps(classes, ensure_ascii=False)},\n"predictions": [\n{lines}\n]}}\n'
        with atomic_path(self.out_file) as part:
            part.write_text(text, encoding="utf-8")
        return {}
