"""The packed sample: numbers, mask, label."""

from __future__ import annotations

import pytest
import torch

from karsl.datasets.transforms import FillMissing, PackKeypointInputs, RandomFlip
from karsl.errors import ConfigError
from karsl.testing.strategies import make_clip


def test_missing_becomes_fill_and_a_mask(clip):
    out = PackKeypointInputs(fill=-1)(clip([[1, None], [(2, 3, 4), 5]], label=3, sample_idx=7))
    assert out["inputs"].tolist() == [[[1, 0, 0], [-1, -1, -1]], [[2, 3, 4], [5, 0, 0]]]
    assert out["keypoint_mask"].tolist() == [[True, False], [True, True]]
    assert (out["inputs"].dtype, out["keypoint_mask"].dtype) == (torch.float32, torch.bool)
    assert (out["label"], out["sample_idx"]) == (3, 7)
    assert type(out["label"]) is type(out["sample_idx"]) is int
    assert list(out) == ["inputs", "keypoint_mask", "label", "sample_idx"]


def test_filled_points_keep_their_number_and_stay_out_of_the_mask(clip):
    out = PackKeypointInputs()(FillMissing("previous")(clip([[5], [None]])))
    assert out["inputs"][..., 0].tolist() == [[5], [5]]
    assert out["keypoint_mask"].tolist() == [[True], [False]]


def test_the_score_may_be_the_last_channel(clip):
    out = PackKeypointInputs(with_score=True)(clip([[(1, 2, 3), None]]))
    assert out["inputs"].tolist() == [[[1, 2, 3, 1], [0, 0, 0, 0]]]


def test_a_record_without_label_packs_without_label(clip):
    assert list(PackKeypointInputs()(clip([[1]]))) == ["inputs", "keypoint_mask"]


def test_meta_keys_are_passed_on_and_an_absent_one_is_named(clip):
    assert PackKeypointInputs(meta_keys=("clip_id",))(clip([[1]], clip_id="x"))["clip_id"] == "x"
    with pytest.raises(ConfigError, match=r"PackKeypointInputs: meta_keys \['signer'\] are not in the results"):
        PackKeypointInputs(meta_keys=("signer",))(clip([[1]]))


def test_a_fill_that_is_no_number_is_rejected():
    with pytest.raises(ConfigError, match="PackKeypointInputs: fill='a'; expected a finite number"):
        PackKeypointInputs(fill="a")


def test_tensors_are_contiguous_and_share_nothing_with_the_results(clip):
    start = make_clip(4, missing="scattered")
    for step in (lambda c: c, RandomFlip(1.0)):
        results = step(start)
        out = PackKeypointInputs()(results)
        assert out["inputs"].is_contiguous()
        out["inputs"].zero_()
        out["keypoint_mask"].zero_()
    assert results["keypoint_score"].any()
