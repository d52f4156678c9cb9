"""`StreamingRecognizer`: classify a stream of frames with a sliding window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from karsl.checks import check_int
from karsl.errors import ConfigError
from karsl.inference.recognizer import Prediction, Recognizer
from karsl.skeletons import Skeleton

_NO_SCORES = np.empty(0, np.float32)


@dataclass(frozen=True)
class Decision:
    """Result of a window.

    Attributes:
        frame: Number of the last frame, counted from 0.
        prediction: Smoothed scores.
        label: Class that is recognized; None if no score reaches the threshold, or the window has no keypoint.
        latency_s: Seconds from the arrival of the last frame to this decision.
    """

    frame: int
    prediction: Prediction
    label: int | None
    latency_s: float


class StreamingRecognizer:
    """Classify frames that arrive one at a time.

    Every `stride` frames, the last `window` frames are classified as one clip. Scores are smoothed over windows by an
    exponential average, which starts again after a window without any keypoint.

    Args:
        recognizer: Model.
        window: Number of frames per window. About the length of a sign in the training data is best.
        stride: Number of frames from one window to the next.
        min_frames: Number of frames with which the first, shorter window is classified. None is half a window.
        smoothing: Weight of earlier windows, in [0, 1); 0 does not smooth.
        threshold: Smallest smoothed score of a recognized class.
        skeleton: Skeleton of the frames. None is that of the model.

    Raises:
        ConfigError: If an argument is out of range.

    Example:
        >>> from karsl.inference import ModelDescription
        >>> from karsl.skeletons import get_skeleton
        >>> steps = [dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")]
        >>> model = ModelDescription(steps, get_skeleton("hand_42"), {"classes": ("hello", "thanks")})
        >>> recognizer = Recognizer(lambda batch: np.array([[0.25, 0.75]] * len(batch["inputs"]), np.float32), model)
        >>> stream = StreamingRecognizer(recognizer, window=4, stride=2, min_frames=2)
        >>> decisions = [stream.push(np.ones((42, 3))) for _ in range(4)]
        >>> [None if d is None else (d.frame, d.prediction.name, d.label) for d in decisions]
        [None, (1, 'thanks', 1), None, (3, 'thanks', 1)]
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        window: int = 60,
        stride: int = 5,
        min_frames: int | None = None,
        smoothing: float = 0.5,
        threshold: float = 0.5,
        skeleton: str | Mapping | Skeleton | None = None,
    ) -> None:
        min_frames = max(1, window // 2) if min_frames is None else min_frames
        check_int("StreamingRecognizer", low=1, window=window, stride=stride, min_frames=min_frames)
        if not (0 <= smoothing < 1 and 0 <= threshold <= 1 and min_frames <= window):
            raise ConfigError(
                f"StreamingRecognizer: smoothing={smoothing!r}, threshold={threshold!r}, min_frames={min_frames!r}; "
                f"expected [0, 1), [0, 1] and at most window={window}"
            )
        self.recognizer, self.stride, self.min_frames = recognizer, stride, min_frames
        self.smoothing, self.threshold, self.skeleton = smoothing, threshold, skeleton
        self._frames: deque[np.ndarray] = deque(maxlen=window)
        self._count, self._scores = 0, _NO_SCORES

    def reset(self) -> None:
        """Forget all frames and scores, as at the start of another stream."""
        self._frames.clear()
        self._count, self._scores = 0, _NO_SCORES

    def push(self, frame: np.ndarray) -> Decision | None:
        """Add a frame.

        Args:
            frame: (V, 3 or 4): x, y, z and score; zeros where missing.

        Returns:
            A decision at every `stride` frames, else None.

        Raises:
            CorruptRecordError, SkeletonError: If the frame does not fit the model, see `Recognizer`.
        """
        start = time.perf_counter()
        self._frames.append(np.asarray(frame, np.float32))
        self._count += 1
        if self._count < self.min_frames or (self._count - self.min_frames) % self.stride:
            return None
        prediction: Prediction = self.recognizer(np.stack(self._frames), skeleton=self.skeleton)
        is_empty = not any(points[..., :3].any() for points in self._frames)
        scores = prediction.scores
        if len(self._scores) and not is_empty:
            scores = self.smoothing * self._scores + (1 - self.smoothing) * scores
        self._scores = _NO_SCORES if is_empty else scores
        smoothed = Prediction(f"frame {self._count - 1}", scores.astype(np.float32), {}, prediction.metainfo)
        label = smoothed.label if not is_empty and scores.max() >= self.threshold else None
        return Decision(self._count - 1, smoothed, label, time.perf_counter() - start)
