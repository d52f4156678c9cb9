"""Statistics by known answers, and laws of the bootstrap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from karsl.evaluation.statistics import (
    accuracies,
    bootstrap,
    calibrate,
    class_statistics,
    cluster_order,
    confused_pairs,
    confusion_matrix,
)

matrices = st.integers(1, 6).flatmap(lambda k: arrays(np.int64, (k, k), elements=st.integers(0, 5)))


def test_classes_of_a_small_matrix():
    # class 0: 3 of 4 recognized; class 1 is predicted 3 times and right twice; class 2 has no clip
    found = class_statistics(np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found.support.tolist() == [4, 2, 0]
    assert found.predicted.tolist() == [3, 3, 0]
    assert found.precision.tolist() == [1, 2 / 3, 0]
    np.testing.assert_array_equal(found.recall, [0.75, 1, np.nan])
    np.testing.assert_allclose(found.f1, [6 / 7, 4 / 5, np.nan])


def test_pairs_are_sorted_by_count_and_class():
    matrix = np.array([[9, 2, 1], [0, 9, 2], [0, 0, 9]])
    assert confused_pairs(matrix, 9) == [(0, 1, 2), (1, 2, 2), (0, 2, 1)]
    assert confused_pairs(np.diag([3, 4]), 9) == []


def test_calibration_of_two_bins():
    # bin (0, 0.5]: confidence 0.5, accuracy 0; bin (0.5, 1]: confidence 0.75, accuracy 2 of 3
    found = calibrate(np.array([0.5, 0.75, 0.5625, 0.9375]), np.array([False, True, False, True]), 2)
    assert found.clips.tolist() == [1, 3]
    assert found.confidence.tolist() == [0.5, 0.75]
    np.testing.assert_allclose(found.accuracy, [0, 2 / 3])
    np.testing.assert_allclose(found.ece, (1 * 0.5 + 3 * (0.75 - 2 / 3)) / 4)


def test_an_empty_bin_has_no_accuracy():
    assert np.isnan(calibrate(np.array([1.0]), np.array([True]), 2).accuracy).tolist() == [True, False]


def test_resamples_depend_on_the_seed_alone_and_are_paired():
    labels, ranks = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 5])
    first = bootstrap(ranks, labels, (1,), 50, 0)
    assert first.shape == (50, 2)
    np.testing.assert_array_equal(first, bootstrap(ranks, labels, (1,), 50, 0))
    assert (first != bootstrap(ranks, labels, (1,), 50, 1)).any()
    other = bootstrap(np.where(ranks == 0, 9, 0), labels, (1,), 50, 0)  # right where the first is wrong
    np.testing.assert_allclose(first[:, 0] + other[:, 0], 1)


@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 4)), st.integers(0, 9))
def test_a_model_that_is_always_right_has_no_interval(labels, seed):
    found = bootstrap(np.zeros_like(labels), labels, (1, 2), 5, seed)
    assert (found == 1).all()
    assert (accuracies(np.zeros_like(labels), labels, (1, 2)) == 1).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_the_matrix_counts_each_clip_once(pairs):
    labels, predicted = np.array(pairs).T
    matrix = confusion_matrix(labels, predicted, 4)
    assert matrix.sum() == len(pairs)
    for true, guess in pairs:
        assert matrix[true, guess] == pairs.count((true, guess))


@given(matrices)
def test_clusters_are_a_permutation(matrix):
    assert sorted(cluster_order(matrix).tolist()) == list(range(len(matrix)))


def test_classes_confused_in_both_directions_are_neighbors():
    matrix = np.diag([5] * 6)
    matrix[0, 4] = matrix[4, 0] = 3
    matrix[1, 3] = 2
    assert cluster_order(matrix).tolist() == [0, 4, 1, 3, 2, 5]
