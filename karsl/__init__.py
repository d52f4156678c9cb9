"""karsl: a dataset toolkit for sign-language keypoints, built on MMEngine."""

from karsl.version import __version__

__all__ = ["__version__"]
