"""Clips served to a browser on this machine: the list at once, each clip when it is looked at."""

from karsl.visualization.serve.server import ClipServer
from karsl.visualization.serve.shelf import Shelf

__all__ = ["ClipServer", "Shelf"]
