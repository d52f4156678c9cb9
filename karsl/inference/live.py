"""Frames of a video or camera, their keypoints, and the decisions about them, one frame at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from karsl.extract.base import Extractor
from karsl.inference.streaming import Decision, StreamingRecognizer
from karsl.inference.video import frame_keypoints


@dataclass(frozen=True)
class LiveFrame:
    """A frame that was processed.

    Attributes:
        frame: Number of the frame.
        points: float32 (V, 4): x, y, z and score, zeros where missing.
        aspect: Width of the picture divided by its height.
        decision: Decision after this frame, or None.
        latency_s: Seconds from the decoded picture to its keypoints, and to the decision if there is one.
    """

    frame: int
    points: np.ndarray
    aspect: float
    decision: Decision | None
    latency_s: float


def classify_frames(images: Iterable[np.ndarray], extractor: Extractor, stream: StreamingRecognizer) -> Iterator[LiveFrame]:
    """Find the keypoints of each frame and classify the window that ends with it.

    Args:
        images: Frames, uint8 (height, width, 3), RGB.
        extractor: Extractor of keypoints.
        stream: Recognizer, for frames of the skeleton of its model.
    """
    for number, image in enumerate(images):
        start = time.perf_counter()
        (points,) = frame_keypoints([image], extractor, stream.recognizer.skeleton)
        decision = stream.push(points)
        yield LiveFrame(number, points, image.shape[1] / image.shape[0], decision, time.perf_counter() - start)
