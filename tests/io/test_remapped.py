"""Clips on another skeleton: every point is found by its name, whatever the order and the groups."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from karsl.datasets import KeypointDataset
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.convert import convert_clips, open_source
from karsl.storage.convert.mapped import MappedClips, dropped_points
from karsl.testing.strategies import skeletons
from tests.storage.convert.drawn_clips import make_source, needs

OWN = Skeleton(
    "own",
    (("tail", ("left_tail", "right_tail")), ("pose", ("nose", "left_wrist", "right_wrist"))),
    (("left_tail", "left_wrist"), ("right_tail", "right_wrist")),
)


@given(skeletons(), skeletons())
def test_a_point_keeps_its_numbers_under_its_name_and_absent_ones_are_missing(source, target):
    held = make_source(source, [(2, "none", 1)])
    clip, mapped = held.read(held.records[0]), MappedClips(held, target).read(held.records[0])
    for name in target.names:
        found = mapped[:, target.index(name)]
        expected = clip[:, source.index(name)] if name in source.names else np.zeros((2, 4))
        np.testing.assert_array_equal(found, expected)
    assert {source.names[i] for i in dropped_points(source, target)} == set(source.names) - set(target.names)


@settings(max_examples=15)
@given(skeletons())
def test_any_skeleton_of_ones_own_comes_back_from_a_file(skeleton):
    with tempfile.TemporaryDirectory() as folder:
        again = open_source(convert_clips(make_source(skeleton, [(2, "none", 1)]), Path(folder) / "out", "annotation").path)
        assert (again.skeleton.parts, again.skeleton.bones) == (skeleton.parts, skeleton.bones)


@pytest.mark.parametrize("form", ["annotation", "tar", "parquet", "pose", "pyskl"])
def test_forms_of_any_points_say_which_they_are(form, tmp_path):
    """The skeleton is registered nowhere: its names, groups and bones are in the file."""
    needs(form)
    source = make_source(OWN, [(3, "none", 1)])
    again = open_source(convert_clips(source, tmp_path / "out", form).path, form=form, trusted=True)
    assert (again.skeleton.parts, again.skeleton.bones) == (OWN.parts, OWN.bones)
    np.testing.assert_allclose(again.read(again.records[0]), source.read(source.records[0]), atol=1e-6)


def test_a_dataset_knows_the_points_of_a_converted_file(tmp_path):
    path = convert_clips(make_source(OWN, [(3, "none", 1)]), tmp_path / "out", "annotation").path
    dataset = KeypointDataset(
        "annotations.json", data_root=path, pipeline=[dict(type="LoadKeypoints"), dict(type="RandomFlip")]
    )
    assert dataset.skeleton.parts == OWN.parts
    assert dataset[0]["keypoint"].shape == (3, 5, 3)


def test_a_source_of_known_points_is_opened_on_others_where_these_are_asked_for(tmp_path):
    path = convert_clips(make_source("spoter_54", [(3, "none", 1)]), tmp_path / "out.csv", "spoter").path
    source, native = open_source(path, skeleton="hand_42"), open_source(path)
    assert (source.skeleton.name, source.metainfo["skeleton"]) == ("hand_42", "hand_42")
    tip = "right_hand_pinky_tip"
    np.testing.assert_array_equal(
        source.read(source.records[0])[:, get_skeleton("hand_42").index(tip)],
        native.read(native.records[0])[:, native.skeleton.index(tip)],
    )
