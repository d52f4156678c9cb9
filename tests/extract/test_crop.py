"""Rotated crops: known answers, and the same bits with and without a compiler."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.extract.crop import compiled_crop, crop_numpy
from karsl.extract.regions import Regions, around_points, rotation, toward_point


def region(x, y, side, angle=0.0) -> Regions:
    return Regions(np.array([0]), np.array([[x, y]], float), np.array([float(side)]), np.array([float(angle)]))


def test_an_upright_crop_of_the_same_size_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.rint(region(16, 16, 32).crop(picture[None], 32)[0] * 255), picture)


def test_outside_of_the_picture_its_border_is_repeated_or_black():
    picture = np.full((1, 4, 4, 3), 255, np.uint8)
    outside = region(-20, 2, 4)
    assert outside.crop(picture, 4).min() == 1
    assert outside.crop(picture, 4, low=-1.0, zeros=True).max() == -1


def test_a_flipped_crop_is_the_mirror_of_the_crop():
    picture = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)
    one = region(7, 9, 11, 0.4)
    np.testing.assert_array_equal(one.crop(picture, 8, flip=True), one.crop(picture, 8)[:, :, ::-1])


def test_the_compiled_crop_gives_the_bits_of_the_one_without_a_compiler():
    pytest.importorskip("numba", reason="numba is not installed: karsl[fast]")
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for _ in range(40):
        numbers = (*rng.uniform(-40, 120, 2).tolist(), float(rng.uniform(5, 200)), float(rng.uniform(-3, 3)))
        compiled, plain = np.empty((48, 48, 3), np.float32), np.empty((48, 48, 3), np.float32)
        zeros = bool(rng.integers(2))
        compiled_crop()(picture, *numbers, -1.0, zeros, compiled)
        crop_numpy(picture, *numbers, -1.0, zeros, plain)
        np.testing.assert_array_equal(compiled, plain)


def test_the_center_and_corners_of_a_rotated_square_are_mapped_to_the_picture():
    one = region(100, 50, 40, np.pi / 2)
    points = one.to_image(np.array([[[0.5, 0.5], [0, 0], [1, 0]]]))
    np.testing.assert_allclose(points, [[[100, 50], [120, 30], [120, 70]]])


def test_an_arm_that_points_up_needs_no_rotation():
    wrist, hand = np.array([[5.0, 5.0]]), np.array([[5.0, 2.0]])
    square = toward_point(np.array([0]), wrist, hand, rotation(wrist, hand, 90))
    assert (square.center.tolist(), square.side.tolist(), square.angle.tolist()) == ([[5, 5]], [6], [0])


def test_a_square_is_shifted_along_its_own_axis_and_scaled_about_its_center():
    moved = region(10, 10, 4, np.pi / 2).scale(2, 0.5)
    np.testing.assert_allclose(moved.center, [[8, 10]], atol=1e-12)
    assert moved.side.tolist() == [8]


def test_a_square_around_points_is_shifted_in_heights_of_their_box():
    square = around_points(np.array([0]), np.array([[[0.0, 0.0], [10.0, 4.0]]]), np.zeros(1), shift=-0.5)
    assert (square.center.tolist(), square.side.tolist()) == ([[5, 0]], [10])
