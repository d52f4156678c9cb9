"""Other people's tables: numbers and names as their own documents and files have them."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import get_skeleton


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        (
            "spoter_54",
            {"nose": 0, "neck": 1, "right_eye": 2, "left_wrist": 11, "left_hand_wrist": 12, "left_hand_index_tip": 13},
        ),
        (
            "spoter_54",
            {"left_hand_thumb_cmc": 32, "right_hand_wrist": 33, "right_hand_pinky_mcp": 49, "right_hand_thumb_mcp": 52},
        ),
        ("openpose_137", {"neck": 1, "right_wrist": 4, "left_wrist": 7, "mid_hip": 8, "left_ear": 18, "right_heel": 24}),
        (
            "openpose_137",
            {"right_jaw_0": 25, "chin_tip": 33, "left_jaw_0": 41, "right_eyelid_0": 61, "left_pupil_0": 94},
        ),
        (
            "kaggle_543",
            {"left_hand_wrist": 468, "nose": 489, "left_shoulder": 500, "right_wrist": 505, "right_hand_pinky_tip": 542},
        ),
        ("coco_17", {"nose": 0, "left_eye": 1, "right_ear": 4, "left_shoulder": 5, "right_wrist": 10, "right_ankle": 16}),
        (
            "coco_wholebody_133",
            {
                "nose": 0,
                "right_wrist": 10,
                "left_big_toe": 17,
                "right_heel": 22,
                "right_jaw_0": 23,
                "left_mouth_outer_upper_0": 77,
            },
        ),
        (
            "coco_wholebody_133",
            {"left_hand_wrist": 91, "left_hand_thumb_cmc": 92, "right_hand_wrist": 112, "right_hand_pinky_tip": 132},
        ),
        (
            "halpe_136",
            {"left_ankle": 15, "head_top": 17, "neck": 18, "mid_hip": 19, "left_big_toe": 20, "right_big_toe": 21},
        ),
        (
            "halpe_136",
            {"left_small_toe": 22, "right_heel": 25, "right_jaw_0": 26, "left_hand_wrist": 94, "right_hand_wrist": 115},
        ),
        ("ntu_25", {"spine_base": 0, "head": 3, "left_shoulder": 4, "left_hand": 7, "right_shoulder": 8, "right_foot": 19}),
        ("ntu_25", {"spine_shoulder": 20, "left_hand_tip": 21, "left_thumb": 22, "right_hand_tip": 23, "right_thumb": 24}),
        ("mediapipe_553", {"nose": 0, "right_pupil_0": 501, "left_hand_wrist": 511, "right_hand_wrist": 532}),
        ("asl_app_108", {"lips_outer_upper": 33, "right_lips_outer_lower_0": 40, "oval_bottom": 50}),
    ],
)
def test_a_point_has_the_number_that_its_files_give_it(name, numbers):
    skeleton = get_skeleton(name)
    assert {n: skeleton.index(n) for n in numbers} == numbers


def test_the_tables_share_the_names_of_the_same_points():
    holistic = set(get_skeleton("holistic_543").names)
    only = {
        name: set(get_skeleton(name).names) - holistic
        for name in ("mp_75", "hand_42", "msl_226", "kaggle_543", "asl_app_108", "coco_17")
    }
    assert not any(only.values())
    assert set(get_skeleton("spoter_54").names) - holistic == {"neck"}
    assert len(set(get_skeleton("openpose_137").names) & holistic) == 42 + 19


def test_the_bones_of_coco_17_are_those_of_its_annotation_files():
    """`skeleton` of the category person, counted from 1."""
    file = [[16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10], [9, 11]]
    file += [[2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7]]
    bones = {frozenset(edge) for edge in (get_skeleton("coco_17").edges + 1).tolist()}
    assert bones == {frozenset(edge) for edge in file}


def test_the_bones_of_ntu_25_are_those_of_the_graph_of_st_gcn():
    """Pairs of joints of its skeleton, counted from 1."""
    pairs = [
        (1, 2),
        (2, 21),
        (3, 21),
        (4, 3),
        (5, 21),
        (6, 5),
        (7, 6),
        (8, 7),
        (9, 21),
        (10, 9),
        (11, 10),
        (12, 11),
        (13, 1),
    ]
    pairs += [(14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18), (20, 19), (22, 8), (23, 8), (24, 12), (25, 12)]
    bones = {frozenset(edge) for edge in (get_skeleton("ntu_25").edges + 1).tolist()}
    assert bones == {frozenset(pair) for pair in pairs}


def test_in_real_msl_clips_each_hand_is_at_its_own_wrist(shared_data):
    """The columns are pose, left hand, right hand, as the wrists show, contrary to a description."""
    skeleton = get_skeleton("msl_226")
    archive = np.load(shared_data("msl150") / "ambulancia.npz")
    rows = np.concatenate([archive[key] for key in archive.files])
    points = np.concatenate([rows[:, :100].reshape(-1, 25, 4)[..., :2], rows[:, 100:].reshape(-1, 42, 3)[..., :2]], axis=1)
    for side, other in (("left", "right"), ("right", "left")):
        hand = points[:, skeleton.index(f"{side}_hand_wrist")]
        seen = (hand != 0).any(1)
        far = [np.linalg.norm(hand - points[:, skeleton.index(f"{s}_wrist")], axis=1)[seen].mean() for s in (side, other)]
        assert far[0] < 0.6 * far[1]


def test_in_real_asl_app_clips_the_face_points_are_located_as_in_the_full_mesh(shared_data):
    import json

    app, full = get_skeleton("asl_app_108"), get_skeleton("holistic_543")
    frames = json.loads((shared_data("asl_signs_app") / "angry.json").read_text(encoding="utf-8"))["frames"]
    face = np.mean([f["face"] for f in frames if f["face"][0] is not None], axis=0)[:, :2]
    archive = np.load(shared_data("holistic1662") / "hello.npz")
    mesh = archive[archive.files[0]].mean(0)[132 : 132 + 1404].reshape(468, 3)[:, :2]
    same = mesh[full.indices(app.names[33:66]) - 33]
    shapes = [(p - p.mean(0)) / np.linalg.norm(p - p.mean(0)) for p in (face, same)]
    assert np.abs(shapes[0] - shapes[1]).max() < 0.06
