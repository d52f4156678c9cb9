"""Rules of missing points: NaN, infinity and markers are cleared; a likely marker is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.errors import ConfigError
from karsl.io.missing import STRICT, MissingPoints, likely_marker

POINTS = np.array([[0.5, np.nan, 1], [np.inf, 0, 0], [-1, -1, 0.5], [0, 0, 0.5], [0.5, 0.5, 0]], np.float32)


@pytest.mark.parametrize(
    ("rules", "cleared"),
    [
        (STRICT, []),
        (MissingPoints("missing"), [0, 1]),
        (MissingPoints(markers=("minus_one",)), [2]),
        (MissingPoints("missing", ("minus_one", "zero_xy")), [0, 1, 2, 3]),
    ],
)
def test_each_rule_clears_its_points_only_and_no_input_is_changed(rules, cleared):
    before = POINTS.copy()
    result = rules.clear(POINTS)
    expected = POINTS.copy()
    expected[cleared] = 0
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(POINTS, before)


def test_integers_have_markers_too():
    assert MissingPoints("missing", ("minus_one",)).clear(np.array([[-1, -1], [-1, 3]])).tolist() == [[0, 0], [-1, 3]]


def test_an_unknown_rule_is_rejected_with_a_suggestion():
    with pytest.raises(ConfigError, match="nonfinite='mising'; did you mean 'missing'"):
        MissingPoints("mising")
    with pytest.raises(ConfigError, match="missing='minus_on'; did you mean 'minus_one'"):
        MissingPoints(markers=("minus_on",))


def clip(*points: tuple[float, float]) -> np.ndarray:
    """Return a clip of one frame whose points have z 0.25 and score 1."""
    return np.array([[(x, y, 0.25, 1) for x, y in points]], np.float32)


@pytest.mark.parametrize(
    ("points", "marker"),
    [
        ([(-1, -1), (-1, -1), (0.5, 0.5)], "minus_one"),
        ([(-1 / 1920, -1 / 1080), (-1 / 1920, -1 / 1080), (0.5, 0.5)], "minus_one"),  # pixels that were divided
        ([(0, 0), (0, 0), (0.5, 0.5)], "zero_xy"),
        ([(0, 0), (0.5, 0.5)], None),
        ([(-0.1, -0.2), (-0.3, -0.1)], None),  # points outside of the image
        ([(0.5, 0.5), (0.5, 0.5)], None),
    ],
)
def test_a_marker_is_noticed_where_points_share_one_place(points, marker):
    assert likely_marker(clip(*points)) == marker
