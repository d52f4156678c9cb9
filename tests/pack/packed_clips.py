"""A source of clips that are a function of their number; worker processes import it, too."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from karsl.io.sources import ClipSource
from karsl.skeletons import Skeleton, get_skeleton

SKELETON = get_skeleton("msl_226")


@dataclass(frozen=True)
class NumberedClips(ClipSource):
    """Attributes:
    count: Number of clips.
    first: Number of the first clip.
    signs: Signs that the clips cycle through.
    """

    count: int
    first: int = 0
    signs: tuple[int, ...] = (7, 9, 30)
    fingerprint: str = "a"
    skeleton: Skeleton = SKELETON
    records: list[dict] = field(default_factory=list)

    @property
    def metainfo(self) -> dict:
        return {
            "dataset_name": "numbered",
            "skeleton": self.skeleton.name,
            "signs": list(self.signs),
            "classes": [f"sign {s}" for s in self.signs],
            "classes_ar": [f"إشارة {s}" for s in self.signs],
        }

    def read(self, record: dict) -> np.ndarray:
        return clip_of(int(record["clip_id"][5:]), record["num_frames"], self.skeleton.num_keypoints)


def make_source(count: int, first: int = 0, **options) -> NumberedClips:
    source = NumberedClips(count, first, **options)
    for n in range(first, first + count):
        sign = source.signs[n % len(source.signs)]
        facts = {"sign": sign, "signer": f"{n % 3 + 1:02d}", "split": "train" if n % 4 else "test"}
        source.records.append({"clip_id": f"clip {n}", "num_frames": 5 + 7 * n % 31, **facts})
    return source


def clip_of(number: int, frames: int, points: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    clip = rng.random((frames, points, 4), dtype=np.float32)
    clip[rng.random((frames, points)) < 0.2] = 0
    return clip


def pack_and_print(out: str, count: str, shard_bytes: str, workers: str) -> None:
    """Pack in this process; a line for every block that is done, and after the last one wait to be killed."""
    from karsl.pack.write import pack_clips

    def report(done: int, total: int) -> None:
        print(done, flush=True)
        if done == total:
            signal.pause()

    pack_clips(make_source(int(count)), out, shard_bytes=int(shard_bytes), workers=int(workers), progress=report)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))  # workers import this file by its name
    from tests.pack import packed_clips

    packed_clips.pack_and_print(*sys.argv[1:])
