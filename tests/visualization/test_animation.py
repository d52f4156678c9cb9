"""Animations: frames and durations, read back by other decoders."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from karsl.datasets.transforms import CenterScale, RandomFlip, TSNSampleFrames
from karsl.errors import ConfigError, MissingExtraError
from karsl.skeletons import get_skeleton
from karsl.visualization.animation import SUFFIXES, Scene, align_frames, delays_ms, frames_per_second, write_animation
from karsl.visualization.draw.canvas import Image
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.draw.palette import LEFT, RIGHT


def shortened(results: dict, frames: int = 12) -> dict:
    return {
        **results,
        "keypoint": results["keypoint"][:frames],
        "keypoint_score": results["keypoint_score"][:frames],
        "num_frames": frames,
        "total_frames": frames,
        "sample_key": np.uint64(1),
        "sample_idx": 0,
    }


@pytest.fixture
def clip(results) -> dict:
    """12 frames; the right hand is missing in the first 10."""
    return shortened(results)


@pytest.fixture
def stages(clip) -> list:
    sampled = TSNSampleFrames(clip_len=6)(clip)
    return [("original", clip), ("sampled", sampled), ("flipped", CenterScale()(RandomFlip(prob=1.0)(sampled)))]


def frames_of(path) -> tuple[list[np.ndarray], list[int]]:
    """Frames of a GIF or WebP, and their durations in ms."""
    with Image.open(path) as image:
        pictures, delays = [], []
        for number in range(image.n_frames):
            image.seek(number)
            pictures.append(np.asarray(image.convert("RGB")))
            delays.append(round(image.info["duration"]))
    return pictures, delays


def test_webp_keeps_every_pixel_and_the_speed(tmp_path, clip):
    scene = Scene([("clip", clip)])
    pictures, delays = frames_of(write_animation(tmp_path / "clip.webp", scene, fps=30))
    assert len(pictures) == 12
    for read, drawn in zip(pictures, scene.images(), strict=True):
        np.testing.assert_array_equal(read, np.asarray(drawn))
    assert sum(delays) == 400
    assert set(delays) <= {33, 34}


def test_gif_keeps_colors_and_the_speed(tmp_path, clip, count_color):
    scene = Scene([("clip", clip)])
    pictures, delays = frames_of(write_animation(tmp_path / "clip.gif", scene, fps=30))
    assert sum(delays) == 400
    assert set(delays) <= {30, 40}
    for read, drawn in zip(pictures, scene.images(), strict=True):
        assert np.abs(read.astype(int) - np.asarray(drawn)).mean() < 1
    drawn, read = (count_color(Image.fromarray(np.asarray(p)), RIGHT, near=30) for p in (scene.image(11), pictures[11]))
    assert read == pytest.approx(drawn, rel=0.2)


def test_mp4_is_h264_with_its_index_first_and_one_image_per_frame(tmp_path, clip):
    from imageio_ffmpeg import count_frames_and_secs, read_frames

    scene = Scene([("clip", clip)])
    path = write_animation(tmp_path / "clip.mp4", scene, fps=25)
    assert count_frames_and_secs(path) == (12, pytest.approx(0.48, abs=0.05))
    reader = read_frames(path)
    about = next(reader)
    assert (about["codec"], about["pix_fmt"].partition("(")[0], about["source_size"]) == ("h264", "yuv420p", scene.size)
    first = np.frombuffer(next(reader), np.uint8).reshape(scene.size[1], scene.size[0], 3)
    assert np.abs(first.astype(int) - np.asarray(scene.image(0))).mean() < 3
    reader.close()
    head = path.read_bytes()[:4096]
    assert head.index(b"moov") < (head.index(b"mdat") if b"mdat" in head else len(head))


def test_a_browser_plays_the_video(window, tmp_path, clip):
    write_animation(tmp_path / "clip.mp4", Scene([("clip", clip)]))
    (tmp_path / "page.html").write_text('<video src="clip.mp4" muted preload="auto"></video>')
    page = window().page
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    width, length = page.evaluate("(v => [v.videoWidth, v.duration])(document.querySelector('video'))")
    assert (width, round(length, 2)) == (Scene([("clip", clip)]).size[0], 0.48)


def test_sides_have_their_colors_and_missing_hands_are_labeled(clip, count_color):
    before, after = (Scene([("clip", clip)]).image(moment) for moment in (2, 11))
    right_hand = (420, 50, 630, 260)
    assert count_color(before, RIGHT, box=right_hand) < 100 < count_color(after, RIGHT, box=right_hand)
    assert count_color(after, LEFT) > 200


def test_a_tether_to_the_other_arm_shows_a_wrong_flip(results, count_color):
    skeleton, moment = results["skeleton"], len(results["keypoint"]) // 2
    arms, hands = (skeleton.indices([f"{s}{end}" for s in ("right", "left")]) for end in ("_wrist", "_hand_wrist"))
    good = np.full_like(results["keypoint"], np.nan)
    good[:, [*arms, *hands]] = results["keypoint"][:, [*arms, *hands]]
    wrong = good.copy()
    wrong[:, hands] = good[:, hands[::-1]]
    drawn = [Scene([("clip", {**results, "keypoint": points})]).image(moment) for points in (good, wrong)]
    body = (0, 50, 420, 470)
    right, swapped = (sum(count_color(picture, c, box=body, near=60) for c in (RIGHT, LEFT)) for picture in drawn)
    assert swapped > 2 * right + 20


def test_stages_are_aligned_in_time(clip, stages):
    views = [ClipPlot.from_results(results) for _, results in stages]
    together = align_frames(views)
    assert together.shape == (12, 3)
    assert together[:, 0].tolist() == list(range(12))
    assert (np.diff(together, axis=0) >= 0).all()
    np.testing.assert_allclose(views[1].frame_inds[together[:, 1]], np.arange(12), atol=1.5)


def test_stages_are_in_rows_of_four_and_sizes_are_even(stages):
    one, three, five = (Scene(some).size for some in (stages[:1], stages, [*stages, *stages[:2]]))
    assert all(side % 2 == 0 for size in (one, three, five) for side in size)
    assert three[0] < five[0] <= 4 * 306
    assert five[1] > 1.5 * three[1]


def test_groups_centered_separately_have_separate_panels(results):
    (panels,) = Scene([("clip", CenterScale(per_group=True)(results))]).panels
    assert [panel.group.label for panel in panels] == ["arms", "face", "right hand", "left hand"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_clip_of_one_frame_without_points_is_written(tmp_path, suffix):
    empty = {"keypoint": np.full((1, 184, 3), np.nan), "skeleton": get_skeleton("karsl_184")}
    assert write_animation(tmp_path / f"clip{suffix}", Scene([("clip", empty)])).stat().st_size > 500


def test_speed_is_that_of_the_clip_else_the_corpus_else_25():
    assert frames_per_second({"fps": 30}, {"fps": 50}) == 30
    assert [frames_per_second({"fps": bad}, {}) for bad in (None, "x", float("nan"), -1, 1e9)] == [25, 25, 25, 25, 100]
    assert sum(delays_ms(1000, 29.97, unit=10)) == pytest.approx(33367, abs=10)
    assert min(delays_ms(10, 100, unit=10)) == 10


def test_unknown_suffix_is_rejected_without_leftovers(tmp_path, clip):
    with pytest.raises(ConfigError, match=r"suffix '.avi'; expected .gif, .webp, .mp4"):
        write_animation(tmp_path / "clip.avi", Scene([("clip", clip)]))
    assert list(tmp_path.iterdir()) == []


def test_missing_encoder_names_the_extra_without_leftovers(tmp_path, clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'karsl[video]'")):
        write_animation(tmp_path / "clip.mp4", Scene([("clip", clip)]))
    assert list(tmp_path.iterdir()) == []


def test_drawing_needs_neither_the_encoder_nor_matplotlib():
    code = "import sys, karsl.visualization.animation; print({'imageio_ffmpeg', 'matplotlib', 'cv2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
