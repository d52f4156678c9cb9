"""The JSON file of predictions."""

from __future__ import annotations

import json

import torch

from karsl.evaluation import DumpPredictions


def test_the_best_classes_of_each_clip_are_written_in_order(tmp_path):
    path = tmp_path / "new" / "predictions.json"
    metric = DumpPredictions(path, topk=2, describe=lambda indices: [{"clip_id": f"clip_{index}"} for index in indices])
    metric.dataset_meta = {"classes": ("أب", "b", "c")}
    score = torch.tensor([0.25, 0.125, 0.625])
    metric.process(None, [{"pred_score": score, "pred_label": 2, "gt_label": 0, "sample_idx": 4}])
    assert metric.evaluate(1) == {}
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "classes": ["أب", "b", "c"],
        "predictions": [
            {
                "clip_id": "clip_4",
                "sample_idx": 4,
                "gt_label": 0,
                "pred_label": 2,
                "top": [[2, 0.625], [0, 0.25]],
            }
        ],
    }
    assert list(path.parent.iterdir()) == [path]
