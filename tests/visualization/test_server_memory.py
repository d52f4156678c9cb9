"""Server with 75,300 clips, the nominal size of KArSL: the list is complete, and memory does not grow with requests."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from karsl.io.annotations import write_annotations
from karsl.pack.write import write_clips
from karsl.skeletons import get_skeleton

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KARSL_LONG_TESTS"), reason="KARSL_LONG_TESTS=1 runs it"),
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not report private memory"),
]
CLIPS = 75_300
_MIB = 1 << 20


@pytest.fixture(scope="module")
def pack(tmp_path_factory) -> Path:
    """An annotation file of 75,300 records that all point to the same ten frames."""
    folder = tmp_path_factory.mktemp("many")
    clip = np.random.default_rng(0).uniform(0.2, 0.8, (10, 184, 4))
    shard = write_clips(folder, [clip], np.array([10]), skeleton=get_skeleton("karsl_184"))
    glosses = {"classes": [f"sign {k}" for k in range(502)], "classes_ar": [f"كلمة {k}" for k in range(502)]}
    records = [
        {
            "clip_id": f"03_{1 + n % 3:02d}_{1 + n // 150:04d}_(01_12_16_15_{n % 50:02d}_{n % 60:02d})_c",
            "keypoint_path": shard.name, "frame_start": 0, "num_frames": 10,
            "label": n // 150, "sign": 1 + n // 150, "signer": f"{1 + n % 3:02d}", "split": "train",
        }
        for n in range(CLIPS)
    ]  # fmt: skip
    metainfo = {"dataset_name": "karsl", "skeleton": "karsl_184", "signs": list(range(1, 503)), **glosses}
    write_annotations(folder / "annotations.json", metainfo, records)
    return folder


def private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) * 1024


def test_memory_does_not_grow_with_requests(pack):
    command = [sys.executable, "-m", "karsl", "browse", str(pack), "--serve", "--not-show"]
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # the number of concurrent threads is random
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=env) as process:
        url = re.search(r"http://\S+/", process.stdout.readline())[0]
        try:
            request = urllib.request.Request(f"{url}index.json", headers={"Accept-Encoding": "gzip"})
            packed = urllib.request.urlopen(request, timeout=300).read()
            index = json.loads(gzip.decompress(packed))
            assert index["count"] == len(set(index["columns"]["link"])) == CLIPS
            assert len(packed) < 2 * _MIB
            memory = []
            for start in (0, 30_000):
                for link in index["columns"]["link"][start : start + 300]:
                    urllib.request.urlopen(f"{url}clips/{link}.json", timeout=300).read()
                memory.append(private_bytes(process.pid))
            assert memory[1] - memory[0] < 8 * _MIB
        finally:
            process.terminate()
