"""Predictions as pictures in TensorBoard, on disk, or wherever MMEngine's backends write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.registry import VISUALIZERS
from karsl.visualization.log_visualizer import LogVisualizer


@VISUALIZERS.register_module()
class ClipVisualizer(LogVisualizer):
    """A visualizer for clips: losses and metrics go to the backends as always, clips as sheets that Pillow draws.

    `add_datasample` has the name and the order of arguments that visualizers of OpenMMLab have.
    """

    def add_datasample(
        self,
        name: str,
        image: Mapping[str, Any],
        data_sample: Mapping[str, Any] | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        *,
        classes: Sequence[str] | None = None,
        classes_ar: Sequence[str] | None = None,
        out_file: str | None = None,
        step: int = 0,
    ) -> None:
        """Draw a clip with its true and its predicted gloss, and hand the picture to every backend.

        Args:
            name: Under which backends keep it.
            image: Results of the clip, after LoadKeypoints and before packing.
            data_sample: As the model's `predict` gives it: `pred_label`, `pred_score` (K,) and `gt_label`.
            draw_gt, draw_pred: Which of the two to name.
            classes, classes_ar: Glosses by label; default those of `dataset_meta`.
            out_file: Also write the picture here.
            step: Of the run, for the backends.
        """
        from karsl.visualization.sheets.prediction import prediction_sheet  # needs Pillow, an extra; logs alone do not

        about = dict(self.dataset_meta or {})
        about |= {key: given for key, given in (("classes", classes), ("classes_ar", classes_ar)) if given is not None}
        truth = (data_sample or {}).get("gt_label") if draw_gt else None
        sheet = prediction_sheet(image, data_sample if draw_pred else None, metainfo=about, truth=truth)
        if out_file is not None:
            sheet.save(out_file)
        self.add_image(name, np.asarray(sheet), step)
