"""The shipped layouts: counts, groups, sides, bones - and real clips on the right side of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import get_skeleton, mirror_name
from karsl.skeletons.facemesh import CONTOUR_VERTICES
from karsl.skeletons.mediapipe import POSE_33, hand

SHIPPED = [
    "karsl_184",
    "holistic_543",
    "msl_226",
    "hand_42",
    "mp_75",
    "kaggle_543",
    "asl_app_108",
    "spoter_54",
    "coco_17",
    "openpose_137",
]
every = pytest.mark.parametrize("name", SHIPPED)  # tests register others


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("karsl_184", {"pose": (0, 6), "face": (6, 142), "rh": (142, 163), "lh": (163, 184)}),
        ("holistic_543", {"pose": (0, 33), "face": (33, 501), "lh": (501, 522), "rh": (522, 543)}),
        ("msl_226", {"pose": (0, 25), "lh": (25, 46), "rh": (46, 67)}),
        ("hand_42", {"lh": (0, 21), "rh": (21, 42)}),
        ("mp_75", {"pose": (0, 33), "lh": (33, 54), "rh": (54, 75)}),
        ("kaggle_543", {"face": (0, 468), "lh": (468, 489), "pose": (489, 522), "rh": (522, 543)}),
        ("asl_app_108", {"pose": (0, 33), "face": (33, 66), "lh": (66, 87), "rh": (87, 108)}),
        ("spoter_54", {"pose": (0, 12), "lh": (12, 33), "rh": (33, 54)}),
        ("coco_17", {"pose": (0, 17)}),
        ("openpose_137", {"pose": (0, 25), "face": (25, 95), "lh": (95, 116), "rh": (116, 137)}),
    ],
)
def test_groups_lie_where_the_files_have_them(name, groups):
    assert list(get_skeleton(name).groups.items()) == [(g, slice(*ends)) for g, ends in groups.items()]


def test_karsl_184_begins_with_mediapipes_pose_11_to_16():
    names = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")
    assert get_skeleton("karsl_184").names[:6] == names == POSE_33[11:17]


def test_pose_numbers_are_mediapipes():
    numbers = {"nose": 0, "left_ear": 7, "mouth_right": 10, "right_wrist": 16, "left_hip": 23, "right_foot_index": 32}
    assert {name: POSE_33.index(name) for name in numbers} == numbers
    assert len(set(POSE_33)) == 33


def test_hand_numbers_are_mediapipes():
    numbers = {"wrist": 0, "thumb_tip": 4, "index_mcp": 5, "middle_mcp": 9, "ring_pip": 14, "pinky_tip": 20}
    assert {name: hand("left").index(f"left_hand_{name}") for name in numbers} == numbers


@every
def test_every_point_has_its_partner_and_the_mirror_is_an_involution(name):
    skeleton = get_skeleton(name)
    assert skeleton.mirror[skeleton.mirror].tolist() == list(range(skeleton.num_keypoints))
    assert [skeleton.names[m] for m in skeleton.mirror] == [mirror_name(n) for n in skeleton.names]


@every
def test_the_mirror_swaps_the_hands_point_by_point_and_leaves_face_and_pose_in_themselves(name):
    skeleton = get_skeleton(name)
    points = np.arange(skeleton.num_keypoints)
    for group, part in skeleton.groups.items():
        other = skeleton.groups[{"rh": "lh", "lh": "rh"}.get(group, group)]
        assert set(skeleton.mirror[part].tolist()) == set(points[other].tolist())
        if group in ("rh", "lh"):
            assert skeleton.mirror[part].tolist() == points[other].tolist()


@every
def test_bones_join_different_points_once_and_mirror_to_bones(name):
    skeleton = get_skeleton(name)
    bones = {frozenset(edge) for edge in skeleton.edges.tolist()}
    assert len(bones) == len(skeleton.edges)
    assert all(len(bone) == 2 for bone in bones)
    assert {frozenset(skeleton.mirror[list(bone)].tolist()) for bone in bones} == bones


@pytest.mark.parametrize("name", [name for name in SHIPPED if "lh" in get_skeleton(name).groups])
def test_bones_hold_each_hand_together_and_reach_its_21_points(name):
    skeleton = get_skeleton(name)
    for side in ("left", "right"):
        reached, grew = {skeleton.index(f"{side}_hand_wrist")}, True
        while grew:
            more = {b for edge in skeleton.edges.tolist() for a, b in (edge, edge[::-1]) if a in reached} - reached
            reached, grew = reached | more, bool(more)
        assert len(reached) == 21


def test_the_same_name_is_the_same_point_in_holistic_and_karsl(shared_data):
    """The real KArSL layout was cut from the real holistic layout; by our names the numbers must come out alike."""
    holistic, karsl = get_skeleton("holistic_543"), get_skeleton("karsl_184")
    packed = np.load(shared_data("holistic1662") / "hello.npz")
    picked = np.load(shared_data("karsl_layout") / "01-train" / "0001.npz")
    clip = packed[packed.files[0]]
    xyz = np.concatenate([clip[:, :132].reshape(-1, 33, 4)[..., :3], clip[:, 132:].reshape(len(clip), -1, 3)], 1)
    mapping = karsl.mapping_from(holistic)
    there = mapping >= 0
    assert [n for n, t in zip(karsl.names, there, strict=True) if not t] == [n for n in karsl.names if "iris" in n]
    np.testing.assert_allclose(picked[picked.files[0]][:, there, :3], xyz[:, mapping[there]], atol=1e-6)


def test_on_real_clips_the_signers_right_side_is_on_the_left_of_the_picture(shared_data):
    skeleton = get_skeleton("karsl_184")
    clips = np.load(shared_data("karsl_layout") / "01-train" / "0001.npz")
    x = np.concatenate([clips[key][..., 0] for key in clips.files])
    seen = (x != 0).all(0)
    pairs = [(i, skeleton.mirror[i]) for i, n in enumerate(skeleton.names) if "right" in n and seen[i] and "hand" not in n]
    assert len(pairs) > 50
    off = [skeleton.names[r] for r, m in pairs if not np.median(x[:, r]) < np.median(x[:, m])]
    assert [n for n in off if not n.endswith("wrist")] == []


def test_contour_vertices_are_the_face_of_karsl():
    assert len(CONTOUR_VERTICES) == 136
    assert list(CONTOUR_VERTICES) == sorted(CONTOUR_VERTICES)
