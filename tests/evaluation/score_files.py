"""Score files for tests, small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from karsl.evaluation import Scores, write_scores


def make_scores(table, labels, **changes) -> Scores:
    """Scores with clips c0, c1, ... of signers 01 and 02 in turn, and classes a, b, ..."""
    scores = np.array(table, np.float32)
    num_clips, num_classes = scores.shape
    values = {
        "scores": scores,
        "clip_id": np.array([f"c{n}" for n in range(num_clips)]),
        "label": np.array(labels, np.int64),
        "signer": np.array(["01", "02"] * num_clips)[:num_clips],
        "sign": np.array(labels, np.int64) + 1,
        "category": np.array([""] * num_clips),
        "classes": np.array([chr(97 + k) for k in range(num_classes)]),
        "classes_ar": np.array(["مرحبا", "شكرا", "نعم", "لا", "ماء", "خبز"] * num_classes)[:num_classes],
        "signs": np.arange(num_classes) + 1,
        "checkpoint": np.array(["epoch_1.pth xxh3:0"]),
        "path": "scores.npz",
    }
    return Scores(**values | changes)


def save(path: Path, *args, **changes) -> Path:
    write_scores(path, make_scores(*args, **changes))
    return path
