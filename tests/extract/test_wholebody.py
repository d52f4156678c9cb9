"""ONNX networks of 133 keypoints, with a small one that finds the brightest row and column."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from karsl.errors import ConfigError
from karsl.extract.base import EXTRACTORS

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: karsl[onnx]")
onnx = pytest.importorskip("onnx", reason="onnx is not installed: it makes the network of the test")


def write_network(path, *, points: int = 133, rows: int = 8, columns: int = 6):
    """The distribution over x is the largest value of each column, that over y of each row, the same for all keypoints."""
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
        [onnx.helper.make_tensor_value_info(f"simcc_{a}", kind, [1, points, s]) for a, s in (("x", columns), ("y", rows))],
        [*shapes.values(), onnx.numpy_helper.from_array(np.array([1]), "one")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_the_brightest_pixel_is_where_every_keypoint_is(tmp_path):
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"))
    picture = np.zeros((8, 6, 3), np.uint8)
    picture[5, 2] = 255
    points = extractor(np.stack([picture, np.zeros_like(picture)]))
    assert points.shape == (2, 133, 4)
    np.testing.assert_allclose(points[0], np.broadcast_to([2 / 6, 5 / 8, 0, 1], (133, 4)))
    assert np.isnan(points[1, :, :3]).all()
    assert (points[1, :, 3] == 0).all()


def test_a_wide_picture_keeps_its_proportions(tmp_path):
    """12x8 is scaled to the 6 columns of the network, with 2 empty rows above and below its 4."""
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"))
    picture = np.zeros((1, 8, 12, 3), np.uint8)
    picture[0, 4:6, 8:10] = 255
    np.testing.assert_allclose(extractor(picture)[0, 0, :2], [8 / 12, 4 / 8])


def test_it_is_pickled_and_its_recipe_names_the_network(tmp_path):
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"), min_score=0.5)
    copy = pickle.loads(pickle.dumps(extractor))
    assert copy.recipe == extractor.recipe
    assert len(copy.recipe["networks"]["wholebody"]) == 16
    assert copy(np.full((1, 8, 6, 3), 255, np.uint8)).shape == (1, 133, 4)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "no file .*--models FILE"),
        (lambda path: path.write_bytes(b"no network"), "not a readable ONNX network"),
        (lambda path: write_network(path, points=17), "expected .N, 3, height, width. and .N, 133, bins. twice"),
    ],
)
def test_another_file_is_one_sentence_with_a_remedy(tmp_path, make, text):
    make(tmp_path / "a.onnx")
    with pytest.raises(ConfigError, match=text):
        EXTRACTORS["wholebody"](models=tmp_path / "a.onnx")
