"""Images, animations and pages of clips, drawn with Pillow, without a display, cv2 or matplotlib.

Names are imported on first access: looking up a visualizer in the registry must not require Pillow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "clip_sheet": "clip_sheets",
    "pipeline_sheet": "clip_sheets",
    "sign_sheet": "overview_sheets",
    "overview_sheet": "overview_sheets",
    "arabic_problem": "draw.canvas",
    "show": "notebook",
    "load_ipython_extension": "notebook",
    "write_animation": "animation",
    "write_page": "page",
    "VisualizationHook": "hooks",
    "ClipVisualizer": "hooks",
    "LogVisualizer": "hooks",
    "ClipPlot": "draw.clip",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
