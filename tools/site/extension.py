"""Extension of griffe, loaded by the settings of the site."""

from __future__ import annotations

from typing import Any

import griffe

from tools.site.docstrings import normalized


class Sections(griffe.Extension):
    """Change docstrings when griffe has read them."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = normalized(obj.docstring.value)
