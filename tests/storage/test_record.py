import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.storage import split_channels


def test_missing_is_nan_with_score_0_and_only_exact_zeros_are_missing():
    raw = np.array([[[0, 0, 0, 0.9], [0, 0, 1e-6, 0], [0.5, 0.25, -1, 0.75]]])
    keypoint, score = split_channels(raw)
    assert np.isnan(keypoint[0, 0]).all()
    assert keypoint[0, 2].tolist() == [0.5, 0.25, -1]
    assert score.tolist() == [[0, 1, 0.75]]
    assert keypoint.dtype == score.dtype == np.float32


def test_three_columns_mean_full_scores():
    _, score = split_channels(np.array([[[1, 2, 3], [0, 0, 0]]], dtype=np.float16))
    assert score.tolist() == [[1, 0]]


def test_scores_stay_in_0_to_1():
    _, score = split_channels(np.array([[[1, 1, 1, 7.0], [1, 1, 1, -3.0]]]))
    assert score.tolist() == [[1, 1]]


def test_nan_and_infinity_are_refused_or_missing_as_asked():
    raw = np.array([[[1, 1, 1, 1], [1, np.nan, 1, 1], [np.inf, 1, 1, 1]]])
    with pytest.raises(CorruptRecordError, match="has 2 values that are NaN or infinite, first in frame 0, keypoint 1"):
        split_channels(raw, where="x.npz: clip 'a'")
    _, score = split_channels(raw, nonfinite="missing")
    assert score.tolist() == [[1, 0, 0]]


def test_a_float64_too_large_for_float32_is_not_silently_infinite():
    with pytest.raises(CorruptRecordError, match="NaN or infinite"), np.errstate(over="ignore"):
        split_channels(np.array([[[1e300, 1, 1]]]))


def test_the_input_is_not_edited():
    raw = np.array([[[0.0, 0, 0, 0]]])
    raw.flags.writeable = False
    split_channels(raw)
