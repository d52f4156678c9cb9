"""A skeleton's tables follow from its names."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given

from karsl.errors import SkeletonError
from karsl.skeletons import Skeleton, get_skeleton, mirror_name, register_skeleton, skeleton_names
from karsl.testing.strategies import skeletons

FIVE = Skeleton(
    "five",
    (("pose", ("left_wrist", "nose", "right_wrist")), ("hand", ("right_tip", "left_tip"))),
    (("left_wrist", "left_tip"), ("right_wrist", "right_tip")),
)


def test_names_groups_edges_and_mirror_of_a_small_skeleton():
    assert FIVE.num_keypoints == 5
    assert FIVE.names == ("left_wrist", "nose", "right_wrist", "right_tip", "left_tip")
    assert FIVE.groups == {"pose": slice(0, 3), "hand": slice(3, 5)}
    assert FIVE.edges.tolist() == [[0, 4], [2, 3]]
    assert FIVE.mirror.tolist() == [2, 1, 0, 4, 3]
    assert FIVE.edges.dtype == FIVE.mirror.dtype == np.int64


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [
        ("left_wrist", "right_wrist"),
        ("mouth_right", "mouth_left"),
        ("nose", "nose"),
        ("left_hand_thumb_tip", "right_hand_thumb_tip"),
        ("leftover_bright", "leftover_bright"),  # words, not letters
    ],
)
def test_mirror_name_swaps_whole_words(name, mirrored):
    assert mirror_name(name) == mirrored
    assert mirror_name(mirrored) == name


@given(skeletons())
def test_the_mirror_of_any_skeleton_is_an_involution_between_partners(skeleton):
    mirror = skeleton.mirror
    assert mirror[mirror].tolist() == list(range(skeleton.num_keypoints))
    for index, name in enumerate(skeleton.names):
        assert skeleton.names[mirror[index]] == mirror_name(name)
        assert (mirror[index] == index) == name.startswith("mid")


def test_index_and_indices_find_names_in_the_order_asked():
    assert FIVE.index("nose") == 1
    assert FIVE.indices(["left_tip", "nose"]).tolist() == [4, 1]
    with pytest.raises(SkeletonError, match="'five' has no keypoint 'nos'; did you mean 'nose'"):
        FIVE.index("nos")
    with pytest.raises(SkeletonError, match="has no keypoint 'xyz'; it has e.g. "):
        FIVE.index("xyz")


def test_select_keeps_array_order_bones_within_and_no_empty_group():
    hand = FIVE.select(["left_tip", "hand"])
    assert (hand.name, hand.names, hand.groups) == ("five:2", ("right_tip", "left_tip"), {"hand": slice(0, 2)})
    assert hand.edges.shape == (0, 2)
    left = FIVE.select(["left_tip", "left_wrist"], name="left")
    assert (left.name, left.edges.tolist()) == ("left", [[0, 1]])
    with pytest.raises(SkeletonError, match="has no mirror for 'left_wrist' .and 1 more.*SelectKeypoints"):
        _ = left.mirror


def test_mapping_from_gives_the_index_of_each_name_or_minus_1():
    target = Skeleton("t", (("all", ("nose", "tail", "left_wrist")),))
    assert target.mapping_from(FIVE).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("parts", "bones", "text"),
    [
        ((("a", ("x", "y", "x")),), (), r"duplicate keypoints \['x'\]"),
        ((("a", ("x",)), ("b", ("x",))), (), r"duplicate keypoints \['x'\]"),
        ((("a", ("x",)), ("a", ("y",))), (), r"duplicate groups in \['a', 'a'\]"),
        ((("a", ("x", "y")),), (("x", "z"),), "has no keypoint 'z'"),
    ],
)
def test_a_table_that_contradicts_itself_is_rejected(parts, bones, text):
    with pytest.raises(SkeletonError, match=f"skeleton 's'.*{text}"):
        Skeleton("s", parts, bones)


def test_lists_as_in_a_config_serve_as_well_as_tuples():
    listed = Skeleton("five", [["pose", ["left_wrist", "nose", "right_wrist"]], ["hand", ["right_tip", "left_tip"]]],
                      [["left_wrist", "left_tip"], ["right_wrist", "right_tip"]])  # fmt: skip
    assert listed == FIVE
    assert hash(listed) == hash(FIVE)


def test_a_skeleton_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        FIVE.name = "six"
    for array in (FIVE.mirror, FIVE.edges):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_a_skeleton_pickles_with_and_without_its_tables():
    fresh = Skeleton("five", FIVE.parts, FIVE.bones)
    for one in (fresh, FIVE):
        again = pickle.loads(pickle.dumps(one))
        assert again == one
        assert again.mirror.tolist() == FIVE.mirror.tolist()


def test_get_skeleton_passes_objects_and_suggests_names():
    assert get_skeleton(FIVE) is FIVE
    assert get_skeleton("karsl_184") is get_skeleton("karsl_184")
    with pytest.raises(SkeletonError, match="no skeleton 'karsl184'; did you mean 'karsl_184'"):
        get_skeleton("karsl184")
    with pytest.raises(
        SkeletonError,
        match="'zzz'; known: karsl_184, holistic_543, msl_226.* Register your own in a module and pass it with --import",
    ):
        get_skeleton("zzz")


def test_a_registered_skeleton_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr("karsl.skeletons.catalog._registered", {})
    assert register_skeleton(FIVE) is FIVE
    assert register_skeleton(Skeleton("five", FIVE.parts, FIVE.bones)) == FIVE  # the same again is accepted
    assert get_skeleton("five") is FIVE or get_skeleton("five") == FIVE
    assert skeleton_names()[-1] == "five"
    for taken in ("five", "karsl_184"):
        with pytest.raises(SkeletonError, match=f"skeleton '{taken}' exists already"):
            register_skeleton(Skeleton(taken, (("a", ("x",)),)))


@pytest.mark.parametrize(
    "value",
    [
        5,
        [1],
        None,
        {"name": "x", "parts": 5},
        {"name": 5, "parts": []},
        {"name": "x", "parts": [["pose", [1]]]},
        {"name": "x", "parts": [["pose"]]},
        {"name": "x", "parts": [["pose", ["a"]]], "bones": [["a", 5]]},
        {"name": "karsl_184", "select": [["rh"]]},
    ],
    ids=str,
)
def test_a_description_of_other_types_is_one_sentence(value):
    with pytest.raises(SkeletonError, match="^skeleton=.*; expected a name"):
        get_skeleton(value)
