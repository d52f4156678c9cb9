"""Small sources to convert: random clips with metadata, on any skeleton."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest

from karsl.formats import FORMATS
from karsl.io.sources import FunctionSource
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import make_clip

LIBRARIES = {"parquet": "pyarrow", "pose": "pose_format"}
SUFFIXES = {"pyskl": ".pkl", "pyskl2d": ".pkl", "spoter": ".csv"}
WRITTEN = [name for name, format in FORMATS.items() if format.writer and format.reader]


@dataclass(frozen=True)
class MemoryReader:
    """Reads clips from memory."""

    clips: dict[str, np.ndarray]

    def __call__(self, record: dict) -> np.ndarray:
        return self.clips[record["clip_id"]]


def canonical(clip: dict) -> np.ndarray:
    """Convert a clip of `make_clip` to float32 (T, V, 4) with zeros for missing points."""
    score = clip["keypoint_score"][..., None]
    return np.concatenate([np.where(score > 0, clip["keypoint"], 0), score], axis=-1).astype(np.float32)


def make_source(
    skeleton="karsl_184", clips=((5, "scattered", 1), (3, "group", 2), (8, "none", 3), (1, "all", 4))
) -> FunctionSource:
    """Return clips of two signs, two signers and two splits, each made from `(frames, missing, seed)`."""
    points = get_skeleton(skeleton)
    clips_by_id, records = {}, []
    for number, (frames, missing, seed) in enumerate(clips):
        clip_id = f"0{number % 2 + 1}-{('train', 'test')[number % 3 == 2]}/clip {number}"
        clips_by_id[clip_id] = canonical(make_clip(frames, points, missing=missing, seed=seed))
        metadata = {"label": number % 2, "sign": 7 + 2 * (number % 2), "signer": f"0{number % 2 + 1}"}
        records.append({"clip_id": clip_id, **metadata, "split": ("train", "test")[number % 3 == 2], "num_frames": frames})
    metainfo = {"dataset_name": "random", "skeleton": points.name, "signs": (7, 9), "classes": ("see you", "thanks")}
    return FunctionSource({**metainfo, "classes_ar": ("أراك", "شكرا")}, points, records, MemoryReader(clips_by_id))


def output_name(format: str) -> str:
    """Return a name for the output of a format. A file has the suffix of SUFFIXES, or else the name of the format."""
    return "clips" + (SUFFIXES.get(format, f".{format}") if FORMATS[format].is_file else "")


def require(format: str) -> None:
    """Skip the test if the library that a format needs is not installed."""
    extra = FORMATS[format].extra
    assert not extra or extra in LIBRARIES, f"add the library of the extra {extra!r} to LIBRARIES"
    library = LIBRARIES.get(extra)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: format {format!r} is not tested")
