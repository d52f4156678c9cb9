"""`.pose` files: names of both vocabularies, real files, files of other tools, compatibility with pose-format."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.errors import CorruptRecordError, DataErrors
from karsl.formats import convert, open_clips
from karsl.formats.persons import NOTE
from karsl.formats.pose_format import components_of, group_of, karsl_names, vocabularies
from karsl.io.missing import MissingPoints
from karsl.skeletons import Skeleton, get_skeleton
from tests.formats.random_clips import make_source

pose_format = pytest.importorskip("pose_format", reason="pose-format is not installed: .pose files are not tested")


@pytest.mark.parametrize(
    ("component", "file_names", "names"),
    [
        ("POSE_LANDMARKS", ["NOSE", "MOUTH_LEFT", "RIGHT_FOOT_INDEX"], ["nose", "mouth_left", "right_foot_index"]),
        ("FACE_LANDMARKS", ["0", "33", "152"], ["lips_outer_upper", "right_eye_lower_0", "oval_bottom"]),
        ("LEFT_HAND_LANDMARKS", ["WRIST", "INDEX_FINGER_MCP", "PINKY_TIP"], ["wrist", "index_mcp", "pinky_tip"]),
        (
            "pose_keypoints_2d",
            ["Nose", "RShoulder", "MidHip", "LBigToe"],
            ["nose", "right_shoulder", "mid_hip", "left_big_toe"],
        ),
        ("hand_right_keypoints_2d", ["BASE", "T_STT", "I_CMC", "P_DIP"], ["wrist", "thumb_cmc", "index_mcp", "pinky_tip"]),
        (
            "face_keypoints_2d",
            ["FB_0", "FB_8", "FE_45", "FP_69"],
            ["right_jaw_0", "chin_tip", "left_eyelid_0", "left_pupil_0"],
        ),
    ],
)
def test_points_of_a_component_get_karsl_names(component, file_names, names):
    side = {"LEFT_HAND_LANDMARKS": "left_hand_", "hand_right_keypoints_2d": "right_hand_"}.get(component, "")
    assert karsl_names(component, file_names) == tuple(side + name for name in names)


def test_the_openpose_vocabulary_equals_that_of_the_library():
    from pose_format.utils import openpose

    _, vocabulary = vocabularies()
    assert {c.name: c.points for c in openpose.OpenPose_Components} == {
        n: list(points.values()) for n, points in vocabulary.items()
    }


def test_points_of_neither_vocabulary_get_components_of_karsl():
    parts = (("pose", ("nose", "neck", "right_wrist")), ("tail", ("tail_0",)))
    assert [(name, file_names) for name, _, file_names in components_of(parts)] == [
        ("pose_keypoints_2d", ("Nose", "Neck", "RWrist")),
        ("KARSL_tail", ("tail_0",)),
    ]
    assert karsl_names("KARSL_tail", ["tail_0"]) == ("tail_0",)
    assert (group_of("KARSL_tail"), group_of("FACE_LANDMARKS")) == ("tail", "face")


def test_real_openpose_and_holistic_files_get_registered_skeletons(shared_data):
    for name, skeleton, frames in (("example.pose", "openpose_137", 66), ("openpose.pose", "openpose_137", 93)):
        source = open_clips(shared_data("pose_format") / name)
        assert (source.skeleton.name, source.records[0]["num_frames"]) == (skeleton, frames)
        clip = source.read(source.records[0])
        nose, neck = (clip[:, source.skeleton.index(n)] for n in ("nose", "neck"))
        both = (nose[:, 3] > 0) & (neck[:, 3] > 0)
        assert both.any()
        assert (nose[both, 1] < neck[both, 1]).all()  # y goes down
        assert 0 <= clip[..., 3].min() <= clip[..., 3].max() <= 1


def test_a_real_file_of_the_entire_body_is_holistic_with_hands_at_their_wrists(shared_data):
    source = open_clips(shared_data("autsl_dummy"))
    assert source.skeleton.name == "holistic_543"
    assert source.notes == (
        "2 files of other types are not read: 'labels.csv', 'signer0_sample1000_color.mp4'",
        "points have the values XYZKC; only x, y, z and confidence are read",
    )
    clip = source.read(source.records[0])
    assert clip.shape == (43, 543, 4)
    for side in ("left", "right"):
        hand, wrist = (clip[:, source.skeleton.index(f"{side}_{end}"), :2] for end in ("hand_wrist", "wrist"))
        seen = (hand != 0).any(1)
        assert np.linalg.norm(hand - wrist, axis=1)[seen].mean() < 0.05


def test_a_missing_point_is_zeros_for_any_value_in_the_file(shared_data):
    source = open_clips(shared_data("pose_format") / "mediapipe.pose", skeleton="karsl_184")
    raw = pose_format.Pose.read((shared_data("pose_format") / "mediapipe.pose").read_bytes())
    assert np.ma.getdata(raw.body.data)[raw.body.confidence == 0].any()
    clip = source.read(source.records[0])
    assert not clip[clip[..., 3] == 0].any()
    assert (clip[:, source.skeleton.index("left_shoulder"), 3] > 0).all()


def test_files_of_different_skeletons_are_rejected_unless_mapped(shared_data):
    with pytest.raises(DataErrors) as caught:
        open_clips(shared_data("pose_format"))
    assert [p.split()[0] for p in caught.value.problems] == ["mediapipe.pose", "mediapipe_long.pose"]
    source = open_clips(shared_data("pose_format"), skeleton="hand_42")
    assert [source.read(r).shape[1:] for r in source.records] == [(42, 4)] * 4


def test_the_library_reads_what_karsl_wrote(source, tmp_path):
    path = convert(source, tmp_path / "out", "pose").path
    files = sorted(path.rglob("*.pose"))
    assert [f.relative_to(path).as_posix() for f in files][:2] == ["see_you/clip_0.pose", "see_you/clip_2.pose"]
    pose = pose_format.Pose.read(files[0].read_bytes())
    names = [c.name for c in pose.header.components]
    assert names == ["POSE_LANDMARKS", "FACE_LANDMARKS", "LEFT_HAND_LANDMARKS", "RIGHT_HAND_LANDMARKS"]
    assert pose.header.components[3].points[:2] == ["WRIST", "THUMB_CMC"]
    clip = source.read(source.records[0])
    wrist = clip[:, source.skeleton.index("right_hand_wrist")]
    index = pose.header.get_point_index("RIGHT_HAND_LANDMARKS", "WRIST")
    np.testing.assert_allclose(pose.body.data[:, 0, index].filled(0), wrist[:, :3] * [1000, 1000, 1], rtol=1e-6)
    np.testing.assert_array_equal(pose.body.confidence[:, 0, index], wrist[:, 3])


def test_the_most_visible_of_several_persons_is_read(tmp_path):
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = [PoseHeaderComponent("POSE_LANDMARKS", ["NOSE"], [], [(0, 0, 0)], "XYC")]
    header = PoseHeader(0.2, PoseHeaderDimensions(100, 200), parts)
    data = np.array([[[[10, 20]], [[50, 100]]]], np.float32)
    body = NumPyPoseBody(30, data, np.array([[[0.25], [0.5]]], np.float32))
    with (tmp_path / "two.pose").open("wb") as stream:
        Pose(header, body).write(stream)
    source = open_clips(tmp_path / "two.pose")
    assert source.read(source.records[0]).tolist() == [[[0.5, 0.5, 0, 0.5]]]
    assert source.notes == (f"some files have several persons; {NOTE}",)
    assert source.records[0]["fps"] == 30


def test_truncated_and_invalid_files_are_reported_together(source, tmp_path):
    path = convert(source, tmp_path / "out", "pose").path
    files = sorted(path.rglob("*.pose"))
    files[0].write_bytes(files[0].read_bytes()[:1000])
    files[1].write_bytes(b"")
    with pytest.raises(DataErrors) as caught:
        open_clips(path)
    assert len(caught.value.problems) == 2
    assert all("not a readable .pose file" in p and "export it again" in p for p in caught.value.problems)
    content = files[2].read_bytes()
    opened = open_clips(convert(source, tmp_path / "other", "pose").path)
    target = tmp_path / "other" / opened.records[0]["file"]
    target.write_bytes(content[:-100])
    with pytest.raises(CorruptRecordError, match="not a readable .pose file"):
        opened.read(opened.records[0])


def test_a_custom_skeleton_is_restored_with_its_groups_and_order(tmp_path):
    own = Skeleton("own", (("rh", ("right_hand_wrist",)), ("tail", ("tail_1", "tail_0")), ("pose", ("nose",))))
    again = open_clips(convert(make_source(own, [(3, "none", 1)]), tmp_path / "out", "pose").path)
    assert again.skeleton.parts == own.parts
    assert get_skeleton(again.metainfo["skeleton"]) == again.skeleton


def write_pose(path, data, confidence, *, size=(100, 200)):
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = [PoseHeaderComponent("POSE_LANDMARKS", ["NOSE", "LEFT_EYE"], [], [(0, 0, 0)], "XYC")]
    body = NumPyPoseBody(30, np.array(data, np.float32), np.array(confidence, np.float32))
    with path.open("wb") as stream:
        Pose(PoseHeader(0.2, PoseHeaderDimensions(*size), parts), body).write(stream)
    return path


def test_a_confidence_without_coordinates_is_missing(tmp_path):
    nan = float("nan")
    source = open_clips(write_pose(tmp_path / "a.pose", [[[[10, 20], [nan, nan]]]], [[[1, 1]]]))
    clip = source.read(source.records[0])[0]
    np.testing.assert_allclose(clip, [[0.1, 0.1, 0, 1], [0, 0, 0, 0]], rtol=1e-6)


def test_one_coordinate_that_is_nan_is_an_error_unless_it_is_missing_on_request(tmp_path):
    path = write_pose(tmp_path / "a.pose", [[[[10, 20], [5, float("nan")]]]], [[[1, 1]]])
    source = open_clips(path)
    with pytest.raises(CorruptRecordError, match="non-finite coordinates"):
        source.read(source.records[0])
    source = open_clips(path, missing=MissingPoints("missing"))
    assert source.read(source.records[0])[0, 1].tolist() == [0, 0, 0, 0]


def test_without_an_image_size_coordinates_are_read_as_they_are_with_a_note(tmp_path):
    source = open_clips(write_pose(tmp_path / "a.pose", [[[[10, 20], [0.5, 1]]]], [[[1, 0.5]]], size=(0, 0)))
    assert source.read(source.records[0])[0].tolist() == [[10, 20, 0, 1], [0.5, 1, 0, 0.5]]
    assert source.notes == ("some files do not say the size of the image (0 x 0); their coordinates are read as they are",)


def test_hidden_folders_are_no_classes_and_suffixes_count_in_any_case(tmp_path):
    for name in ("hello/a.pose", "hello/._a.pose", ".ipynb_checkpoints/a-checkpoint.pose", "thanks/B.POSE"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_pose(tmp_path / name, [[[[10, 20], [5, 5]]]], [[[1, 1]]])
    source = open_clips(tmp_path)
    assert source.metainfo["classes"] == ("hello", "thanks")
    assert [r["clip_id"] for r in source.records] == ["hello/a", "thanks/B"]
    assert source.notes == ("2 hidden files or folders are not read: '.ipynb_checkpoints', 'hello/._a.pose'",)


def test_names_of_classes_are_one_class_in_both_unicode_forms(tmp_path):
    for number, name in enumerate(("cafe\u0301", "caf\u00e9")):
        (tmp_path / name).mkdir()
        write_pose(tmp_path / name / f"{number}.pose", [[[[10, 20], [5, 5]]]], [[[1, 1]]])
    source = open_clips(tmp_path)
    assert source.metainfo["classes"] == ("caf\u00e9",)
    assert [r["label"] for r in source.records] == [0, 0]
