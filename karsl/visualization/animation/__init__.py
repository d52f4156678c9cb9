"""Moving pictures of clips: GIF, lossless WebP, and H.264 video that browsers play."""

from karsl.visualization.animation.files import SUFFIXES, write_animation
from karsl.visualization.animation.scene import Scene
from karsl.visualization.animation.timeline import frames_per_second

__all__ = ["SUFFIXES", "Scene", "frames_per_second", "write_animation"]
