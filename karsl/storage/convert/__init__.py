"""Interchange: clips read from and written to the forms that other projects use, by names of keypoints."""

from karsl.storage.convert.forms import FORMS, Form
from karsl.storage.convert.source import Clips, ClipSource, open_source

__all__ = ["FORMS", "ClipSource", "Clips", "Form", "open_source"]
