"""The same clips as a pack, as tars and as array files, and an HTTP server of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from karsl.pack import pack_records
from karsl.skeletons import get_skeleton
from karsl.webdataset.write import write_tars

COUNT = 60
META = {"signs": (7, 8, 9), "classes": ("one", "two", "three"), "skeleton": "hand_42"}


def clip_of(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    clip = rng.random((int(rng.integers(3, 12)), 42, 4), dtype=np.float32) * 0.8 + 0.1
    clip[:, rng.integers(0, 42)] = 0
    return clip.astype(np.float16).astype(np.float32)


def records() -> list[dict]:
    return [{"clip_id": f"c{n:03d}", "sign": 7 + n % 3, "num_frames": len(clip_of(n)), "signer": "01"} for n in range(COUNT)]


def read(record: dict) -> np.ndarray:
    return clip_of(int(record["clip_id"][1:]))


def write_stores(folder: Path, count: int, scale: float = 1.0) -> None:
    """Write the first clips, scaled, as `pack`, `tars` and `arrays`; replace existing ones."""
    skeleton = get_skeleton("hand_42")

    def scaled(record: dict) -> np.ndarray:
        return read(record) * np.array([scale, scale, scale, 1], np.float32)

    pack_records(folder / "pack", META, records()[:count], scaled, skeleton=skeleton, shard_bytes=23 * 7 * 336)
    write_tars(folder / "tars", META, records()[:count], scaled, skeleton=skeleton, samples_per_shard=23)
    (folder / "arrays").mkdir(exist_ok=True)
    for first in range(0, count, 23):
        clips = [scaled(record) for record in records()[first : min(first + 23, count)]]
        lengths, labels = [len(clip) for clip in clips], (first + np.arange(len(clips))) % 3
        np.savez(folder / "arrays" / f"X_{first:03d}.npz", data=np.concatenate(clips), lengths=lengths, y=labels)


@pytest.fixture(scope="session")
def stores(tmp_path_factory) -> Path:
    """`pack`, `tars` and `arrays` with 23, 23 and 14 clips; read-only."""
    folder = tmp_path_factory.mktemp("stores")
    write_stores(folder, COUNT)
    return folder


@pytest.fixture(scope="session")
def range_server():
    path = Path(__file__).parents[2] / "io" / "range_server.py"
    spec = importlib.util.spec_from_file_location("stream_range_server", path)
    module = sys.modules["stream_range_server"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def server(stores, range_server):
    """`(url, faults)` of a server of the stores."""
    with range_server.serving(stores) as found:
        yield found
