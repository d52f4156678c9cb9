"""Frames of a video or of a folder of pictures, with what is known about them and what is doubtful."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, first_line, missing_extra, pluralize
from karsl.io.file_list import visible_files

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_MAX_MISSING = 1.5  # frames by which the length of a container may exceed its frames
_MAX_STEP_RATIO = 1.5  # of the longest to the shortest step between frames of a constant rate, which is rounded


def natural_key(name: str) -> tuple[str | int, ...]:
    """Return a sort key that orders numbers in names by value.

    Example:
        >>> sorted(["f10.jpg", "f9.jpg", "f1.jpg"], key=natural_key)
        ['f1.jpg', 'f9.jpg', 'f10.jpg']
    """
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name))


def is_video(name: str) -> bool:
    """Return True if the name has the suffix of a video."""
    return name.lower().endswith(VIDEO_SUFFIXES)


def is_picture(name: str) -> bool:
    """Return True if the name has the suffix of a picture. Hidden files are none."""
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


@dataclass
class FrameReader:
    """Iterable over the frames of a video file, or of the pictures in a folder in natural order.

    Frames are upright: the rotation of a video's metadata and the EXIF orientation of pictures are applied.

    Args:
        path: Video file or folder.

    Attributes:
        num_frames: Number of frames that were read.
        fps: Average frames per second of the video, or None.
        img_shape: Height and width of the last frame in pixels.
        rotation: Rotation in degrees that was applied.
        doubts: Clauses about a video that may be cut off or of variable rate, and about pictures that do not fit together.

    All of them but the path are complete when the iteration ends.
    """

    path: Path
    num_frames: int = 0
    fps: float | None = None
    img_shape: tuple[int, int] | None = None
    rotation: int = 0
    doubts: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield each frame as RGB, uint8 (height, width, 3).

        Raises:
            CorruptRecordError: If the file is not a video, or a picture is damaged.
            FileNotFoundError: If there is no such file or folder.
            MissingExtraError: If PyAV or Pillow is not installed.
        """
        for frame in self._read_pictures() if self.path.is_dir() else self._read_video():
            self.num_frames += 1
            self.img_shape = (frame.shape[0], frame.shape[1])
            yield frame

    def _read_pictures(self) -> Iterator[np.ndarray]:
        try:
            from PIL import Image, ImageOps
        except ImportError as error:
            raise missing_extra("extract", "Pillow") from error
        names = sorted((path.name for path in visible_files(self.path) if is_picture(path.name)), key=natural_key)
        self._check_numbers(names)
        sizes = set()
        for name in names:
            try:
                with Image.open(self.path / name) as picture:
                    frame = np.array(ImageOps.exif_transpose(picture).convert("RGB"))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise CorruptRecordError(f"{self.path / name}: not a readable picture ({first_line(error)})") from error
            sizes.add(frame.shape[1::-1])
            yield frame
        if len(sizes) > 1:
            listed = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
            self.doubts.append(f"the pictures have {len(sizes)} sizes: {listed}")

    def _check_numbers(self, names: list[str]) -> None:
        """Report pictures that are missing or exist twice, by the last number in their names."""
        numbers = [int(found[-1]) for name in names if (found := re.findall(r"\d+", name.rpartition(".")[0]))]
        if len(numbers) == len(names):
            jump = next(((a, b) for a, b in pairwise(numbers) if b != a + 1), None)
            if jump:
                self.doubts.append(f"the numbers of the pictures are not consecutive: {jump[1]} follows {jump[0]}")

    def _read_video(self) -> Iterator[np.ndarray]:
        av = _import_av()
        if self.path.exists() and not self.path.is_file():  # opening a pipe could wait forever
            raise CorruptRecordError(f"{self.path}: a pipe, socket or device, not a video")
        times: list[float | None] = []
        try:
            with av.open(str(self.path)) as container:
                stream = _video_stream(container, self.path)
                stream.thread_count = 1  # one clip per process is faster than one clip on all cores
                self.fps = float(stream.average_rate) if stream.average_rate else None
                try:
                    for frame in container.decode(stream):
                        times.append(frame.time)
                        yield self._upright(frame)
                except av.FFmpegError as error:
                    if not times:
                        raise
                    self.doubts.append(
                        f"decoding stopped after {pluralize(len(times), 'frame')} ({error.strerror}): is the file cut off?"
                    )
                self._check_times(times, _duration(container, stream))
        except av.FFmpegError as error:
            if isinstance(error, (FileNotFoundError, PermissionError)):
                raise
            raise CorruptRecordError(f"{self.path}: not a readable video ({error.strerror})") from error

    def _upright(self, frame: Any) -> np.ndarray:
        rgb, self.rotation = frame.to_ndarray(format="rgb24"), int(frame.rotation) % 360
        return np.ascontiguousarray(np.rot90(rgb, self.rotation // 90)) if self.rotation else rgb

    def _check_times(self, times: list[float | None], duration: float | None) -> None:
        if self.fps is None:
            self.doubts.append("the file states no frame rate")
        elif duration and duration * self.fps - len(times) > _MAX_MISSING and not self.doubts:
            expected = f"{duration:.2f} s at {self.fps:.2f} fps are {duration * self.fps:.0f}"
            self.doubts.append(f"{pluralize(len(times), 'frame')}, but {expected}: is the file cut off?")
        steps = np.diff([time for time in times if time is not None])
        if len(steps) and steps.max() > _MAX_STEP_RATIO * steps.min():
            self.doubts.append(f"frames are {steps.min():.3f} to {steps.max():.3f} s apart: the frame rate is variable")


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise missing_extra("extract", "PyAV") from error
    return av


def _video_stream(container: Any, path: Path) -> Any:
    """Return the first video stream that is not the cover of an audio file."""
    cover = _import_av().stream.Disposition.attached_pic
    stream = next((stream for stream in container.streams.video if not stream.disposition & cover), None)
    if stream is None:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise CorruptRecordError(f"{path}: the file has no video stream, it contains {kinds}")
    return stream


def _duration(container: Any, stream: Any) -> float | None:
    """Return the length in seconds that the file states, or None."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration else None
