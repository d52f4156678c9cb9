"""Payloads: quantized points, affine maps between stages, flags of implausible hands."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from karsl.visualization.page import PageClip, PageStage, clip_link, encode_clip
from karsl.visualization.page.stages import affine_between, quantization_scale, quantize


def test_sampling_flips_affine_maps_and_centering_are_encoded_as_maps(page_clips):
    for clip in page_clips:
        stages = encode_clip(clip)["stages"]
        assert [stage["points"].get("from") for stage in stages] == [None, 0, 1, 2, 3]


def test_augmented_views_are_maps_of_the_loaded_clip(page_clips):
    assert all(stage["points"]["from"] == 0 for clip in page_clips for stage in encode_clip(clip)["augmentations"])


def test_selection_and_dropout_are_encoded_as_maps(clips_through, arms):
    steps = [dict(type="LoadKeypoints"), dict(type="SelectKeypoints", names=["rh", "lh"])]
    for clip in clips_through(steps):
        first, selected = encode_clip(clip)["stages"]
        assert selected["points"]["from"] == 0
        assert len(selected["points"]["pick"]) == 42
    points, skeleton = arms
    dropped = points.copy()
    dropped[1:3, 2:4] = np.nan
    plan = affine_between(PageStage("a", points, skeleton), PageStage("b", dropped, skeleton))
    assert plan is not None
    assert plan["seen"] is not None


def test_noise_and_the_wrong_flip_are_quantized(planted, arms):
    assert [stage["points"].get("from") for stage in encode_clip(planted)["stages"]] == [None, 0, None]
    points, skeleton = arms
    noisy = points + np.random.default_rng(0).normal(0, 0.01, points.shape)
    assert affine_between(PageStage("a", points, skeleton), PageStage("b", noisy, skeleton)) is None


def test_added_point_has_no_map(arms):
    points, skeleton = arms
    before = points.copy()
    before[0, 0] = np.nan
    assert affine_between(PageStage("a", before, skeleton), PageStage("b", points, skeleton)) is None


def test_wrong_flip_is_flagged_and_a_correct_one_is_not(planted, page_clips):
    payload = encode_clip(planted)
    assert payload["row"]["wrong"] == ["WrongFlip"]
    assert [stage["wrong"] for stage in payload["stages"]] == [False, False, True]
    assert all(share < 0.1 for share, _ in payload["stages"][2]["own"].values())
    assert all(encode_clip(clip)["row"]["wrong"] == [] for clip in page_clips)


def test_groups_centered_separately_are_detached_and_not_flagged(clips_through):
    steps = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=16)]
    clips = clips_through([*steps, dict(type="CenterScale", per_group=True), dict(type="RandomAffine")], 12)
    for clip in clips:
        payload = encode_clip(clip)
        assert [stage["detached"] for stage in payload["stages"]] == [False, False, True, True]
        assert payload["row"]["wrong"] == []


def test_payload_without_points_is_valid_json(arms):
    empty = PageStage("LoadKeypoints", np.full((3, 6, 2), np.nan), arms[1], np.array([0, np.nan, 2]))
    payload = encode_clip(PageClip("a/b", [empty]))
    assert json.loads(json.dumps(payload, allow_nan=False))["stages"][0]["inds"] == [0.0, None, 2.0]
    assert payload["row"]["hands"] == {"right": 0.0, "left": 0.0, "any": 0.0}


def test_clip_without_stages_is_rejected():
    with pytest.raises(ValueError, match="'a' has no stages"):
        encode_clip(PageClip("a", []))


def test_quantized_points_are_small(page_clips):
    points = page_clips[0].stages[0].points
    assert len(quantize(points)["data"]) < 0.12 * points.nbytes
    assert quantization_scale(points)[1] < 1e-3


def test_links_are_url_safe_stable_and_distinct():
    names = ["a (1)", "a-1", "a/1", "ا", "", "a 1"]
    links = [clip_link(name) for name in names]
    assert len(set(links)) == len(names)
    assert all(link.isascii() and "/" not in link and " " not in link for link in links)
    assert clip_link("a/1") == links[2]
    assert replace(PageClip("a/1", []), clip_id="b").link == links[2]
