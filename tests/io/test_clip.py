import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from karsl.errors import CorruptRecordError
from karsl.io import canonical_clip, split_score
from karsl.io.clip import _with_numpy


def test_missing_is_nan_with_score_0_and_only_exact_zeros_are_missing():
    raw = np.array([[[0, 0, 0, 0.9], [0, 0, 1e-6, 0], [0.5, 0.25, -1, 0.75]]])
    keypoint, score = split_score(canonical_clip(raw))
    assert np.isnan(keypoint[0, 0]).all()
    assert keypoint[0, 2].tolist() == [0.5, 0.25, -1]
    assert score.tolist() == [[0, 1, 0.75]]
    assert keypoint.dtype == score.dtype == np.float32


def test_three_columns_mean_full_scores():
    _, score = split_score(canonical_clip(np.array([[[1, 2, 3], [0, 0, 0]]], dtype=np.float16)))
    assert score.tolist() == [[1, 0]]


def test_scores_stay_in_0_to_1():
    _, score = split_score(canonical_clip(np.array([[[1, 1, 1, 7.0], [1, 1, 1, -3.0]]])))
    assert score.tolist() == [[1, 1]]


def test_nan_and_infinity_are_rejected_or_missing_as_requested():
    raw = np.array([[[1, 1, 1, 1], [1, np.nan, 1, 1], [np.inf, 1, 1, 1]]])
    with pytest.raises(CorruptRecordError, match="has 2 values that are NaN or infinite, first in frame 0, keypoint 1"):
        canonical_clip(raw, where="x.npz: clip 'a'")
    _, score = split_score(canonical_clip(raw, nonfinite="missing"))
    assert score.tolist() == [[1, 0, 0]]


def test_a_float64_too_large_for_float32_is_not_silently_infinite():
    with pytest.raises(CorruptRecordError, match="NaN or infinite"), np.errstate(over="ignore"):
        canonical_clip(np.array([[[1e300, 1, 1]]]))


def test_the_input_is_not_modified():
    raw = np.array([[[0.0, 0, 0, 0]]])
    raw.flags.writeable = False
    canonical_clip(raw)


SPECIAL = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1e-3, -0.5, 0.5, 1.0, 1.5, 3e38, -3e38, np.nan, np.inf, -np.inf], np.float32
).tolist()  # exact in float32
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([3, 4]))


@given(arrays(np.float32, SHAPES, elements=st.sampled_from(SPECIAL)))
def test_the_compiled_pass_gives_bit_for_bit_what_numpy_gives_or_leaves_it_to_numpy(raw):
    fill_canonical = pytest.importorskip("karsl.datasets.batching.kernel").fill_canonical
    clip = np.empty((*raw.shape[:2], 4), np.float32)
    if fill_canonical(raw, clip):
        assert np.isfinite(raw).all()
        assert clip.tobytes() == _with_numpy(raw, "clip", "raise").tobytes()
    elif np.isfinite(raw).all():
        with np.errstate(over="ignore"):
            assert not np.isfinite(raw.sum(-1)).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16])
def test_any_number_type_and_memory_order_is_accepted_and_never_modified(dtype, order):
    raw = np.array([[[0, 0, 0, 5], [1, 2, 3, 0]], [[1, 0, 0, 2], [0, 0, 0, 0]]], dtype, order=order)
    before = raw.copy()
    wanted = [[[0, 0, 0, 0], [1, 2, 3, 1]], [[1, 0, 0, 1], [0, 0, 0, 0]]]
    for made in (canonical_clip(raw), _with_numpy(np.ascontiguousarray(raw, np.float32), "clip", "raise")):
        assert made.tolist() == wanted
        assert made.flags.c_contiguous
        assert not np.shares_memory(made, raw)
    assert (raw == before).all()


@pytest.mark.parametrize("accepts", [True, False])
def test_a_compiled_conversion_is_used_unless_it_declines(accepts):
    def fill(raw, clip):
        assert raw.dtype == clip.dtype == np.float32
        clip[:] = 7
        return accepts

    clip = canonical_clip(np.array([[[1, 2, 3]]], np.float64), fill=fill)
    assert clip.tolist() == ([[[7, 7, 7, 7]]] if accepts else [[[1, 2, 3, 1]]])
