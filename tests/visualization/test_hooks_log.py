"""LogVisualizer: logs without matplotlib."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from karsl.errors import MissingExtraError
from karsl.visualization import LogVisualizer


def test_training_imports_neither_matplotlib_nor_pillow():
    code = (
        "import sys; from karsl.visualization import LogVisualizer; LogVisualizer();"
        "print({'matplotlib', 'PIL'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_drawing_works_or_names_the_extra():
    visualizer, image = LogVisualizer(), np.zeros((4, 6, 3), np.uint8)
    if find_spec("matplotlib"):
        visualizer.set_image(image)
        assert visualizer.get_image().shape == image.shape
    else:
        with pytest.raises(MissingExtraError, match=r"karsl\[viz\]"):
            visualizer.set_image(image)
