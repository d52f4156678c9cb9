"""Every transform that a batch can defer, in its kinds: what property tests chain."""

from __future__ import annotations

from karsl.datasets.transforms import (
    CenterScale,
    FrameDropout,
    KeypointDropout,
    LegacyTSNSampleFrames,
    PadTo,
    RandomAffine,
    RandomFlip,
    RandomResample,
    SelectKeypoints,
    TSNSampleFrames,
    UniformSampleFrames,
)

DEFERRED_STEPS = [
    lambda: TSNSampleFrames(5),
    lambda: TSNSampleFrames(7, 0.9),
    lambda: TSNSampleFrames(4, 0.5, mode="nearest"),
    lambda: LegacyTSNSampleFrames(6),
    lambda: LegacyTSNSampleFrames(2, 1.0),
    lambda: UniformSampleFrames(6),
    lambda: PadTo(6),
    lambda: PadTo(4, mode="loop", crop="random"),
    lambda: PadTo(9, mode="repeat", crop="start"),
    lambda: RandomResample((0.5, 2.0)),
    lambda: RandomFlip(0.5),
    lambda: RandomAffine(),
    lambda: RandomAffine((-90, 90), (0.5, 2), shift=(-1, 1), per_group=True),
    lambda: CenterScale(),
    lambda: CenterScale(per_group=True),
    lambda: KeypointDropout(0.3),
    lambda: KeypointDropout(0.5, level="group"),
    lambda: FrameDropout(0.4),
    lambda: SelectKeypoints(["pose", "rh", "lh"]),
    lambda: SelectKeypoints(skeleton="karsl_184", allow_missing=True),
]
