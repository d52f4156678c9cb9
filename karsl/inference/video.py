"""Keypoints of videos to classify, by the extractors of `karsl extract`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError
from karsl.extract.base import Extractor, keypoint_mapping, make_extractor
from karsl.extract.clip import extract_keypoints, to_clip
from karsl.inference.clips import array_source
from karsl.io.sources import FunctionSource
from karsl.io.video import FrameReader, is_picture, is_video
from karsl.skeletons import Skeleton

_LOG_ERRORS = 2  # OpenCV's LOG_LEVEL_ERROR


def has_frames(path: Path) -> bool:
    """Return True for a video file, and for a folder that contains pictures."""
    if path.is_file():
        return is_video(path.name)
    return path.is_dir() and any(is_picture(entry.name) for entry in path.iterdir())


def open_extractor(skeleton: Skeleton, name: str = "holistic", **options: Any) -> Extractor:
    """Make an extractor of the keypoints of a skeleton; see `make_extractor`."""
    return make_extractor(name, wanted=skeleton.names, **options)


def video_source(path: Path, skeleton: Skeleton, extractor: Extractor) -> FunctionSource:
    """Extract the keypoints of a video, as `karsl extract` does.

    Args:
        path: Video file, or folder of pictures.
        skeleton: Skeleton of the clip; keypoints are matched by name.
        extractor: Extractor.

    Returns:
        A source of one clip, named as the file.

    Raises:
        CorruptRecordError: If it cannot be decoded.
        SkeletonError: If extractor and skeleton share no keypoint.
    """
    source = array_source([extract_keypoints(path, FrameReader(path), extractor, skeleton)], skeleton)
    source.records[0]["clip_id"] = path.stem
    return source


def camera_frames(number: int) -> Iterator[np.ndarray]:
    """Yield the frames of a camera as RGB, uint8 (height, width, 3).

    Raises:
        ConfigError: If there is no such camera, or OpenCV is built without cameras.
    """
    import cv2  # with MMEngine

    levels = getattr(cv2.utils, "logging", cv2)  # OpenCV 4.8 has the function at the top
    levels.setLogLevel(_LOG_ERRORS)  # else it warns of each absent backend
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise ConfigError(
                f"camera {number} cannot be opened; is it connected and not in use? A video file can be given, too"
            )
        while True:
            is_read, frame = camera.read()
            if not is_read:
                return
            yield np.ascontiguousarray(frame[..., ::-1])
    finally:
        camera.release()


def frame_keypoints(images: Iterable[np.ndarray], extractor: Extractor, skeleton: Skeleton) -> Iterator[np.ndarray]:
    """Yield the keypoints of frames one by one, float32 (V, 4)."""
    mapping = keypoint_mapping(extractor, skeleton)
    for image in images:
        yield to_clip(extractor(image[None]), mapping)[0]
