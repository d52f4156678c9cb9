"""File formats of other projects: read, write, convert. Each module here registers its own with `@register_format`."""

from importlib import import_module
from pkgutil import walk_packages

from karsl.formats.base import FORMATS, Format, detect_format, get_format, register_format, writable_formats
from karsl.formats.convert import ConversionResult, convert, open_clips

for _module in walk_packages(__path__, f"{__name__}."):
    import_module(_module.name)

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
