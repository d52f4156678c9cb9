"""Contact sheets: their contents, and clips that are difficult to draw."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from karsl.datasets.transforms import CenterScale, RandomFlip, TSNSampleFrames
from karsl.skeletons import get_skeleton
from karsl.visualization import clip_sheet, overview_sheet, pipeline_sheet, sign_sheet
from karsl.visualization.clip_sheets import body_views, plan_rows
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.draw.palette import FACE, INK, LEFT, MISSING, RIGHT


def select(results: dict, wanted: list[str]) -> dict:
    skeleton = results["skeleton"]
    keep = skeleton.positions(wanted)
    return {
        **results,
        "keypoint": results["keypoint"][:, keep],
        "keypoint_score": results["keypoint_score"][:, keep],
        "skeleton": skeleton.select(wanted),
    }


def rows_of(results: dict) -> list[str]:
    clip = ClipPlot.from_results(results)
    return [row.label for row in plan_rows(clip, clip.shown_frames(12), body_views([clip])[0])]


def test_a_sheet_shows_both_hands_face_and_what_is_missing(results, metainfo, count_color):
    sheet = clip_sheet(results, metainfo=metainfo)
    assert sheet.mode == "RGB"
    assert sheet.size[0] == 104 + 12 * 120 + 12
    for color in (RIGHT, LEFT, FACE):
        assert count_color(sheet, color) > 1000
    share = 10 / len(results["keypoint"])  # the right hand's bar, 9 pixels down
    assert count_color(sheet, MISSING, box=(104, 0, 1544, sheet.size[1])) == pytest.approx(9 * 1440 * share, rel=0.05)


def test_the_gloss_is_written_in_both_languages(results, metainfo, count_color):
    with_glosses, without = clip_sheet(results, metainfo=metainfo), clip_sheet(results)
    left, right = (8, 0, 300, 30), (1300, 0, 1556, 40)
    assert count_color(with_glosses, INK, box=left, near=60) > count_color(without, INK, box=left, near=60) > 0
    assert count_color(with_glosses, INK, box=right, near=60) > count_color(without, INK, box=right, near=60) == 0


def test_rows_follow_the_skeleton(results):
    assert rows_of(results) == ["body", "right hand", "left hand"]
    assert rows_of(select(results, ["pose", "face"])) == ["body"]
    assert rows_of(select(results, ["lh"])) == ["body"]
    assert rows_of(select(results, ["rh", "lh"])) == ["body", "right hand", "left hand"]


def test_groups_centered_separately_have_separate_panels(results):
    centered = CenterScale(per_group=True)(results)
    assert rows_of(centered) == ["arms", "face", "right hand", "left hand"]
    assert rows_of(CenterScale()(results)) == ["body", "right hand", "left hand"]


@pytest.mark.parametrize("groups", [["pose"], ["face"], ["rh"], ["pose", "lh"], ["pose", "rh", "lh"]])
def test_any_part_of_a_skeleton_is_drawn(results, groups):
    assert np.asarray(clip_sheet(select(results, groups))).std() > 0


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_clips_are_drawn(results, frames):
    short = {**results, "keypoint": results["keypoint"][:frames], "keypoint_score": results["keypoint_score"][:frames]}
    assert clip_sheet({**short, "total_frames": frames}).size[0] >= 760


def test_clip_without_points_has_bars_of_missing_frames(results, count_color):
    empty = {**results, "keypoint": np.full_like(results["keypoint"], np.nan)}
    sheet = clip_sheet(empty)
    assert count_color(sheet, MISSING) > 4 * 9 * 1430
    assert count_color(sheet, RIGHT, box=(104, 0, sheet.size[0], sheet.size[1] - 24)) == 0


def test_extreme_coordinates_are_drawn(results):
    wild = results["keypoint"].copy()
    wild[3, 0] = 1e30
    wild[4, 1] = -np.inf
    wild[5, 150] = np.nan
    assert clip_sheet({**results, "keypoint": wild}).size[1] > 300


def test_skeleton_argument_is_used(results):
    bare = {"keypoint": results["keypoint"][..., :2]}
    assert clip_sheet(bare, get_skeleton("karsl_184")).size[0] > 760


def test_stages_are_stacked_with_sampled_frames_marked_once(results, metainfo, count_color):
    results = {**results, "sample_key": np.uint64(1), "sample_idx": 0}
    sampled = TSNSampleFrames(clip_len=16)(results)
    flipped = CenterScale()(RandomFlip(prob=1.0)(sampled))
    sheet = pipeline_sheet([("original", results), ("transformed", flipped)], metainfo=metainfo)
    single = clip_sheet(results, metainfo=metainfo)
    assert sheet.size[1] > 1.8 * single.size[1]
    marked = count_color(sheet, INK, box=(104, 330, 1544, 480))
    assert marked > count_color(single, INK, box=(104, 330, 1544, 460)) + 16 * 8


def test_single_sampled_clip_has_marks(results, count_color):
    sampled = TSNSampleFrames(clip_len=16)({**results, "sample_key": np.uint64(1), "sample_idx": 0})
    with_ticks = clip_sheet(sampled)
    without = clip_sheet({**sampled, "frame_inds": None, "total_frames": 16})
    assert with_ticks.size[1] == without.size[1] + 11
    assert count_color(with_ticks, INK, box=(104, 300, 1544, 460)) > count_color(without, INK, box=(104, 300, 1544, 460))


def test_an_overview_is_a_grid(results, metainfo, count_color):
    sheet = overview_sheet([results] * 7, metainfo=metainfo, title="seven", columns=3)
    assert sheet.size == (3 * 196 + 1, 40 + 3 * 234 + 1)
    cells = [(196 * (i % 3), 40 + 234 * (i // 3)) for i in range(9)]
    drawn = [count_color(sheet, RIGHT, box=(x, y, x + 196, y + 160)) > 0 for x, y in cells]
    assert drawn == [True] * 7 + [False] * 2


def test_overview_without_clips_is_rejected():
    with pytest.raises(ValueError, match="given no clips"):
        overview_sheet([])


def test_sign_sheet_shows_every_clip_at_one_scale(results, metainfo, count_color):
    larger = {**results, "keypoint": results["keypoint"] * 1.5}
    sheet = sign_sheet([results, larger, results], metainfo=metainfo)
    assert sheet.size == (150 + 9 * 112 + 12, 54 + 3 * 126 + 8)
    rows = [(150, 54 + 126 * k, 150 + 9 * 112, 54 + 126 * k + 112) for k in range(3)]
    drawn = [count_color(sheet, LEFT, box=box, near=40) for box in rows]
    assert drawn[1] > drawn[0] > 0
    assert drawn[0] == pytest.approx(drawn[2], rel=0.1)
    for left, top, right, bottom in rows:  # nothing touches the edges of its panel
        for edge in (top + 2, bottom - 4):
            assert count_color(sheet, LEFT, box=(left, edge, right, edge + 2), near=40) == 0
    with pytest.raises(ValueError, match="given no clips"):
        sign_sheet([])


def test_every_stage_has_rows_and_similar_stages_share_a_viewport(results):
    sampled = TSNSampleFrames(clip_len=16)({**results, "sample_key": np.uint64(1), "sample_idx": 0})
    moved = {**sampled, "keypoint": sampled["keypoint"] + np.float32([0.2, 0, 0])}
    stages = [("original", results), ("sampled", sampled), ("moved", moved), ("centered", CenterScale()(moved))]
    assert pipeline_sheet(stages).size[1] > 3.5 * clip_sheet(results).size[1]
    shared = body_views([ClipPlot.from_results(r) for _, r in stages])
    assert shared[0] is shared[1] is shared[2] is not shared[3]


def test_legs_are_not_fitted(results):
    skeleton = get_skeleton("mp_75")
    points = np.random.default_rng(0).uniform(0.3, 0.7, (5, 75, 3)).astype(np.float32)
    legs = [
        k for k, name in enumerate(skeleton.names) if "ankle" in name or "foot" in name or "heel" in name or "knee" in name
    ]
    points[:, legs] += 5
    (view,) = body_views([ClipPlot.from_results({"keypoint": points, "skeleton": skeleton})])
    assert view.scale > 100


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_looking_up_the_package_needs_no_pillow_and_drawing_neither_cv2_nor_matplotlib():
    code = (
        "import sys, karsl.visualization as v; a = 'PIL' in sys.modules; v.clip_sheet, v.overview_sheet;"
        "print(a, 'PIL' in sys.modules, 'cv2' in sys.modules, 'matplotlib' in sys.modules)"
    )
    assert run_python(code) == "False True False False"


def test_an_unknown_name_is_an_attribute_error():
    import karsl.visualization as visualization

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = visualization.nothing
    assert "clip_sheet" in dir(visualization)
