"""Steps of a pipeline, one idea a file; each is registered in TRANSFORMS under its class name."""

from karsl.datasets.transforms.base import ClipMeta, KeypointTransform
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.transforms.geometry import RandomAffine, RandomFlip
from karsl.datasets.transforms.labels import EncodeGloss, MapLabels
from karsl.datasets.transforms.loading import LoadKeypoints
from karsl.datasets.transforms.masking import FrameDropout, GaussianJitter, KeypointDropout
from karsl.datasets.transforms.normalize import CenterScale, FillMissing
from karsl.datasets.transforms.sampling import TSNSampleFrames, UniformSampleFrames
from karsl.datasets.transforms.select import SelectKeypoints
from karsl.datasets.transforms.streams import SkeletonFeatures
from karsl.datasets.transforms.temporal import PadFrames, RandomSpeed

__all__ = [
    "CenterScale",
    "ClipMeta",
    "EncodeGloss",
    "FillMissing",
    "FrameDropout",
    "GaussianJitter",
    "KeypointDropout",
    "KeypointTransform",
    "LoadKeypoints",
    "MapLabels",
    "PackKeypointInputs",
    "PadFrames",
    "RandomAffine",
    "RandomFlip",
    "RandomSpeed",
    "SelectKeypoints",
    "SkeletonFeatures",
    "TSNSampleFrames",
    "UniformSampleFrames",
]
