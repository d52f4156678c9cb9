"""TFLite networks in LiteRT, picture by picture on one thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np


def has_litert() -> bool:
    """Return True if ai-edge-litert is installed; it has no wheel for some systems."""
    return find_spec("ai_edge_litert") is not None


class LiteRTNetwork:
    """A TFLite network. The layout of arrays is that of the file, (N, height, width, channels).

    Args:
        content: Content of the file.

    Attributes:
        size: Side of the input in pixels.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _silent_stderr():
            self._interpreter = Interpreter(model_content=content, num_threads=1)
            self._interpreter.allocate_tensors()
        (details,) = self._interpreter.get_input_details()
        self._input, self.size = details["index"], int(details["shape"][1])
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the network on images, float32 (N, size, size, 3), and return its outputs."""
        results = [self._run(images[k : k + 1]) for k in range(len(images))]
        return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]

    def _run(self, image: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what C++ code writes to standard error: LiteRT prints a line per process that no option turns off."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
