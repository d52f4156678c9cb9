"""Viewports, colors, canvas and one frame of a skeleton."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import Skeleton, get_skeleton
from karsl.skeletons.catalog import _FACTORIES
from karsl.visualization.draw.canvas import Canvas, shorten, text_width
from karsl.visualization.draw.captions import draw_presence, draw_sampled_frames, runs
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.draw.palette import LEFT, LEFT_ARM, MISSING, RIGHT, RIGHT_ARM, bones, dots, group_styles, side_of
from karsl.visualization.draw.skeleton import draw_skeleton, fit, fit_per_frame, limits


def test_fit_keeps_the_aspect_and_centers():
    view = fit([np.array([[0.0, 0.0], [2.0, 1.0]])], (120, 80), pad=10)
    np.testing.assert_allclose(
        view.to_pixels(np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 0.5]])), [[10, 15], [110, 65], [60, 40]]
    )


def test_fit_of_nothing_and_of_a_single_point_is_finite():
    for points in (np.full((3, 2), np.nan), np.ones((1, 2)), np.zeros((0, 2))):
        assert np.isfinite(fit([points], (100, 100)).scale)
    np.testing.assert_allclose(fit([np.ones((1, 2))], (100, 60)).to_pixels(np.ones(2)), [50, 30])


def test_outlier_among_many_points_is_ignored():
    points = np.random.default_rng(0).uniform(0, 1, (1000, 2))
    points[0] = 1e6
    low, high = limits(points)
    assert (low >= 0).all()
    assert (high <= 1).all()


def test_a_hand_row_has_one_scale_and_follows_the_hand():
    hand = np.array([[[0.0, 0.0], [1.0, 1.0]], [[5.0, 5.0], [5.5, 5.5]], [[np.nan, np.nan]] * 2])
    views = fit_per_frame(hand, (100, 100), pad=10)
    assert {view.scale for view in views} == {80.0}
    np.testing.assert_allclose(views[1].to_pixels(hand[1]), [[30, 30], [70, 70]])


@pytest.mark.parametrize("name", _FACTORIES)  # the built-in ones: tests register others
def test_sides_keep_their_colors_on_every_skeleton(name):
    skeleton = get_skeleton(name)
    hands = {v for group in ("rh", "lh") if group in skeleton.groups for v in range(*skeleton.groups[group].indices(1000))}
    for bone in bones(skeleton):
        start, end = skeleton.names[bone.start], skeleton.names[bone.end]
        if hands & {bone.start, bone.end}:
            assert bone.color == (RIGHT if start.startswith("right") else LEFT)
        if {start, end} == {"right_elbow", "right_wrist"}:
            assert bone.color == RIGHT_ARM
        if {start, end} == {"left_elbow", "left_wrist"}:
            assert bone.color == LEFT_ARM
    assert len(bones(skeleton)) == len(skeleton.edges)
    assert {s.side for s in group_styles(skeleton)} >= ({"left", "right"} if {"rh", "lh"} & set(skeleton.groups) else {None})
    assert all(color in (RIGHT, LEFT) for v, color in dots(skeleton) if v in hands)


def test_a_group_of_an_unknown_name_has_a_color_and_a_face_without_bones_is_dotted():
    own = Skeleton("own", (("legs", ("left_knee", "right_knee")), ("face", ("chin",))))
    assert [style.label for style in group_styles(own)] == ["legs", "face"]
    assert [point for point, _ in dots(own)] == [2, 0, 1]
    assert side_of("chin") is None


def test_drawings_are_clipped_to_their_panel():
    canvas = Canvas(60, 20)
    with canvas.panel(20, 0, 20, 20) as panel:
        panel.line((-100, 10), (100, 10), "#000000", width=4)
    row = np.asarray(canvas.finish())[10, :, 0]
    assert (row[:20] == 255).all()
    assert (row[20:40] == 0).all()
    assert (row[40:] == 255).all()


def test_texts_are_shortened_at_either_end():
    assert text_width(shorten("a" * 100, 80)) <= 80
    assert shorten("first and last", 60).startswith("first"[:3])
    assert shorten("first and last", 60, keep_end=True).endswith("last")


def test_a_tether_crosses_the_body_only_after_a_wrong_flip(results, count_color):
    skeleton, frame = results["skeleton"], results["keypoint"][len(results["keypoint"]) // 2, :, :2].astype(float)
    wrong = frame.copy()  # hands swapped, arms not: the reference project's flip
    rh, lh = skeleton.groups["rh"], skeleton.groups["lh"]
    wrong[rh], wrong[lh] = frame[lh], frame[rh]

    def tether_pixels(points: np.ndarray) -> int:
        canvas = Canvas(200, 200)
        hidden = fit([points], (200, 200)).to_pixels(points)
        keep = skeleton.indices(["left_wrist", "right_wrist", "left_hand_wrist", "right_hand_wrist"])
        only = np.full_like(hidden, np.nan)
        only[keep] = hidden[keep]
        draw_skeleton(canvas, only, skeleton)
        return count_color(canvas.finish(), RIGHT, near=60) + count_color(canvas.finish(), LEFT, near=60)

    assert tether_pixels(wrong) > 2 * tether_pixels(frame) + 20


def test_missing_points_draw_nothing():
    canvas = Canvas(20, 20)
    skeleton = get_skeleton("karsl_184")
    draw_skeleton(canvas, np.full((184, 2), np.nan), skeleton)
    assert (np.asarray(canvas.finish()) == 255).all()


def test_runs_are_found_at_both_ends():
    assert list(runs(np.array([], bool))) == []
    assert list(runs(np.array([False, True, True]))) == [(1, 3)]
    assert list(runs(np.ones(2, bool))) == [(0, 2)]


def test_presence_bar_shows_each_frame(count_color):
    hand = Skeleton("hand", (("rh", ("right_hand_wrist",)),))
    keypoint = np.zeros((4, 1, 2))
    keypoint[1] = np.nan
    canvas = Canvas(300, 40)
    draw_presence(canvas, ClipPlot.from_results({"keypoint": keypoint}, hand), left=100, width=160, top=4)
    row = canvas.finish().crop((100, 8, 260, 9))
    assert [count_color(row, RIGHT, box=(40 * t, 0, 40 * t + 40, 1)) for t in range(4)] == [40, 0, 40, 40]
    assert count_color(row, MISSING) == 40


def test_ticks_are_at_the_centers_of_sampled_frames():
    canvas = Canvas(300, 30)
    draw_sampled_frames(canvas, np.array([0.0, 3.0, np.nan]), 4, left=100, width=160, top=5)
    dark = (np.asarray(canvas.finish())[12, 95:] < 100).all(-1).nonzero()[0] + 95
    assert {round(x / 10) * 10 for x in dark} == {120, 240}
