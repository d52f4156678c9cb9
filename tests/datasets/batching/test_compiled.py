"""numba that is installed but cannot be used: samples are made one by one, and one line says why."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

import pytest

PROGRAM = """
import sys
{before}
import torch
from torch.utils.data import DataLoader
from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.datasets.batching import uncompiled_reason

steps = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=4), dict(type="PackKeypointInputs")]
if __name__ == "__main__":
    data = KArSLDataset(data_root=sys.argv[1], filter_cfg=dict(split="test"), pipeline=steps, seed=0)
    loader = DataLoader(data, 7, num_workers=1, collate_fn=keypoint_collate, multiprocessing_context="spawn")
    batch = next(iter(loader))["inputs"]
    assert torch.equal(batch, torch.stack([data[i]["inputs"] for i in range(7)]))
    print(uncompiled_reason())
"""
NO_CACHE_FOLDER = "import numba.core.caching; numba.core.caching.CacheImpl._locator_classes = []"
BROKEN = "sys.modules['numba.core'] = None  # as a numba that does not fit the installed NumPy"


@pytest.mark.parametrize(
    ("before", "env", "reason"),
    [
        ("", {"NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT is set in the environment"),
        (NO_CACHE_FOLDER, {}, "numba cannot be used (cannot cache function 'read_clips': no locator available"),
        (BROKEN, {}, "numba cannot be used ("),
    ],
    ids=["JIT disabled", "no cache folder", "import fails"],
)
def test_numba_that_cannot_be_used_is_named_once_and_batches_are_made(corpus, tmp_path, before, env, reason):
    pytest.importorskip("numba")
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.format(before=before), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), str(corpus)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].startswith(reason)
    assert (done.stdout + done.stderr).count("samples are made one by one because") == 1


FORKING = """
import os
from karsl.datasets.batching import compiled

compiled()
from karsl.datasets.batching.kernel import fill_canonical

assert not fill_canonical.signatures  # in-process use loads the compiler when the first batch is made
child = os.fork()
if not child:
    os._exit(len(fill_canonical.signatures))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_workers_share_the_compiler_of_their_parent():
    pytest.importorskip("numba")
    done = subprocess.run([sys.executable, "-c", FORKING], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "1", done.stderr[-2000:]


def test_code_on_disk_is_compiled_again_after_a_change_of_what_it_calls(monkeypatch, tmp_path):
    from karsl.datasets.batching import simd

    stamp = {name for name, *_ in simd._source_stamp()}
    assert {"kernel.py", "points.py", "simd.py", "stages.py", "steps.py", "vectors.py", "addresses.py", "noise.py"} <= stamp
    path = tmp_path / "twice.py"
    path.write_text("from karsl.datasets.batching.simd import compiled\n@compiled\ndef twice(x):\n    return 2 * x\n")
    found = []
    for size in (1, 1, 2):
        monkeypatch.setattr(simd, "_source_stamp", lambda size=size: (("kernel.py", 0, size),))
        twice = runpy.run_path(str(path))["twice"]
        assert twice(4) == 8
        found.append("compiled" if twice.stats.cache_misses else "from disk")
    assert found == ["compiled", "from disk", "compiled"]
