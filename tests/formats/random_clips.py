"""Small sources to convert: drawn clips with facts, on any skeleton."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import numpy as np
import pytest

from karsl.skeletons import get_skeleton
from karsl.storage.convert import FORMS, Clips
from karsl.testing.strategies import make_clip

LIBRARIES = {"parquet": "pyarrow", "pose": "pose_format"}
WRITTEN = [name for name, form in FORMS.items() if form.writer]


@dataclass(frozen=True)
class Held:
    """Reads clips that are held in memory."""

    clips: dict[str, np.ndarray]

    def __call__(self, record: dict) -> np.ndarray:
        return self.clips[record["clip_id"]]


def canonical(clip: dict) -> np.ndarray:
    """float32 (T, V, 4), zeros where missing, of a clip of `make_clip`."""
    score = clip["keypoint_score"][..., None]
    return np.concatenate([np.where(score > 0, clip["keypoint"], 0), score], axis=-1).astype(np.float32)


def make_source(skeleton="karsl_184", clips=((5, "scattered", 1), (3, "group", 2), (8, "none", 3), (1, "all", 4))) -> Clips:
    """Clips of two signs, two signers and two splits; `(frames, missing, seed)` each."""
    points = get_skeleton(skeleton)
    held, records = {}, []
    for number, (frames, missing, seed) in enumerate(clips):
        clip_id = f"0{number % 2 + 1}-{('train', 'test')[number % 3 == 2]}/clip {number}"
        held[clip_id] = canonical(make_clip(frames, points, missing=missing, seed=seed))
        facts = {"label": number % 2, "sign": 7 + 2 * (number % 2), "signer": f"0{number % 2 + 1}"}
        records.append({"clip_id": clip_id, **facts, "split": ("train", "test")[number % 3 == 2], "num_frames": frames})
    metainfo = {"dataset_name": "drawn", "skeleton": points.name, "signs": (7, 9), "classes": ("see you", "thanks")}
    return Clips({**metainfo, "classes_ar": ("أراك", "شكرا")}, points, records, Held(held))


def needs(form: str) -> None:
    """Skip, naming the library that a form needs and that is absent."""
    library = LIBRARIES.get(FORMS[form].needs)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: form {form!r} is not tested")
