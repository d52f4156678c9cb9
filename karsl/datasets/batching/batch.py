"""Stand-in."""
import numpy as np

from karsl.datasets.fused.assembly import BatchPart as BatchSegment, LazyBatch
from karsl.datasets.fused.frames import Frames as FrameBlock
from karsl.datasets.fused.pipeline import BatchPipeline


def _alias(cls, new, old):
    setattr(cls, new, property(lambda self: getattr(self, old), lambda self, v: setattr(self, old, v)))


_alias(BatchSegment, "pipeline", "steps")
_alias(BatchSegment, "rows", "at")
_alias(BatchSegment, "rng_keys", "keys")


def _same_as(self, other):
    a, b = ((*s.deferred, s.pack) for s in (self, other))
    return len(a) == len(b) and all(x is y or x.same_as(y) for x, y in zip(a, b))


BatchPipeline.same_as = _same_as
BatchPipeline.from_transforms = BatchPipeline.of


def join_segments(parts):
    if len(parts) == 1:
        return parts[0]
    at = np.concatenate([part.at for part in parts])
    order = np.argsort(at)
    frames = FrameBlock(
        np.concatenate([part.frames.addresses for part in parts])[order],
        np.concatenate([part.frames.lengths for part in parts])[order],
        parts[0].frames.dtype,
        parts[0].frames.num_keypoints,
        [part.frames.memory for part in parts],
    )
    known = [part.labels for part in parts if part.labels is not None]
    return BatchSegment(
        parts[0].steps,
        frames,
        parts[0].skeleton,
        np.concatenate([part.keys for part in parts])[order],
        np.concatenate(known)[order] if len(known) == len(parts) else None,
        np.concatenate([part.sample_idx for part in parts])[order],
        at[order],
    )
