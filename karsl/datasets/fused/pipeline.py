"""Split a pipeline into the steps that a batch can defer and the steps that need one clip at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from karsl.datasets.fused.draws import CompiledDraw
from karsl.datasets.fused.frames import Frames
from karsl.datasets.fused.pending import PendingClips
from karsl.datasets.transforms.base import KeypointTransform
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.datasets.transforms.normalize import FillMissing
from karsl.skeletons import Skeleton


@dataclass(frozen=True)
class BatchPipeline:
    """A pipeline as load, deferred steps, and what is left.

    Attributes:
        load: Reads clips.
        deferred: Steps done in one pass.
        pack: The last step, if nothing is left between.
        rest: Steps from the first that cannot be deferred; they see one clip at a time.
    """

    load: LoadKeypoints
    deferred: tuple[KeypointTransform, ...]
    pack: PackKeypointInputs | None
    rest: tuple[Callable, ...]

    @classmethod
    def of(cls, steps: Sequence[Callable]) -> BatchPipeline | None:
        """Split the steps; None if they do not begin with LoadKeypoints itself."""
        if not steps or type(steps[0]) is not LoadKeypoints or not _is_plain(steps[0]):
            return None
        deferred: list[KeypointTransform] = []
        for step in steps[1:]:
            filled = bool(deferred) and isinstance(deferred[-1], FillMissing)
            if filled or not isinstance(step, KeypointTransform) or not step.can_defer():
                break
            deferred.append(step)
        rest = tuple(steps[1 + len(deferred) :])
        pack = rest[0] if len(rest) == 1 and type(rest[0]) is PackKeypointInputs and _is_plain(rest[0]) else None
        return cls(steps[0], tuple(deferred), pack, rest if pack is None else ())

    def pending(self, source: Frames, skeleton: Skeleton, keys: np.ndarray) -> PendingClips:
        """Note every deferred step.

        Args:
            source: N clips.
            skeleton: Theirs.
            keys: uint64 (N,), random keys of the samples.
        """
        clips = PendingClips(source, skeleton)
        for step in self.deferred:
            step.defer(clips, step.sample_params(clips.meta, CompiledDraw(keys, transform_id=step.transform_id)))
        return clips


def _is_plain(step: Callable) -> bool:
    """Whether a step's methods are those of its class."""
    return vars(step).keys() & vars(type(step)).keys() <= {"stream"}
