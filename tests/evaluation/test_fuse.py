"""Late fusion by known answers; weights that are searched on validation clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.errors import ConfigError
from karsl.evaluation import fuse_scores, search_weights
from tests.evaluation.score_files import make_scores

ONE, TWO = [[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0, 1]]


def test_weights_are_ratios_and_clips_are_matched():
    other = make_scores(TWO, [0, 1], checkpoint=np.array(["b"])).take(np.array([1, 0]))
    fused = fuse_scores([make_scores(ONE, [0, 1]), other], [6, 2])
    assert fused.clip_id.tolist() == ["c0", "c1"]
    assert fused.scores.tolist() == [[0.625, 0.375], [0.375, 0.625]]
    assert fused.checkpoint.tolist() == ["0.75 x epoch_1.pth xxh3:0", "0.25 x b"]


@given(st.lists(st.floats(0.01, 9), min_size=1, max_size=4))
def test_equal_files_are_unchanged_by_any_weights(weights):
    files = [make_scores(ONE, [0, 1]) for _ in weights]
    np.testing.assert_allclose(fuse_scores(files, weights).scores, ONE, rtol=1e-6)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], [1, float("inf")]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        fuse_scores([make_scores(ONE, [0, 1])] * 2, weights)


def test_the_best_weights_use_the_model_that_is_right():
    right, wrong = make_scores([[0.6, 0.4], [0.4, 0.6]], [0, 1]), make_scores([[0.1, 0.9], [0.9, 0.1]], [0, 1])
    weights, top1 = search_weights([wrong, right])
    assert top1 == 1
    assert weights == [0, 1]


def test_equal_models_get_equal_weights():
    assert search_weights([make_scores(ONE, [0, 1])] * 3)[0] == [1, 1, 1]


def test_weights_are_not_searched_on_the_tested_clips():
    files = [make_scores(ONE, [0, 1])] * 2
    with pytest.raises(ConfigError, match="'c0' and 1 more of 'scores.npz' are in 'scores.npz', too"):
        search_weights(files, files[0])
    with pytest.raises(ConfigError, match="at most 6"):
        search_weights([make_scores(ONE, [0, 1])] * 7)
    with pytest.raises(ConfigError, match="without label"):
        search_weights([make_scores(ONE, [0, -1])] * 2)
