"""Clips on another skeleton: keypoints are matched by name, for any order and groups."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from karsl.datasets import KeypointDataset
from karsl.formats import convert, open_clips
from karsl.io.sources import RemappedSource, dropped_points
from karsl.skeletons import Skeleton, get_skeleton
from karsl.testing.strategies import skeletons
from tests.formats.random_clips import make_source, require

OWN = Skeleton(
    "own",
    (("tail", ("left_tail", "right_tail")), ("pose", ("nose", "left_wrist", "right_wrist"))),
    (("left_tail", "left_wrist"), ("right_tail", "right_wrist")),
)


@given(skeletons(), skeletons())
def test_a_point_keeps_its_values_under_its_name_and_others_are_missing(source, target):
    original = make_source(source, [(2, "none", 1)])
    clip, mapped = original.read(original.records[0]), RemappedSource(original, target).read(original.records[0])
    for name in target.names:
        found = mapped[:, target.index(name)]
        expected = clip[:, source.index(name)] if name in source.names else np.zeros((2, 4))
        np.testing.assert_array_equal(found, expected)
    assert {source.names[i] for i in dropped_points(source, target)} == set(source.names) - set(target.names)


@settings(max_examples=15)
@given(skeletons())
def test_any_custom_skeleton_is_restored_from_a_file(skeleton):
    with tempfile.TemporaryDirectory() as folder:
        again = open_clips(convert(make_source(skeleton, [(2, "none", 1)]), Path(folder) / "out", "annotation").path)
        assert (again.skeleton.parts, again.skeleton.bones) == (skeleton.parts, skeleton.bones)


@pytest.mark.parametrize("format", ["annotation", "tar", "parquet", "pose", "pyskl"])
def test_formats_of_any_skeleton_store_it(format, tmp_path):
    """The skeleton is not registered: its names, groups and bones are in the file."""
    require(format)
    source = make_source(OWN, [(3, "none", 1)])
    again = open_clips(convert(source, tmp_path / "out", format).path, format=format, trusted=True)
    assert (again.skeleton.parts, again.skeleton.bones) == (OWN.parts, OWN.bones)
    np.testing.assert_allclose(again.read(again.records[0]), source.read(source.records[0]), atol=1e-6)


def test_a_dataset_uses_the_skeleton_of_a_converted_file(tmp_path):
    path = convert(make_source(OWN, [(3, "none", 1)]), tmp_path / "out", "annotation").path
    dataset = KeypointDataset(
        "annotations.json", data_root=path, pipeline=[dict(type="LoadKeypoints"), dict(type="RandomFlip")]
    )
    assert dataset.skeleton.parts == OWN.parts
    assert dataset[0]["keypoint"].shape == (3, 5, 3)


def test_a_source_is_remapped_to_the_requested_skeleton(tmp_path):
    path = convert(make_source("spoter_54", [(3, "none", 1)]), tmp_path / "out.csv", "spoter").path
    source, native = open_clips(path, skeleton="hand_42"), open_clips(path)
    assert (source.skeleton.name, source.metainfo["skeleton"]) == ("hand_42", "hand_42")
    tip = "right_hand_pinky_tip"
    np.testing.assert_array_equal(
        source.read(source.records[0])[:, get_skeleton("hand_42").index(tip)],
        native.read(native.records[0])[:, native.skeleton.index(tip)],
    )
