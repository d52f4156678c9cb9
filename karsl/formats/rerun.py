"""Recordings for Rerun's viewer, which shows clips in 3-D with a timeline: one `.rrd` file per clip, write-only.

| entity | content |
| --- | --- |
| `/` | static: names, colors and bones of the keypoints, x to the right, y down, z into the picture |
| `/clip` | present keypoints of each frame, on the timelines `frame` and, if the frame rate is known, `time` |
| `/about` | static: class, signer, split and length of the clip as text |

Source: https://rerun.io/docs/concepts/logging-and-ingestion/annotation-context
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import missing_extra
from karsl.formats.base import SUPPORTS_ALL, ConversionJob, register_writer
from karsl.formats.folders import UniqueNames, class_folders
from karsl.io.annotations import join_splits
from karsl.skeletons import Skeleton

_COLORS = {"left": (23, 105, 181), "right": (217, 72, 15)}  # as on the browse page
_OTHER = (136, 150, 169)


def _require_rerun() -> Any:
    try:
        import rerun
    except ImportError:
        raise missing_extra("rerun", "rerun-sdk") from None
    return rerun


@register_writer(
    "rrd",
    description="<class>/<clip>.rrd, recordings that Rerun's viewer shows in 3-D; write-only",
    cannot_store="scores; they cannot be read back",
    priority=990,  # never detected; listed before formats of plugins
    supports=SUPPORTS_ALL - {"score"},
    extra="rerun",
)
def write_recordings(out: Path, job: ConversionJob) -> None:
    """Write one recording per clip, in one folder per class.

    Raises:
        MissingExtraError: If rerun-sdk is not installed.
    """
    rerun = _require_rerun()
    context = _annotation_context(rerun, job.skeleton)
    folders, names = class_folders(job.metainfo["classes"]), UniqueNames()
    for record, clip in job.clips():
        folder = folders[record["label"]]
        (out / folder).mkdir(exist_ok=True)
        path = out / folder / f"{names.name(folder, record['clip_id'])}.rrd"
        recording = rerun.RecordingStream("karsl", recording_id=record["clip_id"], send_properties=False)
        recording.save(path)
        recording.send_recording_name(record["clip_id"])
        recording.log("/", context, rerun.ViewCoordinates.RDF, static=True)
        recording.log("about", rerun.TextDocument(_describe(job.gloss(record), record)), static=True)
        _send_clip(rerun, recording, clip, record.get("fps"))
        recording.disconnect()


def _annotation_context(rerun: Any, skeleton: Skeleton) -> Any:
    """Return names, colors and bones of the keypoints; a keypoint is identified by its index."""
    index = {name: number for number, name in enumerate(skeleton.names)}
    points = [rerun.AnnotationInfo(id=number, label=name, color=_color(name)) for name, number in index.items()]
    return rerun.AnnotationContext(
        rerun.ClassDescription(
            info=rerun.AnnotationInfo(id=0, label=skeleton.name),
            keypoint_annotations=points,
            keypoint_connections=[(index[start], index[end]) for start, end in skeleton.bones],
        )
    )


def _color(name: str) -> tuple[int, int, int]:
    words = name.split("_")
    return next((color for side, color in _COLORS.items() if side in words), _OTHER)


def _send_clip(rerun: Any, recording: Any, clip: np.ndarray, fps: float | None) -> None:
    """Send all frames of a clip, float (T, V, 4), at once; missing keypoints are left out."""
    frame, keypoint = np.nonzero(clip[..., 3] > 0)
    columns = rerun.Points3D.columns(
        positions=clip[frame, keypoint, :3].astype(np.float32),
        keypoint_ids=keypoint.astype(np.uint16),
        class_ids=np.zeros(len(keypoint), np.uint16),
    ).partition(lengths=np.bincount(frame, minlength=len(clip)))
    numbers = np.arange(len(clip))
    indexes = [rerun.TimeColumn("frame", sequence=numbers)]
    indexes += [rerun.TimeColumn("time", duration=numbers / fps)] if fps else []
    recording.send_columns("clip", indexes=indexes, columns=[*columns])


def _describe(gloss: str, record: dict) -> str:
    values = {"class": gloss, "signer": record.get("signer"), "split": join_splits(record), "frames": record["num_frames"]}
    return "\n".join(f"{key}: {value}" for key, value in values.items() if value not in (None, ""))
