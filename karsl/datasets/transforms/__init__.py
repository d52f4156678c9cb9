"""Transforms of a pipeline, registered in TRANSFORMS under their class names."""

from karsl.datasets.transforms.augment import FrameDropout, KeypointDropout
from karsl.datasets.transforms.base import ClipBatch, ClipMeta, KeypointTransform
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.transforms.geometry import RandomAffine, RandomFlip
from karsl.datasets.transforms.labels import EncodeGloss, MapLabels
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.datasets.transforms.noise import RandomGaussianNoise
from karsl.datasets.transforms.normalize import CenterScale, FillMissing
from karsl.datasets.transforms.resample import RandomResample, ResampleFPS
from karsl.datasets.transforms.sampling import LegacyTSNSampleFrames, PadTo, TSNSampleFrames, UniformSampleFrames
from karsl.datasets.transforms.select import SelectKeypoints
from karsl.datasets.transforms.smooth import SmoothKeypoints
from karsl.datasets.transforms.streams import SkeletonFeatures
from karsl.discovery import import_modules

__all__ = [
    "CenterScale",
    "ClipBatch",
    "ClipMeta",
    "EncodeGloss",
    "FillMissing",
    "FrameDropout",
    "KeypointDropout",
    "KeypointTransform",
    "LegacyTSNSampleFrames",
    "LoadKeypoints",
    "MapLabels",
    "PackKeypointInputs",
    "PadTo",
    "RandomAffine",
    "RandomFlip",
    "RandomGaussianNoise",
    "RandomResample",
    "ResampleFPS",
    "SelectKeypoints",
    "SkeletonFeatures",
    "SmoothKeypoints",
    "TSNSampleFrames",
    "UniformSampleFrames",
]

import_modules(__name__, __path__)
