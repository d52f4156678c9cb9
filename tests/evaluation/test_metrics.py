"""Accuracy on answers small enough to count by hand."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from karsl.evaluation import AccuracyMetric, rank_of_true_class


def rows(scores: list[list[float]], labels: list[int]) -> list[dict]:
    return [{"pred_score": torch.tensor(s), "gt_label": k} for s, k in zip(scores, labels, strict=True)]


def evaluate(scores, labels, classes=(), **kwargs) -> dict:
    metric = AccuracyMetric(**kwargs)
    metric.dataset_meta = {"classes": classes}
    half = len(labels) // 2
    metric.process(None, rows(scores[:half], labels[:half]))
    metric.process(None, rows(scores[half:], labels[half:]))
    return metric.evaluate(len(labels))


@pytest.fixture
def warnings():
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger = MMLogger.get_instance("accuracy_test")
    MMLogger._instance_dict.move_to_end("accuracy_test")
    logger.addHandler(handler)
    yield seen
    MMLogger._instance_dict.pop("accuracy_test")


def test_top1_top5_and_the_mean_over_classes():
    # label 0: right, right, right, wrong (placed second); label 1: wrong, placed last of six
    right, second = [9, 5, 4, 3, 2, 1], [8, 9, 4, 3, 2, 1]
    last = [9, 0, 4, 3, 2, 1]
    result = evaluate([right, right, right, second, last], [0, 0, 0, 0, 1])
    assert result == {
        "acc/top1": pytest.approx(3 / 5),
        "acc/top5": pytest.approx(4 / 5),
        "acc/mean1": pytest.approx((3 / 4 + 0) / 2),
    }


def test_absent_classes_are_left_out_of_the_mean_with_a_warning(warnings):
    result = evaluate([[1, 0, 0], [0, 0, 1]], [0, 2], classes=("a", "b", "c"))
    assert result["acc/mean1"] == 1.0
    assert any("no clip of 1 of 3 classes" in text for text in warnings)


def test_equal_scores_are_ranked_by_class_number_like_argmax():
    scores = np.array([[1, 1, 1]] * 3)
    assert rank_of_true_class(scores, np.array([0, 1, 2])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_count_as_wrong(bad, warnings):
    result = evaluate([[bad, bad], [1.0, 0.0]], [0, 0])
    assert result["acc/top1"] == 0.5
    assert result["acc/mean1"] == 0.5
    assert any("scores of 1 of 2 clips are not finite" in text for text in warnings)


def test_other_k_give_other_keys():
    assert set(evaluate([[1, 0, 0]], [0], topk=(1, 2))) == {"acc/top1", "acc/top2", "acc/mean1"}


@pytest.mark.parametrize(("num_classes", "keys"), [(6, {"acc/top1", "acc/top5"}), (5, {"acc/top1"}), (1, {"acc/top1"})])
def test_a_k_that_no_model_can_miss_is_left_out(num_classes, keys):
    assert set(evaluate([[1.0] + [0.0] * (num_classes - 1)], [0])) == keys | {"acc/mean1"}


def test_what_is_left_out_is_logged_once(warnings):
    metric = AccuracyMetric()
    for _ in range(2):
        metric.process(None, rows([[1, 0]], [0]))
        metric.evaluate(1)
    assert [text for text in warnings if "top5" in text] == [
        "AccuracyMetric: with 2 classes top5 would be 1 for every model; left out"
    ]


def test_two_ranks_count_each_clip_once_with_and_without_padding(tmp_path):
    script = Path(__file__).with_name("accuracy_ranks.py")
    done = subprocess.run(  # MMEngine collects in a folder of the current one
        [sys.executable, str(script), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    for name in first:
        clips = first[name].pop("clips") + second[name].pop("clips")
        assert clips == (8 if "mmengine" in name or "pad" in name else 7), name
        assert first[name] == second[name] == {"acc/top1": 3 / 7, "acc/mean1": 0.5}, name


def test_a_clip_without_label_is_rejected():
    with pytest.raises(ValueError, match="gt_label"):
        AccuracyMetric().process(None, [{"pred_score": torch.ones(2), "gt_label": None}])


def test_a_label_that_the_model_does_not_know_is_rejected():
    with pytest.raises(ValueError, match="do not fit 2 scores"):
        AccuracyMetric().process(None, rows([[1, 0]], [5]))


def test_an_empty_split_is_rejected():
    with pytest.raises(ValueError, match="no clip was evaluated"):
        AccuracyMetric().evaluate(0)
