"""ONNX networks of 133 keypoints, with a small one that finds the brightest row and column."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from karsl.errors import ConfigError
from karsl.extract.base import EXTRACTORS

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: karsl[onnx]")


def test_the_brightest_pixel_is_where_every_keypoint_is(tmp_path, write_network):
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"))
    picture = np.zeros((8, 6, 3), np.uint8)
    picture[5, 2] = 255
    points = extractor(np.stack([picture, np.zeros_like(picture)]))
    assert points.shape == (2, 133, 4)
    np.testing.assert_allclose(points[0], np.broadcast_to([2 / 6, 5 / 8, 0, 1], (133, 4)))
    assert np.isnan(points[1, :, :3]).all()
    assert (points[1, :, 3] == 0).all()


def test_a_wide_picture_keeps_its_proportions(tmp_path, write_network):
    """12x8 is scaled to the 6 columns of the network, with 2 empty rows above and below its 4."""
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"))
    picture = np.zeros((1, 8, 12, 3), np.uint8)
    picture[0, 4:6, 8:10] = 255
    np.testing.assert_allclose(extractor(picture)[0, 0, :2], [8 / 12, 4 / 8])


def test_it_is_pickled_and_its_recipe_names_the_network(tmp_path, write_network):
    extractor = EXTRACTORS["wholebody"](models=write_network(tmp_path / "a.onnx"), min_score=0.5)
    copy = pickle.loads(pickle.dumps(extractor))
    assert copy.recipe == extractor.recipe
    assert len(copy.recipe["networks"]["wholebody"]) == 16
    assert copy(np.full((1, 8, 6, 3), 255, np.uint8)).shape == (1, 133, 4)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path, write: None, "no file .*--models FILE"),
        (lambda path, write: path.write_bytes(b"no network"), "not a readable ONNX network"),
        (lambda path, write: write(path, points=17), "expected .N, 3, height, width. and .N, 133, bins. twice"),
    ],
)
def test_another_file_is_one_sentence_with_a_remedy(tmp_path, write_network, make, text):
    make(tmp_path / "a.onnx", write_network)
    with pytest.raises(ConfigError, match=text):
        EXTRACTORS["wholebody"](models=tmp_path / "a.onnx")
