"""Which person of a clip is read: by visibility, or by motion where scores say nothing."""

from __future__ import annotations

import numpy as np

from karsl.formats.persons import select_person


def test_graded_scores_decide():
    keypoint = np.random.default_rng(0).random((2, 4, 3, 2))
    score = np.stack([np.full((4, 3), 0.9), np.full((4, 3), 0.95)])
    keypoint[1] = 0.5
    assert select_person(keypoint, score) == 1


def test_without_graded_scores_a_body_that_hardly_moves_is_not_read():
    rng = np.random.default_rng(0)
    chair = 0.5 + 0.001 * rng.standard_normal((20, 17, 3))  # a sensor's noise
    signer = rng.random((20, 17, 3))
    score = np.ones((2, 20, 17))
    score[1, :4] = 0
    assert select_person(np.stack([chair, signer]), score) == 1
    assert select_person(np.stack([signer, chair]), score[::-1]) == 0


def test_a_body_that_appears_in_few_frames_is_not_read():
    rng = np.random.default_rng(0)
    score = np.ones((2, 20, 17))
    score[1, 2:] = 0
    assert select_person(np.stack([0.3 * rng.random((20, 17, 2)), rng.random((20, 17, 2))]), score) == 0


def test_the_first_of_two_that_never_move_is_read():
    assert select_person(np.ones((2, 3, 4, 2)), np.ones((2, 3, 4))) == 0
