"""Figure of confusion matrices for a paper: a vector or pixel graphic, one panel per model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError, missing_extra
from karsl.io.atomic import atomic_path

SUFFIXES = (".pdf", ".svg", ".png")
_NAMED = 100  # with more classes, names would be too small to read
_COUNTED = 25


def write_confusion_figure(
    path: Path, matrices: Sequence[np.ndarray], classes: Sequence[str], titles: Sequence[str] = ()
) -> None:
    """Write the confusion matrices of models as one figure, side by side.

    The color of a cell is the share of the clips of its true class. Up to 25 classes, cells contain their number of clips;
    up to 100, axes have the names of the classes, otherwise their labels. Fonts are embedded in PDF files; the text of SVG
    files can be edited.

    Args:
        path: File to write, `.pdf`, `.svg` or `.png`; equal input gives equal bytes.
        matrices: One int (K, K) per model, rows are true classes.
        classes: K names.
        titles: One per model; none if empty.

    Raises:
        ConfigError: If the suffix is another.
        MissingExtraError: If matplotlib is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"figure '{path}' is not one of {', '.join(SUFFIXES)}")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("viz", "matplotlib") from error
    side = 1.4 + max(2.0, 0.13 * min(len(classes), _NAMED))
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}[path.suffix]
    options: Any = {"font.size": 6, "pdf.fonttype": 42, "text.parse_math": False}
    options |= {"svg.fonttype": "none", "svg.hashsalt": "karsl"}
    with matplotlib.rc_context(options):
        figure = Figure(figsize=(side * len(matrices), side), layout="constrained")
        panels = figure.subplots(1, len(matrices), squeeze=False)[0]
        for number, (axes, matrix) in enumerate(zip(panels, matrices, strict=True)):
            image = _draw(axes, matrix, classes)
            if titles:
                axes.set_title(titles[number])
        figure.colorbar(image, ax=list(panels), shrink=0.7, label="share of the clips of the true class")
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], dpi=300, metadata=metadata)


def _draw(axes: Any, matrix: np.ndarray, classes: Sequence[str]) -> Any:
    """Draw one matrix and return its image, which a color bar needs."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(classes) <= _NAMED:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= _COUNTED:
        for row, column in np.argwhere(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=color)
    return image
