"""Predicted clips as images in a training run, through the visualization backends of MMEngine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from karsl.errors import ConfigError, missing_extra
from karsl.registry import HOOKS, VISUALIZERS
from karsl.visualization.clips.select import clip_stages, select_clips
from karsl.visualization.clips.sources import SampleClips


@HOOKS.register_module()
class VisualizationHook(Hook):
    """Draw validation and test clips with their predictions, wrong ones first.

    A clip of a karsl dataset or dataset wrapper is read again and drawn as it is on disk. The samples of MMEngine wrappers
    do not identify their clip: they are drawn as the model received them. Only the main process draws. The images go to the
    visualizer of the runner, which may be any of MMEngine's.

    Args:
        interval: Number of iterations between drawings.
        clips: Number of clips per drawing.
        max_clips: Maximum number of clips per evaluation.
        on_test: Also draw during testing.

    Raises:
        ConfigError: If a number is less than 1.

    Example:
        >>> from karsl.registry import HOOKS
        >>> hook = HOOKS.build(dict(type="VisualizationHook", interval=50, clips=2))
        >>> hook.interval, hook.max_clips
        (50, 12)
    """

    priority = "LOW"

    def __init__(self, interval: int = 10, clips: int = 2, *, max_clips: int = 12, on_test: bool = True) -> None:
        for name, value in (("interval", interval), ("clips", clips), ("max_clips", max_clips)):
            if value < 1:
                raise ConfigError(f"VisualizationHook: {name}={value!r}; expected at least 1")
        self.interval, self.clips, self.max_clips, self.on_test = interval, clips, max_clips, on_test
        self._num_drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        self._num_drawn = 0

    before_test_epoch = before_val_epoch

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw every `interval` iterations."""
        if batch_idx % self.interval == 0:
            self._draw(runner, "val", runner.val_dataloader.dataset, data_batch, outputs or ())

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw every `interval` iterations."""
        if self.on_test and batch_idx % self.interval == 0:
            self._draw(runner, "test", runner.test_dataloader.dataset, data_batch, outputs or ())

    def _draw(self, runner: Runner, phase: str, dataset: Any, batch: Any, outputs: Sequence[Any]) -> None:
        if runner.rank != 0:
            return
        from karsl.visualization.clip_sheets import prediction_sheet  # requires Pillow, an optional dependency

        predicted = [(k, o) for k, o in enumerate(outputs) if isinstance(o, Mapping) and o.get("pred_label") is not None]
        predicted.sort(key=lambda pair: pair[1]["pred_label"] == pair[1].get("gt_label"))
        metainfo = getattr(dataset, "metainfo", None) or {}
        for row, output in predicted[: max(0, min(self.clips, self.max_clips - self._num_drawn))]:
            clip = _load_clip(dataset, output) or _unpack_clip(dataset, batch, row)
            if clip is not None:
                sheet = prediction_sheet(clip, output, metainfo=metainfo, truth=output.get("gt_label"))
                self._num_drawn += 1
                runner.visualizer.add_image(f"{phase}_clip_{self._num_drawn:02d}", np.asarray(sheet), runner.iter)


class _NoFigure:
    """Placeholder for the figure until an image is drawn."""

    def get_dpi(self) -> float:
        return 100.0  # matplotlib's default


@VISUALIZERS.register_module()
class LogVisualizer(Visualizer):
    """Write losses, metrics and the config through the backends; create a figure only when an image is drawn.

    MMEngine's Visualizer creates a matplotlib figure when the Runner is built, so training would require matplotlib.
    """

    fig_save: Any

    def _initialize_fig(self, fig_cfg: dict) -> tuple[Any, Any, Any]:
        return None, _NoFigure(), None

    def set_image(self, image: np.ndarray) -> None:
        """Set the image to draw on.

        Args:
            image: uint8 (H, W, 3) or (H, W).

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        if isinstance(self.fig_save, _NoFigure):
            try:
                self.fig_save_canvas, self.fig_save, self.ax_save = super()._initialize_fig(self.fig_save_cfg)
            except ModuleNotFoundError as error:
                raise missing_extra("viz", "matplotlib") from error
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)


@VISUALIZERS.register_module()
class ClipVisualizer(LogVisualizer):
    """Visualizer for clips: logs go to the backends unchanged, clips as sheets drawn with Pillow.

    `add_datasample` has the same arguments as in the visualizers of OpenMMLab.
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
        """Draw a clip with its true and predicted gloss, and pass the image to every backend.

        Args:
            name: Name of the image in the backends.
            image: Results of the clip, after LoadKeypoints and before packing.
            data_sample: Result of the model's `predict`: `pred_label`, `pred_score` (K,) and `gt_label`.
            draw_gt, draw_pred: Whether to show the true and the predicted gloss.
            classes, classes_ar: Glosses by label. None uses those of `dataset_meta`.
            out_file: Path to also write the image to.
            step: Step of the run, for the backends.
        """
        from karsl.visualization.clip_sheets import prediction_sheet  # requires Pillow, an optional dependency

        metainfo = dict(self.dataset_meta or {})
        metainfo |= {k: v for k, v in (("classes", classes), ("classes_ar", classes_ar)) if v is not None}
        truth = (data_sample or {}).get("gt_label") if draw_gt else None
        sheet = prediction_sheet(image, data_sample if draw_pred else None, metainfo=metainfo, truth=truth)
        if out_file is not None:
            sheet.save(out_file)
        self.add_image(name, np.asarray(sheet), step)


def _load_clip(dataset: Any, output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Load the clip of a sample, if `sample_idx` is an index of this dataset: karsl datasets and wrappers."""
    if output.get("sample_idx") is None or not (hasattr(dataset, "stages") or hasattr(dataset, "transparent")):
        return None
    (clip,) = select_clips(dataset, count=1, indices=[int(output["sample_idx"])])
    return clip_stages(clip)[0][1]


def _unpack_clip(dataset: Any, batch: Any, row: int) -> Mapping[str, Any] | None:
    """Return the clip in a row of the batch; None if the batch has no points, such as a plan for the GPU."""
    if not isinstance(batch, Mapping) or "inputs" not in batch:
        return None
    sample = {key: batch[key][row] for key in ("inputs", "keypoint_mask") if key in batch}
    skeleton = getattr(dataset, "output_skeleton", None)
    try:
        return SampleClips([sample], getattr(dataset, "metainfo", None) or {}, skeleton).stages(0)[0][1]
    except ConfigError:  # selected keypoints of an unknown skeleton
        return None
