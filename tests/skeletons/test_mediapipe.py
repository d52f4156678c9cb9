"""The shipped layouts: counts, groups, sides, bones - and real clips on the right side of the picture."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import get_skeleton, mirror_name
from karsl.skeletons.mediapipe import (
    CONTOUR_VERTICES,
    NUM_VERTICES,
    NUM_WITH_IRISES,
    POSE_33,
    VERTEX_NAMES,
    contour_bones,
    hand,
)

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
    "coco_wholebody_133",
    "halpe_136",
    "ntu_25",
    "mediapipe_553",
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
        ("coco_wholebody_133", {"pose": (0, 23), "face": (23, 91), "lh": (91, 112), "rh": (112, 133)}),
        ("halpe_136", {"pose": (0, 26), "face": (26, 94), "lh": (94, 115), "rh": (115, 136)}),
        ("ntu_25", {"pose": (0, 25)}),
        ("mediapipe_553", {"pose": (0, 33), "face": (33, 511), "lh": (511, 532), "rh": (532, 553)}),
    ],
)
def test_groups_have_the_order_of_the_files(name, groups):
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
    present = mapping >= 0
    assert [n for n, t in zip(karsl.names, present, strict=True) if not t] == [n for n in karsl.names if "iris" in n]
    np.testing.assert_allclose(picked[picked.files[0]][:, present, :3], xyz[:, mapping[present]], atol=1e-6)


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


# end points of FACEMESH_CONTOURS (128) and FACEMESH_IRISES (8) of MediaPipe 0.10.14
KARSL_FACE = (
    0, 7, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91,
    93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160,
    161, 162, 163, 172, 173, 176, 178, 181, 185, 191, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288,
    291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365,
    373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 469, 470, 471, 472, 474, 475, 476, 477,
)  # fmt: skip


def mirrored_vertices() -> np.ndarray:
    return np.array([VERTEX_NAMES.index(mirror_name(name)) for name in VERTEX_NAMES])


def test_every_vertex_has_one_name():
    assert len(VERTEX_NAMES) == len(set(VERTEX_NAMES)) == NUM_WITH_IRISES == 478
    assert NUM_VERTICES == 468


def test_the_mirror_that_the_names_give_is_that_of_the_symmetry_map(shared_data):
    oracle = np.load(shared_data("karsl_labels") / "face_mesh_symmetry_map.npy")
    np.testing.assert_array_equal(mirrored_vertices(), oracle)


def test_the_mirror_is_an_involution():
    mirror = mirrored_vertices()
    assert mirror[mirror].tolist() == list(range(478))


def test_contour_vertices_are_the_136_of_karsl():
    assert CONTOUR_VERTICES == KARSL_FACE


@pytest.mark.parametrize(
    ("vertex", "name"),
    [
        (33, "right_eye_lower_0"),  # outer corner of the right eye
        (263, "left_eye_lower_0"),
        (61, "right_lips_outer_lower_0"),  # right corner of the mouth
        (291, "left_lips_outer_lower_0"),
        (13, "lips_inner_upper"),
        (17, "lips_outer_lower"),
        (10, "oval_top"),
        (152, "oval_bottom"),
        (1, "face_1"),  # the tip of the nose
        (468, "right_pupil_0"),
        (473, "left_pupil_0"),
    ],
)
def test_landmarks_that_everyone_knows_have_their_names(vertex, name):
    assert VERTEX_NAMES[vertex] == name


def test_contour_bones_reach_all_136_and_close_oval_eyes_lips_and_irises():
    bones = contour_bones()
    ends = [end for bone in bones for end in bone]
    assert set(ends) == {VERTEX_NAMES[v] for v in CONTOUR_VERTICES}
    open_ends = {name for name in ends if ends.count(name) == 1}
    assert len(open_ends) == 8  # two lines for each brow
    assert all("brow" in name for name in open_ends)
    assert len(bones) == len({frozenset(bone) for bone in bones}) == 132


def test_real_faces_are_symmetric_by_these_names(shared_data):
    """Near the midline, a vertex and its mirror image are on opposite sides of the nose."""
    clips = np.load(shared_data("holistic1662") / "hello.npz")
    face = np.concatenate([clips[key][:, 132 : 132 + 1404].reshape(-1, 468, 3) for key in clips.files])
    x = np.median(face[(face != 0).any((1, 2)), :, 0], 0)
    right = [v for v, name in enumerate(VERTEX_NAMES[:468]) if "right" in name]
    left = mirrored_vertices()[right]
    assert (x[right] < x[left]).all()
