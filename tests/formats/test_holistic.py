"""Rows of 1662 and 226 columns: keypoints by name, frames in numeric order, invalid input rejected."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError, KarslError
from karsl.formats import convert, open_clips
from karsl.formats.holistic import HOLISTIC, MSL
from karsl.skeletons import get_skeleton
from tests.formats.random_clips import make_source

ROW = np.arange(1662, dtype=np.float32) + 1


@pytest.mark.parametrize(
    ("name", "column"),
    [("nose", 0), ("left_shoulder", 44), ("right_foot_index", 128), ("face_1", 135), ("left_hand_wrist", 1536)]
    + [("left_hand_pinky_tip", 1596), ("right_hand_wrist", 1599), ("right_hand_pinky_tip", 1659)],
)
def test_a_point_is_read_from_its_three_columns(name, column):
    clip = HOLISTIC.to_clip(ROW[None], where="clip")
    assert clip[0, HOLISTIC.skeleton.index(name), :3].tolist() == [column + 1, column + 2, column + 3]


def test_pose_has_its_visibility_as_score_and_present_hands_have_score_1():
    row = np.zeros(226, np.float32)
    row[0:4], row[4:8], row[100:103] = (0.5, 0.25, 0, 0.75), (0, 0, 0, 0.9), (0, 0, 0.125)
    clip = MSL.to_clip(row[None], where="clip")[0]
    score = {
        n: float(clip[MSL.skeleton.index(n), 3]) for n in ("nose", "left_eye_inner", "left_hand_wrist", "right_hand_wrist")
    }
    assert score == {"nose": 0.75, "left_eye_inner": 0, "left_hand_wrist": 1, "right_hand_wrist": 0}


def test_real_1662_columns_give_the_numbers_of_the_karsl_layout(shared_data):
    """Both folders contain the same 60 clips; only the 8 iris points are in neither."""
    holistic = open_clips(shared_data("holistic1662"), skeleton="karsl_184")
    karsl = open_clips(shared_data("karsl_layout"))
    clips = {r["clip_id"].rpartition("/")[2]: karsl.read(r) for r in karsl.records}
    assert len(holistic.records) == 60
    for record in holistic.records:
        found, key = holistic.read(record), record["clip_id"].replace("/", "_")
        np.testing.assert_allclose(found[..., :3], clips[key][..., :3], atol=1e-6)
        np.testing.assert_allclose(found[..., 3], clips[key][..., 3], atol=1e-6)


def test_real_msl_clips_are_read_with_hands_that_go_missing(shared_data):
    source = open_clips(shared_data("msl150"))
    assert source.metainfo["classes"] == ("ambulancia", "doctor", "dolor", "hoy", "yo")
    clips = [source.read(r) for r in source.records]
    assert [len(clip) for clip in clips] == [30] * 86
    left, right = (source.skeleton.groups[g] for g in ("lh", "rh"))
    seen = np.concatenate(clips)[..., 3] > 0
    assert 0.2 < seen[:, left].mean() < seen[:, right].mean() < 1
    pose = np.concatenate(clips)[:, source.skeleton.groups["pose"]]
    assert (pose[..., 3] <= 1).all()


def test_frames_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (0, 2, 10, 1, 9, 11, 3, 4, 5, 6, 7, 8):
        path = tmp_path / "hello" / "0" / f"{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.full(1662, number + 1, np.float32))
    source = open_clips(tmp_path)
    assert source.read(source.records[0])[:, 0, 0].tolist() == list(range(1, 13))


def test_lost_repeated_and_misnamed_frames_are_reported_together(tmp_path):
    for clip, names in {"0": ("0", "2"), "1": ("0", "frame"), "2": ("0", "00")}.items():
        (tmp_path / "hello" / clip).mkdir(parents=True)
        for name in names:
            np.save(tmp_path / "hello" / clip / f"{name}.npy", ROW)
    with pytest.raises(DataErrors) as caught:
        open_clips(tmp_path, format="holistic-frames")
    assert [
        ("frame 2 does not follow" in p, "'frame.npy'" in p, "frame 0 does not" in p) for p in caught.value.problems
    ] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_labels_of_a_block_are_numbers_or_one_hot(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((3, 2, 1662), np.float32))
    with pytest.raises(DatasetNotFoundError, match="y.npy"):
        open_clips(tmp_path)
    np.save(tmp_path / "y.npy", np.eye(3, dtype=np.int64)[[2, 0, 1]])
    assert [r["label"] for r in open_clips(tmp_path).records] == [2, 0, 1]
    np.save(tmp_path / "y.npy", np.array([0.5, 1, 2]))
    with pytest.raises(CorruptRecordError, match="expected 3 labels from 0, names, or one-hot rows"):
        open_clips(tmp_path)


def test_clips_of_different_lengths_are_rejected_by_a_block(tmp_path):
    with pytest.raises(ConfigError, match="clips of 2 to 5 frames do not fit one array .* use --to holistic"):
        convert(make_source(clips=[(5, "none", 0), (2, "none", 1)]), tmp_path / "block", "holistic-block")
    assert not list(tmp_path.iterdir())


def test_members_of_other_shapes_are_reported_together(tmp_path):
    np.savez(tmp_path / "hello.npz", a=np.ones((3, 1662)), b=np.ones((3, 1661)), c=np.array(["x"]), d=np.ones((0, 1662)))
    with pytest.raises(DataErrors) as caught:
        open_clips(tmp_path, format="holistic")
    assert [p.partition(" has ")[0] for p in caught.value.problems] == ["hello.npz: b", "hello.npz: d"]  # c is no clip


def test_non_finite_values_are_rejected_with_frame_and_keypoint(tmp_path):
    rows = np.ones((3, 226), np.float32)
    rows[1, 4] = np.nan
    np.savez(tmp_path / "hola.npz", a=rows)
    source = open_clips(tmp_path)
    with pytest.raises(CorruptRecordError, match="'a' has 1 values that are NaN or infinite, first in frame 1, keypoint 1"):
        source.read(source.records[0])


def test_a_truncated_sidecar_is_rejected(tmp_path):
    path = convert(make_source("holistic_543"), tmp_path / "out", "holistic").path
    text = (path / "clips.json").read_text(encoding="utf-8")
    (path / "clips.json").write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(AnnotationError, match="clips.json: not"):
        open_clips(path)


def test_the_number_of_columns_is_that_of_the_names():
    assert (HOLISTIC.num_columns, MSL.num_columns) == (1662, 226)
    assert HOLISTIC.skeleton == get_skeleton("holistic_543")


def test_hidden_folders_of_frames_are_no_classes_and_other_files_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for clip in ("hello/0", ".ipynb_checkpoints/0", "hello/.ipynb_checkpoints"):
        (tmp_path / clip).mkdir(parents=True)
        for number in range(2):
            np.save(tmp_path / clip / f"{number}.npy", rng.random(1662))
    (tmp_path / "hello" / "0" / "notes.txt").touch()
    (tmp_path / "hello" / "1").mkdir()
    source = open_clips(tmp_path)
    assert source.metainfo["classes"] == ("hello",)
    assert [(r["clip_id"], r["num_frames"]) for r in source.records] == [("hello/0", 2)]
    assert set(source.notes) >= {
        "2 hidden files or folders are not read: '.ipynb_checkpoints', 'hello/.ipynb_checkpoints'",
        "1 file of another type is not read: 'hello/0/notes.txt'",
    }


@pytest.mark.parametrize("place", ["x", {"a": 1}, -1])
def test_a_sidecar_whose_values_locate_no_clip_is_rejected(tmp_path, place):
    path = convert(make_source("holistic_543", ((3, "none", 1), (3, "none", 2))), tmp_path / "block", "holistic-block").path
    sidecar = json.loads((path / "clips.json").read_text(encoding="utf-8"))
    sidecar["data_list"][1]["place"] = place
    (path / "clips.json").write_text(json.dumps(sidecar), encoding="utf-8")
    with pytest.raises(AnnotationError, match="clips.json: record 1.*keypoint_index"):
        open_clips(path, format="holistic-block")


def test_a_block_without_numbers_is_rejected(tmp_path):
    path = convert(make_source("holistic_543", ((3, "none", 1), (3, "none", 2))), tmp_path / "block", "holistic-block").path
    np.save(path / "X.npy", np.array([None, None]))
    with pytest.raises(KarslError, match="X.npy"):
        open_clips(path, format="holistic-block")
