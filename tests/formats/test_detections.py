"""Files of OpenPose, MMPose and Uni-Sign, as these programs write them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors
from karsl.formats import detect_format, open_clips


def person(x: float, score: float = 0.5) -> dict:
    """A person of OpenPose with every point at (x, 10)."""
    counts = {"pose": 25, "face": 70, "hand_left": 21, "hand_right": 21}
    return {"person_id": [-1], **{f"{part}_keypoints_2d": [x, 10, score] * count for part, count in counts.items()}}


@pytest.fixture
def openpose(tmp_path):
    def write(clip: str, frames: list[list[dict]]):
        folder = tmp_path / "json" / clip
        folder.mkdir(parents=True)
        for number, people in enumerate(frames):
            path = folder / f"{folder.name}_{number:012d}_keypoints.json"
            path.write_text(json.dumps({"version": 1.3, "people": people}))
        return tmp_path / "json"

    return write


def test_a_folder_of_frames_of_openpose_is_a_clip_of_the_class_above_it(openpose):
    openpose("thanks/b", [[person(30)]])
    root = openpose("hello/a", [[person(10)], [], [person(30)]])
    assert detect_format(root).name == "openpose-json"
    source = open_clips(root)
    assert source.metainfo["classes"] == ("hello", "thanks")
    assert [(r["clip_id"], r["label"], r["num_frames"]) for r in source.records] == [
        ("hello/a/a", 0, 3),
        ("thanks/b/b", 1, 1),
    ]
    clip = source.read(source.records[0])
    assert clip.shape == (3, 137, 4)
    assert clip[:, 0].tolist() == [[10, 10, 0, 0.5], [0, 0, 0, 0], [30, 10, 0, 0.5]]
    assert source.skeleton.name == "openpose_137"


def test_a_group_that_openpose_did_not_look_for_is_missing(openpose):
    without_hands = {key: value for key, value in person(10).items() if "hand" not in key}
    source = open_clips(openpose("hello/a", [[{**without_hands, "hand_left_keypoints_2d": []}]]))
    clip = source.read(source.records[0])
    assert clip[0, :, 3].tolist() == [0.5] * 95 + [0] * 42


def test_the_most_visible_person_or_the_chosen_one_is_read(openpose, tmp_path, capsys):
    root = openpose("hello/a", [[person(10, 0.4), person(20, 0.9)]] * 2)
    chosen = {None: 20, 0: 10, 1: 20}
    for number, x in chosen.items():
        source = open_clips(root, person=number)
        assert source.read(source.records[0])[0, 0, 0] == x
    assert main(["pack", str(root), str(tmp_path / "packed"), "--person", "0", "--workers", "0"]) == 0
    source = open_clips(tmp_path / "packed")
    assert source.read(source.records[0])[0, 0, 0] == 10
    assert main(["convert", str(root), str(tmp_path / "x"), "--to", "annotation", "--person", "2"]) == 2
    assert "has 2 persons, none at 2; choose another" in capsys.readouterr().err


def test_a_person_is_not_chosen_in_a_format_of_one_person(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 42, 3)))
    with pytest.raises(ConfigError, match="format 'arrays' has one person; person=1 .* is for"):
        open_clips(tmp_path, layout="hand_42", person=1)


def instance(x: float, points: int = 17, score: float = 0.5) -> dict:
    return {"keypoints": [[x, 5]] * points, "keypoint_scores": [score] * points, "bbox": [[0, 0, 9, 9]], "bbox_score": 0.9}


@pytest.mark.parametrize("has_info", [False, True])
def test_predictions_of_mmpose_are_clips_with_frames_in_order(tmp_path, has_info):
    frames = [{"frame_id": n, "instances": [instance(n)] if n != 1 else []} for n in (2, 0, 1)]
    path = tmp_path / "hello" / "a.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"meta_info": {}, "instance_info": frames} if has_info else frames))
    for source_path, clip_id in ((tmp_path, "hello/a"), (path, "a")):
        assert detect_format(source_path).name == "mmpose-json"
        source = open_clips(source_path)
        assert source.skeleton.name == "coco_17"
        assert source.records[0] == {"clip_id": clip_id, "label": 0, "file": f"{clip_id}.json", "num_frames": 3}
        assert source.read(source.records[0])[:, 3].tolist() == [[0, 5, 0, 0.5], [0, 0, 0, 0], [2, 5, 0, 0.5]]


def test_the_number_of_points_names_the_skeleton_of_mmpose(tmp_path):
    for points, name in ((133, "coco_wholebody_133"), (136, "halpe_136")):
        (tmp_path / "a.json").write_text(json.dumps([{"frame_id": 0, "instances": [instance(1, points)]}]))
        assert open_clips(tmp_path / "a.json").skeleton.name == name
    (tmp_path / "a.json").write_text(json.dumps([{"frame_id": 0, "instances": [instance(1, 42)]}]))
    with pytest.raises(AnnotationError, match="42 points per person, known are 17"):
        open_clips(tmp_path / "a.json")
    assert open_clips(tmp_path / "a.json", skeleton="hand_42").skeleton.name == "hand_42"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[{}]", "no list 'instances'"),
        ('[{"frame_id": 0, "instances": [{}]}]', "an instance has no 'keypoints'"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [["a", 1]]}]}]', "points are not numbers"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [1, 2]}]}]', "expected points of x, y"),
        ('[{"frame_id": 0, "instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}]}]', "2 scores of 1 points"),
        ("[", "not readable"),
        ("[]", "not a list of frames"),
    ],
)
def test_a_damaged_file_is_named_with_its_problem(tmp_path, content, text):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataErrors, match=text):
        open_clips(tmp_path / "a.json", format="mmpose-json")


def test_pickles_of_uni_sign_are_read_from_a_trusted_folder(tmp_path):
    points, scores = np.full((1, 133, 2), 0.25, np.float32), np.full((1, 133), 0.5, np.float32)
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "a.pkl").write_bytes(pickle.dumps({"keypoints": [points, points * 2], "scores": [scores, scores]}))
    assert detect_format(tmp_path).name == "uni-sign"
    with pytest.raises(ConfigError, match="is a pickle; if you trust its origin"):
        open_clips(tmp_path)
    source = open_clips(tmp_path, trusted=[tmp_path])
    assert (source.skeleton.name, source.metainfo["classes"]) == ("coco_wholebody_133", ("hello",))
    assert source.read(source.records[0])[:, 7].tolist() == [[0.25, 0.25, 0, 0.5], [0.5, 0.5, 0, 0.5]]


def test_a_pickle_that_would_run_code_is_not_read(tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("code ran",)

    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "a.pkl").write_bytes(pickle.dumps({"keypoints": [Harmful()], "scores": [1]}))
    with pytest.raises(DataErrors, match="requests builtins.print, which is not plain data"):
        open_clips(tmp_path, trusted=[tmp_path])


def test_a_frame_of_uni_sign_without_a_person_is_missing(tmp_path):
    points, scores = np.full((1, 133, 2), 0.5, np.float32), np.ones((1, 133), np.float32)
    path = tmp_path / "a.pkl"
    frames = {"keypoints": [points[:0], points, points[:0]], "scores": [scores[:0], scores, scores[:0]]}
    path.write_bytes(pickle.dumps(frames))
    source = open_clips(path, format="uni-sign", trusted=True)
    assert source.read(source.records[0])[:, 0, 3].tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("keypoints", "scores"),
    [([1.0], [2.0]), ([None], [None]), (np.float32(3), np.float32(3)), ([[[[10**400, 1]] * 133]], [np.ones((1, 133))])],
)
def test_a_pickle_of_other_values_is_one_sentence(tmp_path, keypoints, scores):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"keypoints": keypoints, "scores": scores}))
    with pytest.raises(DataErrors, match="expected|points are not numbers|not a dict"):
        open_clips(path, format="uni-sign", trusted=True)


def test_a_number_beyond_every_float_is_one_sentence(openpose):
    huge = {**person(1), "pose_keypoints_2d": [10**400] * 75}
    source = open_clips(openpose("hello/a", [[huge]]))
    with pytest.raises(CorruptRecordError, match="points are not numbers"):
        source.read(source.records[0])
