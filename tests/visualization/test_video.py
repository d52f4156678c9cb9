"""Keypoints over the frames of their video: at the right place in sheets, animations and pages."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from karsl.cli.main import main
from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError
from karsl.skeletons import Skeleton
from karsl.visualization import clip_sheet
from karsl.visualization.clips.open import open_dataset
from karsl.visualization.draw.canvas import Canvas
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.page.clip import PageClip
from karsl.visualization.page.encode import encode_clip
from karsl.visualization.server import ClipServerState
from karsl.visualization.video import add_pictures

DOTS = Skeleton("dots", (("pose", ("nose", "left_wrist")),))


@pytest.fixture
def root(tmp_path):
    """Two clips of 3 frames of 64x32 in a folder of pictures, of which the second has 2 pictures only."""
    (tmp_path / "clips").mkdir()
    records = []
    for name, count in (("a", 3), ("b", 2)):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (64, 32), (0, 60 * number, 255)).save(tmp_path / "videos" / name / f"{number}.png")
        np.save(tmp_path / "clips" / f"{name}.npy", np.full((3, 184, 4), 0.5, np.float32))
        records.append(dict(clip_id=name, keypoint_path=f"clips/{name}.npy", num_frames=3, video=name, label=0))
    metainfo = {"skeleton": "karsl_184", "classes": ["hello"], "video_root": str(tmp_path / "videos")}
    (tmp_path / "annotations.json").write_text(json.dumps({"metainfo": metainfo, "data_list": records}))
    return tmp_path


def results(root, **record) -> dict:
    keypoint = np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]] * 3)
    loaded = {"keypoint": keypoint, "skeleton": DOTS, "clip_id": "a"}
    return add_pictures(loaded, {"video": "a", **record}, {"video_root": str(root / "videos")})


def test_a_wide_picture_stretches_the_points_to_its_proportions(root):
    clip = ClipPlot.from_results(results(root))
    assert len(clip.pictures) == 3
    assert clip.points[0].tolist() == [[0, 0], [2, 1]]


def test_a_picture_is_drawn_paler_in_its_rectangle_only():
    canvas = Canvas(40, 20)
    canvas.picture(np.zeros((4, 4, 3), np.uint8), 10, 0, 20, 20)
    image = canvas.finish()
    assert image.getpixel((20, 10)) == (76, 76, 76)
    assert image.getpixel((4, 10)) == image.getpixel((36, 10)) == (255, 255, 255)


def test_the_sheet_of_a_clip_shows_its_frames(root):
    with_video = np.asarray(clip_sheet(results(root)))
    without = np.asarray(clip_sheet({**results(root), "pictures": ()}))
    blue = (with_video[..., 2] > 200) & (with_video[..., 0] < 120)
    assert blue.mean() > 0.02
    assert ((without[..., 2] > 200) & (without[..., 0] < 120)).mean() < 0.002


def test_the_page_contains_each_frame_as_a_picture(root):
    payload = encode_clip(PageClip.from_stages([("LoadKeypoints", results(root))]))
    (stage,) = payload["stages"]
    assert len(stage["pictures"]) == 3
    head, data = stage["pictures"][1].split(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 32)


@pytest.mark.parametrize(
    ("record", "error", "text"),
    [
        (dict(video=None), DatasetNotFoundError, "its record names no video"),
        (dict(video="absent"), DatasetNotFoundError, "no video '.*absent'; name the folder of the videos with --video DIR"),
        (dict(video="b"), CorruptRecordError, "has 2 frames, the clip 3"),
    ],
)
def test_a_video_that_is_absent_or_another_is_one_sentence(root, record, error, text):
    with pytest.raises(error, match=text):
        results(root, **record)


def test_browse_shows_the_video_and_lists_clips_whose_video_does_not_fit(root, capsys):
    options = ["--video", "--not-show", "--output-dir", str(root / "out")]
    assert main(["browse", str(root), *options]) == 2
    assert "b: " in (err := capsys.readouterr().err)
    assert "has 2 frames, the clip 3" in err
    assert (root / "out" / "a.png").exists()
    assert main(["browse", str(root), *options, "--index", "0", "--format", "html"]) == 0
    assert "data:image/jpeg;base64" in (root / "out" / "browse.html").read_text()


def test_the_folder_of_the_videos_can_be_another_one(root, capsys):
    (root / "videos").rename(root / "moved")
    options = ["--not-show", "--output-dir", str(root / "out"), "--index", "0", "--format", "gif"]
    assert main(["browse", str(root), "--video", *options]) == 2
    assert "name the folder of the videos with --video DIR" in capsys.readouterr().err
    assert main(["browse", str(root), "--video", str(root / "moved"), *options]) == 0


def test_a_sampled_clip_is_not_drawn_over_the_video(root):
    from karsl.visualization.video import add_video

    with pytest.raises(ConfigError, match="omit --mode transformed"):
        add_video(None, [("TSNSampleFrames", {"frame_inds": [0.0]})])


def test_a_served_clip_has_the_frames_of_its_video(root):
    state = ClipServerState(open_dataset(root), video="")
    (stage,) = json.loads(state.clip("a"))["stages"]
    assert len(stage["pictures"]) == 3
    with pytest.raises(CorruptRecordError, match="has 2 frames, the clip 3"):
        state.clip("b")
