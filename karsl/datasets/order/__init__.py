"""Order of an epoch: permutations, partitions over ranks and workers, and resumable samplers."""

from karsl.datasets.order.samplers import (
    BaseSampler,
    BlockShuffleSampler,
    ClassBalancedSampler,
    LengthBucketSampler,
    ResumableSampler,
)

__all__ = ["BaseSampler", "BlockShuffleSampler", "ClassBalancedSampler", "LengthBucketSampler", "ResumableSampler"]
