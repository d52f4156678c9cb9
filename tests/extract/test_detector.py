"""Anchors and the best detection, on small numbers."""

from __future__ import annotations

import numpy as np

from karsl.extract.detector import anchor_centers, best_keypoints


def test_anchors_are_the_centers_of_cells_layer_by_layer():
    assert anchor_centers(4, (2, 4, 4), 1).tolist() == [
        *([0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]),
        *([0.5, 0.5], [0.5, 0.5]),
    ]


def test_overlapping_detections_are_averaged_by_their_scores_and_others_are_ignored():
    anchors = np.array([[0.5, 0.5], [0.5, 0.5], [0.9, 0.9]], np.float32)
    box = [0.0, 0.0, 40.0, 40.0]
    raw = np.array([[*box, 10.0, 0.0], [*box, 20.0, 0.0], [*box, 90.0, 90.0]])
    logits = np.log([0.75 / 0.25, 0.5 / 0.5, 0.6 / 0.4])
    found = best_keypoints(raw, logits, anchors, 100)
    np.testing.assert_allclose(found, [[0.5 + (0.75 * 0.1 + 0.5 * 0.2) / 1.25, 0.5]])


def test_without_a_score_of_one_half_nothing_is_found():
    assert best_keypoints(np.zeros((6, 6)), np.full(6, -20.0), anchor_centers(4, (2, 4, 4), 1), 4) is None
