"""MediaPipe's networks where they are on this machine, real frames, and an extractor without networks."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from karsl.extract.base import EXTRACTORS
from karsl.extract.networks import FETCHED, load_networks, networks_folder
from karsl.io.video import FrameReader

# Before the fixture of the tests moves the cache of the user.
FOLDER = networks_folder()

# Finds one point, the brightest of a picture, which is missing in a black one. Its class can be imported by workers.
BRIGHTEST = """
import os, signal
import numpy as np
from karsl.extract import register_extractor

@register_extractor("brightest")
class Brightest:
    names, batch_size = ("right_hand_wrist", "left_hand_wrist", "nose"), 4

    def __init__(self, models=None, device="cpu", wanted=()):
        self.recipe = {"name": "brightest", "version": os.environ.get("BRIGHTEST_VERSION", "1")}

    def __call__(self, images):
        found = np.full((len(images), 3, 4), np.nan, np.float32)
        found[..., 3] = 0
        for k, image in enumerate(images):
            gray, (height, width) = image.max(-1), image.shape[:2]
            if gray.max() == 255 and "BRIGHTEST_KILLS" in os.environ:
                os.kill({"worker": os.getpid(), "parent": os.getppid()}[os.environ["BRIGHTEST_KILLS"]], signal.SIGKILL)
            if gray.max() == 254:
                raise ValueError("too bright")
            if gray.max():
                y, x = np.unravel_index(gray.argmax(), gray.shape)
                found[k, 0] = x / width, y / height, 0, 0.5
        return found
"""


@pytest.fixture(scope="session", name="networks_folder")
def fetched_networks() -> Path:
    if not FOLDER.is_dir():
        pytest.skip("the networks of MediaPipe are absent: karsl extract --fetch-models")
    return FOLDER


@pytest.fixture(scope="session")
def networks(networks_folder) -> dict[str, bytes]:
    return load_networks(networks_folder, FETCHED)


@pytest.fixture(scope="session")
def holistic(networks_folder):
    return EXTRACTORS["holistic"](models=networks_folder)


@pytest.fixture(scope="session")
def frames_of(shared_data) -> Callable[[str], list[np.ndarray]]:
    """Frames of a video of the real data; the test is skipped where it is absent."""
    read: dict[str, list[np.ndarray]] = {}

    def frames(name: str) -> list[np.ndarray]:
        folder, _, file = name.partition("/")
        if name not in read:
            read[name] = list(FrameReader(shared_data(folder) / file))
        return read[name]

    return frames


@pytest.fixture
def brightest(tmp_path, monkeypatch) -> str:
    """Name of a module that registers the extractor `brightest`."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "brightest.py").write_text(BRIGHTEST)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'modules'}:{Path(__file__).parents[2]}")
    EXTRACTORS.pop("brightest", None)
    sys.modules.pop("brightest", None)
    importlib.invalidate_caches()
    importlib.import_module("brightest")
    return "brightest"


@pytest.fixture
def make_frames() -> Callable[..., Path]:
    """`make_frames(folder, [(x, y, value), ...])` writes black pictures of 8x4 with one pixel."""

    def make(folder: Path, dots: list[tuple[int, int, int]]) -> Path:
        folder.mkdir(parents=True)
        for number, (x, y, value) in enumerate(dots):
            picture = np.zeros((4, 8, 3), np.uint8)
            picture[y, x] = value
            Image.fromarray(picture).save(folder / f"{number}.png")
        return folder

    return make


@pytest.fixture
def annotations() -> Callable[[Path], dict]:
    return lambda out: json.loads((out / "annotations.json").read_text(encoding="utf-8"))


@pytest.fixture
def write_network() -> Callable[..., Path]:
    """`write_network(path)` writes an ONNX network that finds every keypoint in the brightest row and column."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: it makes the network of the test")

    def write(path, *, points: int = 133, rows: int = 8, columns: int = 6):
        """The distribution over x is the maximum of each column, that over y of each row, for all keypoints."""
        make, kind = onnx.helper.make_node, onnx.TensorProto.FLOAT
        nodes = [
            make("ReduceMax", ["image"], ["x"], axes=[1, 2], keepdims=0),
            make("ReduceMax", ["image"], ["y"], axes=[1, 3], keepdims=0),
        ]
        shapes = {}
        for axis, size in (("x", columns), ("y", rows)):
            shapes[f"shape_{axis}"] = onnx.numpy_helper.from_array(np.array([1, points, size]), f"shape_{axis}")
            nodes.append(make("Unsqueeze", [axis, "one"], [f"one_{axis}"]))
            nodes.append(make("Expand", [f"one_{axis}", f"shape_{axis}"], [f"simcc_{axis}"]))
        graph = onnx.helper.make_graph(
            nodes,
            "brightest",
            [onnx.helper.make_tensor_value_info("image", kind, [1, 3, rows, columns])],
            [
                onnx.helper.make_tensor_value_info(f"simcc_{a}", kind, [1, points, s])
                for a, s in (("x", columns), ("y", rows))
            ],
            [*shapes.values(), onnx.numpy_helper.from_array(np.array([1]), "one")],
        )
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, path)
        return path

    return write
