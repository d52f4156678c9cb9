"""Clips in notebooks: a moving picture that the notebook keeps, without a script, a file or a server.

    from karsl.visualization import show
    show(dataset)                  # six clips of it
    show(dataset, 7, mode="concat")
    show(results)                  # a results dict of a pipeline

`%load_ext karsl.visualization` makes a dataset show itself where a cell ends with it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from karsl.visualization.animation.files import encode_webp
from karsl.visualization.animation.scene import Scene
from karsl.visualization.animation.timeline import frames_per_second
from karsl.visualization.clips.choice import choose_clips, shown_stages
from karsl.visualization.sheets.overview import overview_sheet

_IN_OVERVIEW = 6


class Shown:
    """A picture with its description, as notebooks ask for it.

    Attributes:
        data: Bytes of the picture.
        kind: Its media type.
        text: What it shows, for who cannot see it.
    """

    def __init__(self, data: bytes, kind: str, text: str) -> None:
        self.data, self.kind, self.text = data, kind, text

    def _repr_html_(self) -> str:
        source = f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"
        return f'<img src="{source}" alt="{escape(self.text)}" style="max-width:100%;background:#fff">'

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def save(self, path: str | Path) -> Path:
        """Write the picture to a file."""
        path = Path(path)
        path.write_bytes(self.data)
        return path


def show(
    clips: Any,
    index: int | Sequence[int] | None = None,
    *,
    mode: str = "original",
    draws: int = 1,
    metainfo: Mapping[str, Any] | None = None,
) -> Shown:
    """Show a clip as a moving picture, or several as a sheet.

    Args:
        clips: Results after LoadKeypoints or later; or a dataset, wrapped in any way; or a path as `open_clips` takes it.
        index: Which clip of a dataset; several make a sheet; None spreads six over it.
        mode, draws: What is shown of one clip, see `shown_stages`.
        metainfo: For glosses of a results dict; a dataset has its own.

    Returns:
        What a notebook shows where a cell ends with it.

    Raises:
        ConfigError: There is no such clip, or nothing to draw.

    Example:
        >>> import numpy as np
        >>> from karsl.skeletons import get_skeleton
        >>> show({"keypoint": np.zeros((2, 184, 3)), "skeleton": get_skeleton("karsl_184"), "clip_id": "a"})
        <clip a, 2 frames>
    """
    if isinstance(clips, Mapping):
        return _moving([("clip", clips)], metainfo or {})
    if isinstance(clips, (str, Path)):
        from karsl.visualization.clips.opening import open_clips

        clips = open_clips(clips)
    if isinstance(index, int):
        (place,) = choose_clips(clips, count=1, indices=[index])
        stages, more = shown_stages(place, mode, draws=draws)
        return _moving([*stages, *more], place.metainfo, place.record)
    places = choose_clips(clips, count=_IN_OVERVIEW, indices=index or ())
    loaded = [shown_stages(place, "original")[0][0][1] for place in places]
    text = f"{len(places)} of {len(clips)} clips"
    return _still(overview_sheet(loaded, metainfo=[place.metainfo for place in places], title=text), text)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext karsl.visualization`: datasets and results of `stages` show themselves."""
    from karsl.datasets import KeypointDataset

    html = shell.display_formatter.formatters["text/html"]
    html.for_type(KeypointDataset, lambda dataset: show(dataset)._repr_html_())


def _moving(stages: list[tuple[str, Mapping]], metainfo: Mapping, record: Mapping | None = None) -> Shown:
    scene = Scene(stages, metainfo=metainfo)
    first = scene.clips[0]
    text = ", ".join(filter(None, (f"clip {first.title or first.clip_id}".strip(), first.arabic, first.facts)))
    return Shown(encode_webp(scene, frames_per_second(record or stages[0][1], metainfo)), "image/webp", text)


def _still(image: Any, text: str) -> Shown:
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return Shown(buffer.getvalue(), "image/png", text)
