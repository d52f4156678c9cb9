"""MMEngine's Visualizer without matplotlib at start."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.visualization import Visualizer

from karsl.errors import missing_extra
from karsl.registry import VISUALIZERS


class _NoFigure:
    """Stands for the figure until something is drawn."""

    def get_dpi(self) -> float:
        return 100.0  # matplotlib's default


@VISUALIZERS.register_module()
class LogVisualizer(Visualizer):
    """Write losses, metrics and the config through the backends; make a figure only when an image is drawn.

    MMEngine's Visualizer opens a matplotlib figure when the Runner is built, so training would need matplotlib.
    All else is inherited.
    """

    fig_save: Any

    def _initialize_fig(self, fig_cfg: dict) -> tuple[Any, Any, Any]:
        return None, _NoFigure(), None

    def set_image(self, image: np.ndarray) -> None:
        """Draw on an image from here on.

        Args:
            image: uint8 (H, W, 3) or (H, W).

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        if isinstance(self.fig_save, _NoFigure):
            try:
                self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(self.fig_save_cfg)
            except ModuleNotFoundError as error:
                raise missing_extra("viz", "matplotlib") from error
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)
