"""Clips in notebooks, as images embedded in the notebook, without scripts, files or a server.

    from karsl.visualization import show
    show(dataset)                  # six clips
    show(dataset, 7, mode="concat")
    show(results)                  # a results dict of a pipeline

After `%load_ext karsl.visualization`, a dataset at the end of a cell is displayed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from karsl.datasets import KeypointDataset
from karsl.errors import pluralize
from karsl.visualization.animation import Scene, encode_webp, frames_per_second
from karsl.visualization.clips.open import open_dataset
from karsl.visualization.clips.select import select_clips, shown_stages
from karsl.visualization.overview_sheets import overview_sheet

_OVERVIEW_CLIPS = 6


class NotebookImage:
    """An encoded image with a description, displayed by notebooks.

    Attributes:
        data: Encoded image.
        mime_type: MIME type of the image.
        text: Alternative text.
    """

    def __init__(self, data: bytes, mime_type: str, text: str) -> None:
        self.data, self.mime_type, self.text = data, mime_type, text

    def _repr_html_(self) -> str:
        source = f"data:{self.mime_type};base64,{base64.b64encode(self.data).decode()}"
        return f'<img src="{source}" alt="{escape(self.text)}" style="max-width:100%;background:#fff">'

    def __repr__(self) -> str:
        return f"<{self.text}>"

    def save(self, path: str | Path) -> Path:
        """Write the image to a file."""
        path = Path(path)
        path.write_bytes(self.data)
        return path


def show(
    clips: Any,
    index: int | Sequence[int] | None = None,
    *,
    mode: str = "original",
    augmentations: int = 1,
    metainfo: Mapping[str, Any] | None = None,
) -> NotebookImage:
    """Show a clip as an animation, or several as a contact sheet.

    Args:
        clips: Results after LoadKeypoints or later; a dataset, also in wrappers; or a path as for `open_dataset`.
        index: Index of a clip in the dataset; several give a sheet; None selects six evenly spread ones.
        mode, augmentations: Stages to show of one clip, see `shown_stages`.
        metainfo: Metainfo for glosses of a results dict; a dataset has its own.

    Returns:
        An object that notebooks display.

    Raises:
        ConfigError: If the clip does not exist, or has no keypoints.

    Example:
        >>> import numpy as np
        >>> from karsl.skeletons import get_skeleton
        >>> show({"keypoint": np.zeros((2, 184, 3)), "skeleton": get_skeleton("karsl_184"), "clip_id": "a"})
        <clip a, 2 frames>
    """
    if isinstance(clips, Mapping):
        return _animate([("clip", clips)], metainfo or {})
    if isinstance(clips, (str, Path)):
        clips = open_dataset(clips)
    if isinstance(index, int):
        (clip,) = select_clips(clips, count=1, indices=[index])
        stages, more = shown_stages(clip, mode, augmentations=augmentations)
        return _animate([*stages, *more], clip.metainfo, clip.record)
    selected = select_clips(clips, count=_OVERVIEW_CLIPS, indices=index or ())
    loaded = [shown_stages(clip, "original")[0][0][1] for clip in selected]
    text = f"{len(selected)} of {pluralize(len(clips), 'clip')}"
    sheet = overview_sheet(loaded, metainfo=[clip.metainfo for clip in selected], title=text)
    buffer = BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return NotebookImage(buffer.getvalue(), "image/png", text)


def load_ipython_extension(shell: Any) -> None:
    """Display datasets at the end of a cell; called by `%load_ext karsl.visualization`."""
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(KeypointDataset, lambda dataset: show(dataset)._repr_html_())


def _animate(stages: list[tuple[str, Mapping]], metainfo: Mapping, record: Mapping | None = None) -> NotebookImage:
    scene = Scene(stages, metainfo=metainfo)
    first = scene.clips[0]
    text = ", ".join(filter(None, (f"clip {first.title or first.clip_id}".strip(), first.arabic, first.subtitle)))
    fps = frames_per_second(record or stages[0][1], metainfo)
    return NotebookImage(encode_webp(scene, fps), "image/webp", text)
