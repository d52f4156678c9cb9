"""`karsl live` on a video file, and its page over a real socket."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from karsl.cli.main import main
from karsl.extract.base import EXTRACTORS, register_extractor
from karsl.inference import Recognizer
from karsl.registry import MODELS
from karsl.skeletons import get_skeleton
from karsl.visualization.live import LiveState
from karsl.visualization.server import ClipServer

av = pytest.importorskip("av")
HANDS = get_skeleton("hand_42")


class Brightness:
    """Every point of the hands is at (x, x), where x is the brightness of the frame."""

    names, batch_size, recipe = HANDS.names, 1, {"name": "brightness"}

    def __init__(self, models=None, device="cpu", wanted=()) -> None:
        pass

    def __call__(self, images: np.ndarray) -> np.ndarray:
        points = np.ones((len(images), len(self.names), 4), np.float32)
        points[..., :2] = images.mean((1, 2, 3))[:, None, None] / 255
        return points


@pytest.fixture(autouse=True, scope="module")
def brightness():
    register_extractor("brightness")(Brightness)
    yield
    del EXTRACTORS["brightness"]


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "sign.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(20):
            picture = np.full((48, 64, 3), 10 * k + 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A checkpoint of an untrained model for two hands."""
    backbone = {"type": "STTransformer", "skeleton": "hand_42", "embed_dims": 8, "depth": 1, "num_heads": 2}
    head = {"type": "ClassifierHead", "num_classes": 2, "in_channels": 8}
    model = {"type": "KeypointRecognizer", "backbone": backbone, "cls_head": head}
    steps = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]
    cfg = f"model = {model}\ntest_dataloader = {{'dataset': {{'pipeline': {steps}}}}}\n"
    torch.manual_seed(0)
    metainfo = {"classes": ["hello", "thanks"], "classes_ar": ["مرحبا", "شكرا"], "skeleton": "hand_42"}
    path = tmp_path_factory.mktemp("live") / "model.pth"
    state = MODELS.build(model).state_dict()
    torch.save({"meta": {"cfg": cfg, "dataset_meta": metainfo}, "state_dict": state}, path)
    return path


def test_a_video_is_classified_frame_by_frame(checkpoint, video, capsys):
    options = ["--extractor", "brightness", "--window", "8", "--threshold", "0", "--not-show"]
    assert main(["live", str(checkpoint), str(video), *options]) == 0
    url, *signs, summary = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"live at http://127\.0\.0\.1:\d+/ \(Ctrl-C stops\)", url)
    assert re.fullmatch(r"frame 3: (hello مرحبا|thanks شكرا) [01]\.\d\d", signs[0])
    assert summary.startswith("20 frames, ")
    assert "frames/s; from a frame to its decision " in summary


def test_the_window_of_a_video_has_the_scores_of_predict(checkpoint, video):
    recognizer = Recognizer.from_checkpoint(checkpoint)
    recognizer._extractor = Brightness()
    (prediction,) = recognizer(video)
    assert prediction.clip_id == "sign"
    assert prediction.record["num_frames"] == 20


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nowhere.mp4", "no video 'nowhere.mp4'; expected a video file"),
        ("77", "camera 77 cannot be opened; is it connected"),
        ("{clips}", "is neither a video nor a folder of pictures"),
    ],
)
def test_a_source_that_is_absent_is_one_sentence(checkpoint, tmp_path, source, text, capsys):
    np.save(tmp_path / "clip.npy", np.ones((3, 42, 3)))
    words = [source.format(clips=tmp_path / "clip.npy"), "--extractor", "brightness", "--not-show"]
    assert main(["live", str(checkpoint), *words]) == 2
    assert text in capsys.readouterr().err


def test_the_page_and_the_latest_frame_are_served():
    state = LiveState("hello <world>", HANDS)
    points = np.full((42, 4), 0.5)
    points[7] = 0
    with ClipServer(state) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            page = urllib.request.urlopen(server.url, timeout=60).read().decode()
            assert "<title>hello &lt;world></title>" in page
            assert "{{" not in page
            assert json.loads(urllib.request.urlopen(f"{server.url}clips/live.json", timeout=60).read()) == {"frame": None}
            state.update(
                4, points, 4 / 3, top=[["hello", "مرحبا", 0.5]], decision=None, fps=9.5, latency_ms=3.0, ended=False
            )
            content = json.loads(urllib.request.urlopen(f"{server.url}clips/live.json", timeout=60).read())
        finally:
            server.shutdown()
            thread.join()
    assert (content["frame"], content["points"][7], content["points"][8]) == (4, None, [0.5, 0.5])
    assert content["top"] == [["hello", "مرحبا", 0.5]]
