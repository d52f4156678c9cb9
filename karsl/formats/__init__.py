"""Interchange: clips read from and written to the forms that other projects use, by names of keypoints."""

from karsl.storage.clip_source import Clips, ClipSource
from karsl.storage.convert.form import Form
from karsl.storage.convert.forms import FORMS
from karsl.storage.convert.open import open_source
from karsl.storage.convert.write import Conversion, convert_clips, written_forms

__all__ = ["FORMS", "ClipSource", "Clips", "Conversion", "Form", "convert_clips", "open_source", "written_forms"]
