"""Frames of generated videos and pictures: exact counts, upright, in order, and what is doubtful about them."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.io.video import FrameReader, natural_key

av = pytest.importorskip("av", reason="PyAV is not installed: karsl[extract]")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: karsl[extract]")


def write_video(path, *, times=range(30), rotation: int = 0, codec: str = "mpeg4", size=(64, 32)):
    """A video of 25 frames per second whose frame k is gray of value 8 k; `times` in frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 25)
        for value, time in enumerate(times):
            gray = np.full((size[1], size[0], 3), 8 * value % 256, np.uint8)
            gray[: size[1] // 2, : size[0] // 2] = 255
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path) -> tuple[list[np.ndarray], FrameReader]:
    reader = FrameReader(path)
    return list(reader), reader


def test_every_frame_of_a_video_is_read_once_in_order(tmp_path):
    frames, reader = read(write_video(tmp_path / "a.mp4"))
    assert (len(frames), frames[0].shape, frames[0].dtype) == (30, (32, 64, 3), np.uint8)
    values = [int(frame[-4:].mean()) for frame in frames]
    assert np.abs(np.array(values) - 8 * np.arange(30)).max() <= 4
    assert (reader.num_frames, reader.fps, reader.img_shape, reader.doubts) == (30, 25.0, (32, 64), [])


def test_a_variable_frame_rate_is_a_doubt_and_no_frame_is_invented(tmp_path):
    frames, reader = read(write_video(tmp_path / "a.mkv", times=[0, 1, 2, 5, 6, 9]))
    assert len(frames) == 6
    assert [doubt for doubt in reader.doubts if "0.040 to 0.120 s apart: the frame rate is variable" in doubt]


def test_a_file_that_was_cut_off_is_a_doubt(tmp_path):
    path = write_video(tmp_path / "a.avi", times=range(200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, reader = read(path)
    assert 20 < len(frames) < 200
    assert any("cut off" in doubt for doubt in reader.doubts)


def test_a_rotated_video_is_turned_upright(tmp_path):
    """The rotation of a phone is in the matrix of the track's header, which PyAV does not write."""
    path = write_video(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # 16.16 numbers, the third of each row 2.30
    content[matrix : matrix + 36] = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 32 << 16, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(content)
    frames, reader = read(path)
    assert (frames[0].shape, reader.rotation) == ((64, 32, 3), 270)
    assert frames[0][:32, 16:].mean() > 250  # the upper left quarter went to the upper right


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "not a readable video"), (b"no video", "not a readable video"), (None, "no video stream, it contains audio")],
)
def test_a_file_without_pictures_is_one_sentence(tmp_path, content, text):
    path = tmp_path / "a.mp4"
    if content is None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=8000)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            silence.rate = 8000
            container.mux(stream.encode(silence))
            container.mux(stream.encode(None))
    else:
        path.write_bytes(content)
    with pytest.raises(CorruptRecordError, match=text) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "a.mp4")


def test_numbers_in_names_are_ordered_by_value_in_any_script():
    assert sorted(["f10.jpg", "f9.jpg", "f².jpg", "f٣.jpg"], key=natural_key) == [
        "f٣.jpg", "f9.jpg", "f10.jpg", "f².jpg",
    ]  # fmt: skip


def test_pictures_are_upright_rgb_in_natural_order(tmp_path):
    for number in (10, 9, 11):
        Image.new("L", (4, 2), number).save(tmp_path / f"f_{number}.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._f_9.png").touch()
    frames, reader = read(tmp_path)
    assert [frame[0, 0].tolist() for frame in frames] == [[9] * 3, [10] * 3, [11] * 3]
    assert (reader.num_frames, reader.fps, reader.img_shape, reader.doubts) == (3, None, (2, 4), [])
    assert frames[0].flags.writeable


def test_the_exif_orientation_of_a_picture_is_applied(tmp_path):
    picture = Image.new("RGB", (16, 8))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    picture.save(tmp_path / "1.jpg", exif=exif)
    (frame,), _ = read(tmp_path)
    assert frame.shape == (16, 8, 3)


def test_pictures_of_several_sizes_and_missing_numbers_are_doubts(tmp_path):
    for number, size in ((1, (4, 2)), (2, (8, 2)), (4, (4, 2))):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    frames, reader = read(tmp_path)
    assert len(frames) == 3
    assert reader.doubts == [
        "the numbers of the pictures are not consecutive: 4 follows 2",
        "the pictures have 2 sizes: 4x2, 8x2",
    ]


def test_a_damaged_picture_is_one_sentence(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(CorruptRecordError, match="2.png: not a readable picture"):
        read(tmp_path)


def test_a_pipe_is_not_opened_and_pipes_and_links_without_a_target_are_no_pictures(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(CorruptRecordError, match="a.mp4: a pipe, socket or device, not a video"):
        read(tmp_path / "a.mp4")
    (tmp_path / "clip").mkdir()
    os.mkfifo(tmp_path / "clip" / "0.png")
    (tmp_path / "clip" / "1.png").symlink_to("gone")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "clip" / "2.png")
    assert len(read(tmp_path / "clip")[0]) == 1
