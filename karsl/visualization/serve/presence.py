"""How often each hand is seen, for all clips of a pack at once: a pack keeps a flag for each frame and group."""

from __future__ import annotations

from typing import Any

import numpy as np

from karsl.errors import KarslError
from karsl.io.pack_reader import Pack
from karsl.visualization.clips.catalogue import Catalogue
from karsl.visualization.drawing.palette import group_styles


def hands_seen(catalogue: Catalogue, rows: np.ndarray) -> list[dict[str, float] | None]:
    """Shares of frames in which a hand is seen, without reading a clip.

    Args:
        catalogue: Of the clips.
        rows: int64 (n,), of it.

    Returns:
        For each row `right`, `left`, `any` to a share in [0, 1]; None for a clip that lies in no pack.
    """
    found: list[dict[str, float] | None] = [None] * len(rows)
    inner, file, start = catalogue.inner[rows], catalogue.file[rows], catalogue.frame_start[rows]
    frames = catalogue.num_frames[rows].astype(np.int64)
    for code, number in np.unique(np.stack([inner, file], axis=1)[(start >= 0) & (frames > 0)], axis=0).tolist():
        mine = np.flatnonzero((inner == code) & (file == number) & (start >= 0) & (frames > 0))
        shares = _shares(catalogue.files[number], catalogue.datasets[code], start[mine], frames[mine])
        for place, row in enumerate(mine.tolist() if shares else ()):
            found[row] = {side: float(share[place]) for side, share in shares.items()}
    return found


def _shares(path: str, dataset: Any, start: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    skeleton = getattr(dataset, "skeleton", None)
    try:
        presence = Pack(path).presence
    except (OSError, KarslError):  # it lies elsewhere, or is damaged: the page says so when a clip is looked at
        return {}
    styles = group_styles(skeleton) if skeleton is not None else ()
    if len(styles) != presence.shape[1] or (start + frames).max() > len(presence):
        return {}
    sides = {style.side: presence[:, column] > 0 for column, style in enumerate(styles) if style.side}
    if not sides:
        return {}
    sides["any"] = np.any(list(sides.values()), axis=0)
    return {side: np.round(_mean(seen, start, frames), 3) for side, seen in sides.items()}


def _mean(seen: np.ndarray, start: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Share of True in each run of frames.

    Example:
        >>> _mean(np.array([True, False, True, True]), np.array([0, 2]), np.array([2, 2])).tolist()
        [0.5, 1.0]
    """
    total = np.concatenate([[0], np.cumsum(seen, dtype=np.int64)])
    return (total[start + frames] - total[start]) / frames
