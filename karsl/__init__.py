"""karsl: a dataset toolkit for sign-language keypoints, in the MMEngine way."""

from karsl.version import __version__

__all__ = ["__version__"]
