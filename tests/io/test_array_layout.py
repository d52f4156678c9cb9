"""Layouts of arrays: texts and configs, axes, scores, scales and marks of missing points on small known arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from karsl.errors import ConfigError, CorruptRecordError, SkeletonError
from karsl.io.array_layout import MISSING, ArrayLayout
from karsl.io.clip import canonical_clip
from karsl.io.layout_config import LAYOUTS
from karsl.skeletons import get_skeleton

DOTS = {"name": "dots", "parts": [["a", ["p"]], ["b", ["q", "r"]]]}
TEXTS = ["karsl_184", *LAYOUTS, "pose:33x3, face:478x2", "coco_17; axes=CTVM; score=2; person=1", "coco_17; score=none"]
TEXTS += [
    "rh:21, lh:21; axes=CTV",
    "pose:33",
    "pose=body, left_hand=l; axes=TD",
    "hand_42; missing=nan; size=640x480",
    "coco_17; axes=NCTV",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_layout_is_restored_from_its_config_as_json(text):
    layout = ArrayLayout.parse(text)
    assert ArrayLayout.parse(json.loads(json.dumps(layout.to_config()))) == layout
    assert ArrayLayout.parse(json.dumps(layout.to_config())) == ArrayLayout.parse(layout) == layout


def test_the_number_in_the_name_of_a_layout_is_that_of_its_columns():
    for name in LAYOUTS:
        assert str(ArrayLayout.parse(name).num_columns) == name.rpartition("_")[2]


def test_columns_are_read_by_the_name_of_their_group_in_any_order():
    layout = ArrayLayout.parse({"skeleton": DOTS, "columns": "b:2x3, a:1x4"})
    clip = layout.to_clip(np.array([[1, 2, 3, 0, 0, 0, 4, 5, 6, 0.5]]))
    assert clip.tolist() == [[[4, 5, 6, 0.5], [1, 2, 3, 1], [0, 0, 0, 0]]]


def test_keypoints_are_named_by_their_groups_in_order():
    assert ArrayLayout.parse("rh:21, left_hand:21").skeleton.groups == {"rh": slice(0, 21), "lh": slice(21, 42)}
    assert ArrayLayout.parse("lh:21, rh:21").skeleton.name == "hand_42"


def test_axes_are_reordered_and_one_person_is_read():
    raw = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3) + 1  # M, C, T, V
    layout = ArrayLayout.parse({"skeleton": DOTS, "axes": "MCTV", "person": 1})
    clip = layout.to_clip(raw)
    assert clip.shape == (4, 3, 4)
    assert clip[2, 1].tolist() == [*raw[1, :, 2, 1].tolist(), 1]
    assert (layout.num_frames(raw.shape), layout.num_persons(raw.shape), layout.clip_ndim) == (4, 2, 4)


def test_a_score_may_be_any_value_and_z_may_be_absent():
    raw = np.array([[[2, 4, 0.5], [0, 0, 0], [1, 1, 0]]])
    assert ArrayLayout.parse({"skeleton": DOTS, "score": 2}).to_clip(raw).tolist() == [
        [[2, 4, 0, 0.5], [0, 0, 0, 0], [1, 1, 0, 1]]
    ]
    four = np.array([[[2, 4, 6, 0.5]] * 3])
    assert ArrayLayout.parse({"skeleton": DOTS, "score": None}).to_clip(four)[0, 0].tolist() == [2, 4, 6, 1]


def test_pixels_become_shares_of_the_image():
    layout = ArrayLayout.parse({"skeleton": DOTS, "scale": "pixels", "size": (8, 4)})
    raw = np.array([[[4, 2, 1, 1], [0, 0, 0, 0], [8, 0, 0, 0.5]]])
    assert layout.to_clip(raw).tolist() == [[[0.5, 0.5, 0.125, 1], [0, 0, 0, 0], [1, 0, 0, 0.5]]]


@pytest.mark.parametrize(
    ("missing", "mark", "origin_score"),
    [
        ("zeros", (0, 0, 0, 0.7), 0),
        ("nan", (np.nan, 1, 2, 0.7), 1),
        ("minus_one", (-1, -1, 5, 0.7), 1),
        ("zero_score", (3, 4, 5, 0), 1),
    ],
)
def test_a_missing_point_becomes_zeros_by_its_mark_and_the_origin_is_a_point_by_others(missing, mark, origin_score):
    layout = ArrayLayout.parse({"skeleton": DOTS, "missing": missing})
    clip = layout.to_clip(np.array([[mark, (0, 0, 0, 1), (1, 2, 3, 0.5)]]))
    assert clip[0, 0].tolist() == [0, 0, 0, 0]
    assert clip[0, 1].tolist() == [0, 0, 0, origin_score]
    assert clip[0, 2].tolist() == [1, 2, 3, 0.5]


@pytest.mark.parametrize("missing", MISSING)
def test_values_that_are_not_finite_raise_or_become_missing(missing):
    layout = ArrayLayout.parse({"skeleton": DOTS, "missing": missing})
    raw = np.array([[[1, 2, 3, 1], [np.inf, 2, 3, 1], [1, 2, 3, 1.0]]])
    with pytest.raises(
        CorruptRecordError, match="x.npy has 1 values that are NaN or infinite, first in frame 0, keypoint 1"
    ):
        layout.to_clip(raw, where="x.npy")
    assert layout.to_clip(raw, nonfinite="missing")[0, :, 3].tolist() == [1, 0, 1]


@given(arrays.arrays(np.float32, (3, 42, 4), elements=st.floats(0, 1, width=32)))
def test_plain_clips_are_those_that_are_read_without_a_layout(raw):
    np.testing.assert_array_equal(ArrayLayout.parse("hand_42").to_clip(raw), canonical_clip(raw))
    np.testing.assert_array_equal(ArrayLayout.parse("hand_42; axes=TD").to_clip(raw.reshape(3, -1)), canonical_clip(raw))
    bare = np.ascontiguousarray(raw[..., :3])
    np.testing.assert_array_equal(ArrayLayout.parse("holistic_126").to_clip(bare.reshape(3, -1)), canonical_clip(bare))


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        *[
            ("hand_42", (5, 42, 4), 4),
            ("hand_42", (5, 42, 3), 3),
            ("hand_42", (5, 42, 2), None),
            ("hand_42; score=2", (5, 42, 3), None),
        ],
        *[("holistic_126", (5, 126), 3), ("rh:21x3, lh:21x3", (5, 126), None), ("holistic_258", (5, 258), None)],
        *[
            ("hand_42; axes=TD", (5, 168), 4),
            ("hand_42; axes=VTC", (42, 5, 4), None),
            ("hand_42; missing=nan", (5, 42, 4), None),
        ],
        *[("hand_42; size=4x4", (5, 42, 4), None), ("lh=a, rh=b", (5, 21, 3), None), ("holistic_2172", (5, 2172), 4)],
    ],
)
def test_only_plain_clips_are_read_as_they_are_stored(layout, shape, expected):
    assert ArrayLayout.parse(layout).values_per_keypoint(shape) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("holistic_1663", "no layout 'holistic_1663'; did you mean 'holistic_1662'?"),
        ("coco_17; axes=TVX", "axes='TVX'; expected an order of T, V, C"),
        ("coco_17; axes", "option 'axes' has no value"),
        ("coco_17; axis=TVC", "no key 'axis'; did you mean 'axes'?"),
        ("coco_17; missing=nans", "missing='nans'; did you mean 'nan'?"),
        ("coco_17; score=x", "score='x'; expected a number"),
        ("coco_17; score=none; missing=zero_score", "needs the number of the score"),
        ("coco_17; scale=pixels", "give the image size, as in size=1280x720"),
        ("coco_17; scale=meters", "scale='meters'"),
        ("pose:33x4; axes=TVC", "axes='TVC' with columns"),
        ("pose:33x4, lh", "columns 'lh'"),
        ("hand=h", "the keypoints of group 'hand' are not known; add skeleton=NAME"),
        ("{", "is not JSON"),
        ({}, "names no keypoints"),
        (7, "layout=7; expected a skeleton name"),
        (
            {"skeleton": "hand_42", "columns": "lh:21x3"},
            "columns of ['lh'], but skeleton 'hand_42' has the groups ['lh', 'rh']",
        ),
        ({"skeleton": "hand_42", "columns": "lh:20x3, rh:21x3"}, "20 points of 'lh', but skeleton 'hand_42' has 21"),
    ],
)
def test_an_invalid_layout_is_rejected_with_what_to_write(value, message):
    with pytest.raises(ConfigError) as caught:
        ArrayLayout.parse(value)
    assert message in str(caught.value)


def test_an_unknown_skeleton_is_an_error_of_skeletons():
    with pytest.raises(SkeletonError, match="did you mean 'hand_42'"):
        ArrayLayout.parse({"skeleton": "hand_43"})
    assert ArrayLayout.parse(get_skeleton("hand_42")).skeleton.name == "hand_42"
