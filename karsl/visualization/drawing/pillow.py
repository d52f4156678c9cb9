"""Pillow, or the extra that brings it."""

from __future__ import annotations

from karsl.errors import missing_extra

try:
    from PIL import Image, ImageDraw, ImageFont, features
except ImportError as error:  # pragma: no cover - the test environment has it
    raise missing_extra("viz", "Pillow") from error

__all__ = ["Image", "ImageDraw", "ImageFont", "features"]
