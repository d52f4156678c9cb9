"""The networks of MediaPipe Holistic: golden values of MediaPipe 0.10.14, both engines, independent frames."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image

from karsl.errors import ConfigError
from karsl.extract.base import EXTRACTORS, keypoint_mapping
from karsl.extract.clip import to_clip
from karsl.extract.litert_network import LiteRTNetwork
from karsl.extract.networks import _FILES
from karsl.extract.tflite import read_graph
from karsl.extract.torch_network import TorchNetwork
from karsl.io.video import FrameReader
from karsl.skeletons import get_skeleton

AUTSL = "autsl_dummy/signer0_sample1000_color.mp4"
POSE, ARMS, FACE, LEFT, RIGHT = slice(0, 33), slice(11, 17), slice(33, 501), slice(511, 532), slice(532, 553)
VIDEOS = {
    "autsl": AUTSL,
    "yo": "msl150/yo_001.mp4",
    "doctor": "msl150/doctor_001.mp4",
    "pfvideo": "pose_format/test_video.mp4",
}


def pixels(one: np.ndarray, other: np.ndarray) -> float:
    """Median distance of points (n, 4) in pixels of a picture of 512."""
    return float(np.median(np.hypot(*(one[:, :2] - other[:, :2]).T)) * 512)


@pytest.mark.parametrize("clip", VIDEOS)
def test_points_are_those_of_mediapipe(holistic, frames_of, shared_data, clip):
    """Its graph was reset before each frame; the hand of `doctor` is hardly visible."""
    golden = np.load(shared_data("extract_golden") / "golden_mediapipe_0_10_14.npz")
    keys = [key for key in golden.files if key.startswith(clip)]
    assert keys
    for key in keys:
        expected, frame = golden[key], frames_of(VIDEOS[clip])[int(key.split("_")[1])]
        (found,) = holistic(frame[None])
        for part, limit in ((ARMS, 0.05), (FACE, 0.07), (LEFT, 0.3), (RIGHT, 1.2 if clip == "doctor" else 0.3)):
            is_missing = np.isnan(expected[part, 0])
            np.testing.assert_array_equal(is_missing, np.isnan(found[part, 0]))
            assert is_missing.all() or pixels(expected[part], found[part]) < limit


def test_points_are_near_those_of_another_version_in_a_pose_file(holistic, frames_of, shared_data):
    pose_format = pytest.importorskip("pose_format", reason="pose-format is not installed: karsl[pose]")
    pose = pose_format.Pose.read((shared_data("autsl_dummy") / "signer0_sample1000.pose").read_bytes())
    theirs = pose.body.data.filled(np.nan)[:, 0] / 512  # x, y, z in pixels of 512x512
    ours = holistic(np.stack(frames_of(AUTSL)[::3]))
    for part, other, limit in ((FACE, FACE, 1), (RIGHT, slice(522, 543), 4), (LEFT, slice(501, 522), 6)):
        both = (ours[:, part, 3] > 0).all(1) & (pose.body.confidence[::3, 0, other] > 0).all(1)
        assert both.any()
        assert pixels(ours[both][:, part].reshape(-1, 4), theirs[::3][both][:, other, :2].reshape(-1, 2)) < limit


def test_left_and_right_are_those_of_the_signer(holistic, frames_of):
    frame = frames_of(AUTSL)[20]
    (seen,), (mirrored,) = holistic(frame[None]), holistic(np.ascontiguousarray(frame[None, :, ::-1]))
    assert seen[LEFT, 0].mean() > seen[RIGHT, 0].mean()  # she faces the camera
    assert abs(mirrored[RIGHT, 0] - (1 - seen[LEFT, 0])).max() * 512 < 12


def test_frames_do_not_know_each_other(holistic, frames_of):
    frames = np.stack(frames_of(AUTSL)[18:21])
    together = holistic(frames)
    alone = [holistic(frames[k : k + 1])[0] for k in (2, 0, 1)]
    np.testing.assert_array_equal(together[[2, 0, 1]], alone)


def test_torch_gives_the_points_of_litert(networks_folder, holistic, frames_of):
    frames = np.stack([*frames_of(AUTSL)[18:20], np.zeros_like(frames_of(AUTSL)[0])])
    torch_engine = EXTRACTORS["holistic"](models=networks_folder, engine="torch")
    one, other = holistic(frames), torch_engine(frames)
    assert torch_engine.recipe["engine"] == "torch"
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    seen = one[..., 3] > 0
    assert np.abs(one - other)[seen][:, :2].max() * 512 < 1


def test_every_network_gives_the_same_in_torch_and_in_litert(networks):
    for name, content in networks.items():
        one, other = LiteRTNetwork(content), TorchNetwork(content)
        images = np.random.default_rng(0).random((2, one.size, one.size, 3), np.float32)
        assert one.size == other.size
        for a, b in zip(one(images), other(images), strict=True):
            assert np.abs(a.reshape(-1) - b.reshape(-1)).max() <= 1e-3 * max(1, np.abs(a).max()), name


def test_every_constant_of_the_networks_is_read(networks):
    for content in networks.values():
        graph = read_graph(content)
        assert len(graph.inputs) == 1
        assert all(np.isfinite(constant.astype(np.float32)).all() for constant in graph.constants.values())


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (2, 100, 150, 3)])
def test_in_a_black_picture_every_point_is_missing(holistic, shape):
    points = holistic(np.zeros(shape, np.uint8))
    assert points.shape == (shape[0], 553, 4)
    assert np.isnan(points[..., :3]).all()
    assert (points[..., 3] == 0).all()


def test_all_points_of_karsl_184_are_found_by_name(holistic, frames_of):
    skeleton = get_skeleton("karsl_184")
    points = holistic(np.stack(frames_of(AUTSL)[20:21]))
    clip = to_clip(points, keypoint_mapping(holistic, skeleton))
    assert (clip[..., 3] > 0).all()
    np.testing.assert_array_equal(clip[:, skeleton.groups["rh"]], points[:, RIGHT])
    np.testing.assert_array_equal(clip[0, skeleton.index("left_wrist")], points[0, 15])
    np.testing.assert_array_equal(clip[0, skeleton.index("left_iris_0")], points[0, 33 + 476])


def test_without_irises_in_the_skeleton_their_network_is_not_run(holistic, networks_folder):
    without = EXTRACTORS["holistic"](models=networks_folder, wanted=get_skeleton("holistic_543").names)
    assert "iris" in holistic.recipe["networks"]
    assert "iris" not in without.recipe["networks"]


def test_an_extractor_is_pickled_without_its_loaded_networks(holistic):
    holistic(np.zeros((1, 32, 32, 3), np.uint8))
    copy = pickle.loads(pickle.dumps(holistic))
    assert copy.recipe == holistic.recipe
    assert np.isnan(copy(np.zeros((1, 32, 32, 3), np.uint8))[..., 0]).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(pose="huge"), "pose='huge'"),
        (dict(engine="onnx"), "engine='onnx'"),
        (dict(engine="litert", device="cuda"), "runs on the CPU, not on 'cuda'"),
    ],
)
def test_an_unknown_option_is_named(options, text):
    with pytest.raises(ConfigError, match=text):
        EXTRACTORS["holistic"](**options)


def test_pictures_of_256_pixels_give_nearly_the_points_of_the_video(holistic, frames_of, tmp_path):
    """As KArSL publishes frames; the order of the files is that of their numbers."""
    frames = frames_of(AUTSL)[::6]
    for number, frame in enumerate(frames):
        Image.fromarray(frame).resize((256, 256), Image.Resampling.LANCZOS).save(tmp_path / f"f{number + 7}.jpg", quality=95)
    one, other = holistic(np.stack(frames)), holistic(np.stack(list(FrameReader(tmp_path))))
    for part in (ARMS, FACE, LEFT, RIGHT):
        both = (one[:, part, 3] > 0).all(1) & (other[:, part, 3] > 0).all(1)
        assert both.sum() >= 5
        assert pixels(one[both][:, part].reshape(-1, 4), other[both][:, part].reshape(-1, 4)) < 2


def test_a_task_bundle_gives_the_points_of_its_networks(holistic, networks, frames_of, tmp_path):
    with zipfile.ZipFile(tmp_path / "holistic_landmarker.task", "w") as archive:
        for name, content in networks.items():
            if name != "iris":
                archive.writestr(_FILES[name][-1], content)
    bundle = EXTRACTORS["holistic"](models=tmp_path / "holistic_landmarker.task")
    frames = np.stack(frames_of(AUTSL)[20:21])
    one, other = holistic(frames), bundle(frames)
    assert np.isnan(other[:, 501:511, 0]).all()  # a bundle of MediaPipe's has a face network that finds irises
    np.testing.assert_array_equal(np.delete(one, slice(501, 511), 1), np.delete(other, slice(501, 511), 1))
