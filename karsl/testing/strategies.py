"""Hypothesis strategies for clips and skeletons, and the transforms that batches can defer, for property tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.transforms import (
    CenterScale,
    FillMissing,
    FrameDropout,
    KeypointDropout,
    LegacyTSNSampleFrames,
    PadTo,
    RandomAffine,
    RandomFlip,
    RandomGaussianNoise,
    RandomResample,
    ResampleFPS,
    SelectKeypoints,
    SkeletonFeatures,
    SmoothKeypoints,
    TSNSampleFrames,
    UniformSampleFrames,
)
from karsl.errors import missing_extra
from karsl.skeletons import Skeleton, get_skeleton

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

MISSING = ("none", "scattered", "other frames", "group", "whole frames", "all")
_GRID = 1024  # coordinates are multiples of 1 / 1024, whose sums and mirrors are exact in float32

DEFERRED_TRANSFORMS = [
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
    lambda: RandomGaussianNoise(0.01),
    lambda: FillMissing(value=0.25),
    lambda: FillMissing("previous"),
    lambda: FillMissing("linear", value=-1.0),
    lambda: SmoothKeypoints(3),
    lambda: ResampleFPS(12, source_fps=25),
    lambda: SkeletonFeatures("bone", output="keypoint"),
    lambda: SkeletonFeatures("bone_motion", output="keypoint"),
]
"""Factories of every transform that a batch can defer, in several configurations."""


def _hypothesis() -> Any:
    try:
        from hypothesis import strategies
    except ImportError:
        raise missing_extra("test", "hypothesis") from None
    return strategies


def missing_mask(pattern: str, num_frames: int, skeleton: Skeleton, *, seed: int = 0) -> np.ndarray:
    """Return bool (T, V), True for missing points.

    Args:
        pattern: One of `MISSING`, as in the output of detectors. `'other frames'` removes a group in every second frame,
            `'group'` in all frames, `'whole frames'` all points in some frames.
        num_frames: Number of frames, T.
        skeleton: Skeleton with V keypoints.
        seed: Seed of the points, group or frames.

    Example:
        >>> missing_mask("other frames", 4, get_skeleton("karsl_184"))[:, 0].tolist()
        [False, True, False, True]
    """
    rng, missing = np.random.default_rng(seed), np.zeros((num_frames, skeleton.num_keypoints), bool)
    group = list(skeleton.groups.values())[seed % len(skeleton.groups)]
    if pattern == "scattered":
        missing[:] = rng.random(missing.shape) < 0.4
    elif pattern == "other frames":
        missing[1::2, group] = True
    elif pattern == "group":
        missing[:, group] = True
    elif pattern == "whole frames":
        missing[rng.random(num_frames) < 0.5] = True
    elif pattern == "all":
        missing[:] = True
    return missing


def clips(
    skeleton: str | Skeleton = "karsl_184", *, min_frames: int = 1, max_frames: int = 12
) -> SearchStrategy[dict[str, Any]]:
    """Strategy for the results of LoadKeypoints, with any length, pattern of missing points and key; arrays are read-only.

    Args:
        skeleton: Skeleton with V keypoints.
        min_frames: Minimum T.
        max_frames: Maximum T.

    Returns:
        Dicts with `keypoint` float32 (T, V, 3) in [0, 1], NaN if missing; `keypoint_score` float32 (T, V), 0 if
        missing; `num_frames`, `total_frames`, `skeleton`, `sample_key`, `clip_id`, `label`, `sample_idx`.

    Raises:
        MissingExtraError: If hypothesis is not installed.

    Example:
        >>> from hypothesis import given, settings
        >>> @settings(deadline=None)
        ... @given(clips("msl_226"))
        ... def check(clip):
        ...     assert clip["keypoint"].shape == (clip["num_frames"], 67, 3)
        >>> check()
    """
    st, layout = _hypothesis(), get_skeleton(skeleton)

    @st.composite
    def build(draw: DrawFn) -> dict[str, Any]:
        frames = draw(st.integers(min_frames, max_frames), label="frames")
        pattern = draw(st.sampled_from(MISSING), label="missing")
        seed = draw(st.integers(0, 2**32 - 1), label="seed")
        return make_clip(frames, layout, missing=pattern, seed=seed)

    return build()


def make_clip(num_frames: int, skeleton: str | Skeleton = "karsl_184", *, missing: str = "none", seed: int = 0) -> dict:
    """Create one clip of `clips`.

    Example:
        >>> float(make_clip(7, missing="all")["keypoint_score"].max())
        0.0
    """
    skeleton, rng = get_skeleton(skeleton), np.random.default_rng(seed)
    shape = num_frames, skeleton.num_keypoints
    absent = missing_mask(missing, num_frames, skeleton, seed=seed)
    keypoint = rng.integers(0, _GRID + 1, (*shape, 3)).astype(np.float32) / np.float32(_GRID)
    score = rng.integers(1, _GRID + 1, shape).astype(np.float32) / np.float32(_GRID)
    keypoint[absent], score[absent] = np.nan, 0
    keypoint.flags.writeable = score.flags.writeable = False
    return {
        "keypoint": keypoint,
        "keypoint_score": score,
        "num_frames": num_frames,
        "total_frames": num_frames,
        "skeleton": skeleton,
        "sample_key": np.uint64(seed),
        "clip_id": f"{missing}-{num_frames}-{seed}",
        "label": seed % 5,
        "sample_idx": seed % 100,
    }


def skeletons(*, max_pairs: int = 4) -> SearchStrategy[Skeleton]:
    """Strategy for small skeletons in which every left point has a right one, in any order and groups.

    Raises:
        MissingExtraError: If hypothesis is not installed.
    """
    st = _hypothesis()

    @st.composite
    def build(draw: DrawFn) -> Skeleton:
        pairs, middle = draw(st.integers(0, max_pairs)), draw(st.integers(1, 3))
        names = [f"{side}_{k}" for k in range(pairs) for side in ("left", "right")] + [f"mid_{k}" for k in range(middle)]
        order = draw(st.permutations(names))
        cut = draw(st.integers(1, len(order)))
        parts = (("first", tuple(order[:cut])), ("second", tuple(order[cut:])))
        return Skeleton(f"drawn_{len(order)}", tuple(p for p in parts if p[1]))

    return build()
