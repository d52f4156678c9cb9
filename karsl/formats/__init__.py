"""File formats of other projects: read, write, convert. Each module here registers its own with `@register_format`."""

from karsl.discovery import import_modules
from karsl.formats.base import FORMATS, Format, detect_format, get_format, register_format, writable_formats
from karsl.formats.convert import ConversionResult, convert, open_clips

__all__ = [
    "FORMATS",
    "ConversionResult",
    "Format",
    "convert",
    "detect_format",
    "get_format",
    "open_clips",
    "register_format",
    "writable_formats",
]

import_modules(__name__, __path__)
