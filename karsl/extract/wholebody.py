"""The extractor `wholebody`: ONNX networks for COCO-WholeBody's 133 keypoints, such as RTMPose, RTMW and DWPose."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError, first_line, missing_extra
from karsl.extract.base import register_extractor
from karsl.extract.networks import digest
from karsl.extract.regions import Regions
from karsl.skeletons import get_skeleton

VERSION = 1  # increase when the numbers change: clips are then extracted again
_NAMES = get_skeleton("coco_wholebody_133").names
# Of RGB; source: data_preprocessor of mmpose's rtmpose-l_8xb32-270e_coco-wholebody-384x288.py
_MEAN, _STD = (np.array(v, np.float32) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))


@register_extractor("wholebody")
class WholeBodyExtractor:
    """Find 133 keypoints of one person with an ONNX network of two outputs, SimCC's distributions over x and over y.

    The whole picture is the box of the person. z is 0, and the score is the lower maximum of both distributions, at most 1.

    Args:
        models: ONNX file with one input (N, 3, height, width) and two outputs (N, 133, width * ratio) and (N, 133, height
            * ratio).
        device: `'cpu'`, or `'cuda'` with onnxruntime-gpu.
        wanted: Not used; all keypoints come from one network.
        min_score: Score below which a keypoint is missing.

    Raises:
        ConfigError: If there is no such file or it is another network.
        MissingExtraError: If onnxruntime is not installed.
    """

    names = _NAMES
    batch_size = 1  # exported networks may have a fixed batch

    def __init__(
        self, models: str | Path | None = None, device: str = "cpu", wanted: Sequence[str] = (), min_score: float = 0.3
    ) -> None:
        if models is None or not Path(models).is_file():
            raise ConfigError(
                f"extractor wholebody: no file {str(models)!r}; pass an ONNX network of 133 keypoints with --models FILE"
            )
        self._path, self._content, self.device, self.min_score = Path(models), Path(models).read_bytes(), device, min_score
        networks = {"wholebody": digest(self._content)[:16]}
        self.recipe: dict[str, Any] = {
            "name": "wholebody", "version": VERSION, "engine": "onnxruntime", "networks": networks, "min_score": min_score,
        }  # fmt: skip
        self._check_shapes()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Find the keypoints in images, uint8 (N, height, width, 3) RGB; float32 (N, 133, 4), NaN and score 0 if missing."""
        return np.stack([self._find(images[k : k + 1]) for k in range(len(images))])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_session"}

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra("onnx", "onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # worker processes fill the cores
        provider = "CPUExecutionProvider" if self.device == "cpu" else "CUDAExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise ConfigError(f"extractor wholebody: onnxruntime has no {provider} for {self.device!r}; use --device cpu")
        try:
            return onnxruntime.InferenceSession(self._content, options, providers=[provider])
        except Exception as error:  # onnxruntime has a class of error per cause, and no common base
            raise ConfigError(f"{self._path}: not a readable ONNX network ({first_line(error)})") from error

    def _check_shapes(self) -> None:
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shapes = [tuple(inputs[0].shape), *(tuple(output.shape) for output in outputs)]
        is_image = len(inputs) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3
        is_sized = is_image and all(isinstance(size, int) for size in shapes[0][2:])
        if not is_sized or len(outputs) != 2 or any(len(s) != 3 or s[1] != len(_NAMES) for s in shapes[1:]):
            raise ConfigError(
                f"{self._path}: input and outputs have shapes {shapes}, expected (N, 3, height, width) and "
                "(N, 133, bins) twice; export the network with SimCC outputs"
            )

    def _find(self, images: np.ndarray) -> np.ndarray:
        height, width = images.shape[1:3]
        rows, columns = self._session.get_inputs()[0].shape[2:]
        # the smallest box of the network's aspect ratio around the picture, cut out of a square with the same center
        scale, size = max(width / columns, height / rows), max(rows, columns)
        center = np.array([[width / 2, height / 2]])
        square = Regions(np.zeros(1, np.int64), center, np.array([scale * size]), np.zeros(1))
        top, left = (size - rows) // 2, (size - columns) // 2
        crop = square.crop(images, size, zeros=True)[:, top : top + rows, left : left + columns]
        tensor = np.ascontiguousarray(((crop * 255 - _MEAN) / _STD).transpose(0, 3, 1, 2))
        along_x, along_y = self._session.run(None, {self._session.get_inputs()[0].name: tensor})
        bins = np.stack([along_x[0].argmax(-1), along_y[0].argmax(-1)], axis=-1)
        pixels = bins * (columns, rows) / (along_x.shape[-1], along_y.shape[-1]) + (left, top)
        points = square.to_image(pixels[None] / size)[0] / (width, height)
        score = np.minimum(along_x[0].max(-1), along_y[0].max(-1)).clip(0, 1)
        found = np.concatenate([points, np.zeros((len(points), 1)), score[:, None]], axis=-1).astype(np.float32)
        found[score < self.min_score] = (np.nan, np.nan, np.nan, 0)
        return found
