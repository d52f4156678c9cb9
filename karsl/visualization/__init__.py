"""Pictures of clips: contact sheets on Pillow, without a display, cv2 or matplotlib.

Names are imported when they are asked for: looking up a visualizer in the registry must not need Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "clip_sheet": "sheets.one_clip",
    "pipeline_sheet": "sheets.one_clip",
    "sign_sheet": "sheets.per_sign",
    "overview_sheet": "sheets.overview",
    "arabic_problem": "drawing.fonts",
    "show": "notebook",
    "load_ipython_extension": "notebook",
    "write_animation": "animation",
    "write_page": "page",
    "ClipHook": "hook",
    "ClipVisualizer": "visualizer",
    "LogVisualizer": "log_visualizer",
    "ClipView": "drawing.clip",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
