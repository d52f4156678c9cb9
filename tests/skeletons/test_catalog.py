"""Skeletons as a config writes them."""

from __future__ import annotations

import pytest

from karsl.errors import SkeletonError
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton

KARSL = get_skeleton("karsl_184")
OWN = Skeleton("pair", (("pose", ("left_a", "right_a")),), (("left_a", "right_a"),))


def test_a_selection_is_one_object_however_often_it_is_asked_for():
    cfg = {"name": "karsl_184", "select": ["rh", "lh"]}
    assert get_skeleton(cfg) is get_skeleton(dict(cfg))
    assert list(get_skeleton(cfg).groups) == ["rh", "lh"]


@pytest.mark.parametrize("skeleton", [KARSL, KARSL.select(["lh", "left_wrist"]), KARSL.select(["rh"], name="right"), OWN])
def test_a_description_gives_the_same_points_groups_and_bones(skeleton):
    again = get_skeleton(describe_skeleton(skeleton, KARSL))
    assert (again.parts, again.bones) == (skeleton.parts, skeleton.bones)


def test_the_shortest_description_is_used():
    assert describe_skeleton(KARSL) == "karsl_184"
    assert describe_skeleton(OWN)["parts"] == [["pose", ["left_a", "right_a"]]]


@pytest.mark.parametrize("cfg", [{}, {"name": "karsl_184"}, {"name": "karsl_184", "select": "rh"}, {"select": ["rh"]}])
def test_a_dict_that_describes_nothing_names_the_forms(cfg):
    with pytest.raises(SkeletonError, match="expected a name, dict"):
        get_skeleton(cfg)


def test_an_unknown_group_is_named():
    with pytest.raises(SkeletonError, match="no keypoint 'hands'"):
        get_skeleton({"name": "karsl_184", "select": ["hands"]})
