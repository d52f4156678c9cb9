"""Draw a few clips of each validation with what the model took them for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from karsl.errors import ConfigError
from karsl.registry import HOOKS
from karsl.visualization.clips.choice import choose_clips, clip_stages
from karsl.visualization.clips.views import SampleView


@HOOKS.register_module()
class ClipHook(Hook):
    """Hand sheets of predicted clips to the runner's visualizer, any that MMEngine has.

    A clip of a dataset or combinator of ours is read again and drawn as it lies on disk; below a wrapper of MMEngine, whose
    samples do not tell where they come from, it is drawn as the model saw it. The main process draws, in validation and in
    testing; TensorBoard, a folder, or whatever backends are configured keep the pictures.

    Args:
        interval: Draw in every n-th iteration of an evaluation.
        clips: Of each such iteration, how many; wrong predictions go first.
        most: Pictures of one evaluation, at most.
        on_test: Also draw in testing.

    Raises:
        ConfigError: A number below 1.

    Example:
        >>> from karsl.registry import HOOKS
        >>> hook = HOOKS.build(dict(type="ClipHook", interval=50, clips=2))
        >>> hook.interval, hook.most
        (50, 12)
    """

    priority = "LOW"

    def __init__(self, interval: int = 10, clips: int = 2, *, most: int = 12, on_test: bool = True) -> None:
        for name, value in (("interval", interval), ("clips", clips), ("most", most)):
            if value < 1:
                raise ConfigError(f"ClipHook: {name}={value!r}; expected at least 1")
        self.interval, self.clips, self.most, self.on_test = interval, clips, most, on_test
        self._drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        self._drawn = 0

    before_test_epoch = before_val_epoch

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw, if it is this iteration's turn."""
        if batch_idx % self.interval == 0:
            self._draw(runner, "val", runner.val_dataloader.dataset, data_batch, outputs or ())

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw, if it is this iteration's turn."""
        if self.on_test and batch_idx % self.interval == 0:
            self._draw(runner, "test", runner.test_dataloader.dataset, data_batch, outputs or ())

    def _draw(self, runner: Runner, phase: str, dataset: Any, batch: Any, outputs: Sequence[Any]) -> None:
        if runner.rank != 0:
            return
        from karsl.visualization.sheets.prediction import prediction_sheet  # needs Pillow, an extra

        told = [(k, o) for k, o in enumerate(outputs) if isinstance(o, Mapping) and o.get("pred_label") is not None]
        told.sort(key=lambda pair: pair[1]["pred_label"] == pair[1].get("gt_label"))
        about = getattr(dataset, "metainfo", None) or {}
        for place, output in told[: max(0, min(self.clips, self.most - self._drawn))]:
            clip = _on_disk(dataset, output) or _as_seen(dataset, batch, place)
            if clip is not None:
                truth = output.get("gt_label")
                sheet = prediction_sheet(clip, output, metainfo=about, truth=None if truth is None else int(truth))
                self._drawn += 1
                runner.visualizer.add_image(f"{phase}_clip_{self._drawn:02d}", np.asarray(sheet), runner.iter)


def _on_disk(dataset: Any, output: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The clip as loaded, where a sample's number is its place in this dataset: ours and our combinators."""
    if output.get("sample_idx") is None or not (hasattr(dataset, "stages") or hasattr(dataset, "transparent")):
        return None
    (place,) = choose_clips(dataset, count=1, indices=[int(output["sample_idx"])])
    return clip_stages(place)[0][1]


def _as_seen(dataset: Any, batch: Any, place: int) -> Mapping[str, Any] | None:
    """The clip as it stands in the batch; None for a batch that holds no points, such as a plan for the GPU."""
    if not isinstance(batch, Mapping) or "inputs" not in batch:
        return None
    sample = {key: batch[key][place] for key in ("inputs", "keypoint_mask") if key in batch}
    skeleton = getattr(dataset, "output_skeleton", None)
    try:
        return SampleView([sample], getattr(dataset, "metainfo", None) or {}, skeleton).stages(0)[0][1]
    except ConfigError:  # a selection whose names nobody told
        return None
