"""Metrics of classes: known answers, and two processes that equal one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from karsl.evaluation import ConfusionMatrixMetric, PerClassMetric, read_scores
from tests.evaluation.class_metric_ranks import LABELS, PREDICTED, evaluate


def process(metric, labels, predicted):
    metric.dataset_meta = {"classes": ("أ", "b", "c")}
    metric.process(None, [{"pred_score": torch.eye(3)[p], "gt_label": y} for y, p in zip(labels, predicted, strict=True)])
    return metric.evaluate(len(labels))


def test_means_are_over_the_classes_that_occur():
    # class 0: 1 of 2 recognized, predicted once; class 1: 2 of 2, predicted 3 times; class 2 has no clip
    found = process(PerClassMetric(each=True), [0, 0, 1, 1], [0, 1, 1, 1])
    assert found == {
        "class/precision": pytest.approx((1 + 2 / 3) / 2),
        "class/recall": 0.75,
        "class/f1": pytest.approx((2 / 3 + 4 / 5) / 2),
        "class/f1/أ": pytest.approx(2 / 3),
        "class/f1/b": 0.8,
    }
    assert set(process(PerClassMetric(), [0], [0])) == {"class/precision", "class/recall", "class/f1"}


def test_the_matrix_is_written_with_names(tmp_path):
    found = process(ConfusionMatrixMetric(out_file=tmp_path / "new" / "matrix.csv"), [0, 0, 0, 1], [0, 1, 1, 2])
    assert found == {"confusion/errors": 3, "confusion/pairs": 2}
    lines = (tmp_path / "new" / "matrix.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines == ["true \\ predicted,أ,b,c", "أ,1,2,0", "b,0,0,1", "c,0,0,0"]


@pytest.mark.parametrize("metric", [PerClassMetric, ConfusionMatrixMetric])
def test_clips_without_label_and_empty_splits_are_rejected(metric):
    with pytest.raises(ValueError, match=f"{metric.__name__} needs 'gt_label'"):
        metric().process(None, [{"pred_score": torch.ones(2), "gt_label": None}])
    with pytest.raises(ValueError, match="no clip was evaluated"):
        metric().evaluate(0)


def test_two_ranks_equal_one_process_for_all_metrics_and_the_score_file(tmp_path):
    script = Path(__file__).with_name("class_metric_ranks.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (tmp_path / "one").mkdir()
    alone = evaluate(tmp_path / "one")
    assert json.loads((tmp_path / "rank0.json").read_text()) == alone == json.loads((tmp_path / "rank1.json").read_text())
    assert alone["confusion/errors"] == 2
    assert (tmp_path / "matrix.csv").read_text() == (tmp_path / "one" / "matrix.csv").read_text()
    assert (tmp_path / "scores.npz").read_bytes() == (tmp_path / "one" / "scores.npz").read_bytes()
    scores = read_scores(tmp_path / "scores.npz")
    assert scores.clip_id.tolist() == [f"clip_{i}" for i in range(7)]
    assert scores.label.tolist() == LABELS
    assert scores.scores.argmax(axis=1).tolist() == PREDICTED
