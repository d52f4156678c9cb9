"""Frames of the video that a clip was extracted from, to draw its keypoints over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, pluralize
from karsl.io.video import FrameReader
from karsl.visualization.clips.select import Stage
from karsl.visualization.clips.sources import ClipRef

_HEIGHT = 320  # pixels of a frame in memory


def add_pictures(
    results: Mapping[str, Any], record: Mapping[str, Any], metainfo: Mapping[str, Any], root: str | Path = ""
) -> dict[str, Any]:
    """Return the results of a loaded clip with `pictures`, the frames of its video, which are drawn below it.

    Args:
        results: Results after LoadKeypoints, with x and y in [0, 1] of the picture.
        record: Record of the clip; `video` is the path of its video or frame folder.
        metainfo: Metainfo of the dataset; `video_root` is the folder of the videos.
        root: Folder of the videos, instead of that of the metainfo.

    Returns:
        A copy with `pictures`, a list of T arrays, uint8 (height, width, 3), scaled down.

    Raises:
        DatasetNotFoundError: If the record names no video, or it does not exist.
        CorruptRecordError: If it cannot be decoded, or has another number of frames than the clip.
        MissingExtraError: If PyAV is not installed.
    """
    name = record.get("video")
    if not name:
        raise DatasetNotFoundError("its record names no video; 'karsl extract' writes records with the key 'video'")
    path = Path(root or metainfo.get("video_root", "")) / str(name)
    if not path.exists():
        raise DatasetNotFoundError(f"no video '{path}'; name the folder of the videos with --video DIR")
    pictures = [_shrink(frame) for frame in FrameReader(path)]
    if len(pictures) != len(results["keypoint"]):
        raise CorruptRecordError(
            f"{path} has {pluralize(len(pictures), 'frame')}, the clip "
            f"{len(results['keypoint'])}; is it the video of this clip?"
        )
    return {**results, "pictures": pictures}


def add_video(clip: ClipRef, stages: Sequence[Stage], root: str | Path = "") -> list[Stage]:
    """Return the stages of a clip with `pictures` in the first one, if that is the loaded clip; see `add_pictures`."""
    (name, results), *others = stages
    if "frame_inds" in results:
        raise ConfigError("the clip is sampled, and frames are shown below the loaded clip only; omit --mode transformed")
    return [(name, add_pictures(results, clip.record, clip.metainfo, root)), *others]


def _shrink(frame: np.ndarray) -> np.ndarray:
    height, width = frame.shape[:2]
    if height <= _HEIGHT:
        return frame
    from PIL import Image  # optional dependency, which extraction needs, too

    return np.asarray(Image.fromarray(frame).resize((max(1, round(width * _HEIGHT / height)), _HEIGHT)))
