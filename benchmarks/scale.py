"""Cost of every step from a folder of archives to a served page, for corpora of growing size.

Each step is a process of its own, as a user runs it.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from rich.table import Table

from benchmarks.dataset_files import drop_page_cache
from benchmarks.errors import BenchError
from karsl.testing import make_corpus

COUNTS = (1_000, 10_000, 75_300)
_SIGNS, _SIGNERS = 42, ("01", "02", "03")
_KARSL = (sys.executable, "-m", "karsl")

_READ = """
import sys
from karsl.formats import open_clips
source = open_clips(sys.argv[1])
for record in source.records:
    source.read(record).sum()
"""

_EPOCH = """
import sys
from torch.utils.data import DataLoader
from karsl.datasets import KArSLDataset, keypoint_collate
steps = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=50, jitter=1.0), dict(type="RandomFlip"),
         dict(type="RandomAffine"), dict(type="PackKeypointInputs")]
data = KArSLDataset(data_root=sys.argv[1], ann_file="annotations.json", pipeline=steps, seed=0, index_cache=sys.argv[2])
for batch in DataLoader(data, batch_size=64, shuffle=True, collate_fn=keypoint_collate):
    pass
"""

_FIRST_BATCH = _EPOCH + "    break\n"


@dataclass(frozen=True)
class ScaleFigures:
    """Cost of one step at one size.

    Args:
        step: Name of the step.
        clips: Number of clips.
        seconds: Wall time, the start of Python included.
        peak_mib: Largest resident memory of one process of the step, in MiB, mapped files included.
        read_gb: Bytes that were read from the disk, in GB; the files are not in the page cache before.
    """

    step: str
    clips: int
    seconds: float
    peak_mib: float
    read_gb: float


def bench_scale(counts: Sequence[int] = COUNTS, folder: Path | None = None) -> list[ScaleFigures]:
    """Run every step on a synthetic corpus of each size.

    Args:
        counts: Numbers of clips, rounded to a multiple of 126, one clip per sign and signer, and at least 252.
        folder: Folder for the files; None uses a temporary one. 75,300 clips take 13 GB.

    Raises:
        BenchError: If a step fails.
    """
    with tempfile.TemporaryDirectory(prefix="karsl-bench-", dir=folder) as temporary:
        return [row for count in counts for row in _measure_size(count, Path(temporary) / str(count))]


def scale_table(figures: Sequence[ScaleFigures]) -> Table:
    """Return a table with a row per step and, per size, seconds, milliseconds per clip, memory and bytes read."""
    counts = sorted({row.clips for row in figures})
    table = Table(title="cost of each step", title_justify="left", title_style="bold")
    table.add_column("", no_wrap=True)
    for count in counts:
        for name in (f"{count:,} clips: s", "ms/clip", "MiB", "GB read"):
            table.add_column(name, justify="right")
    for step in dict.fromkeys(row.step for row in figures):
        cells: list[str] = []
        for row in (next(r for r in figures if (r.step, r.clips) == (step, count)) for count in counts):
            each = row.seconds / row.clips * 1e3
            cells += [f"{row.seconds:.2f}", f"{each:.3f}", f"{row.peak_mib:.0f}", f"{row.read_gb:.2f}"]
        table.add_row(step, *cells)
    return table


def _measure_size(count: int, folder: Path) -> list[ScaleFigures]:
    per_sign = max(2, round(count / _SIGNS / len(_SIGNERS)))
    test_clips = max(1, per_sign // 5)
    root, pack, index = folder / "npz", str(folder / "pack"), str(folder / "index")
    make_corpus(root, signs=_SIGNS, train_clips=per_sign - test_clips, test_clips=test_clips)
    clips, source = per_sign * _SIGNS * len(_SIGNERS), str(root)
    python = (sys.executable, "-c")
    steps: dict[str, tuple[str, ...]] = {
        "read every clip": (*python, _READ, source),
        "karsl prepare": (*_KARSL, "prepare", source, "--out", str(folder / "annotations.json")),
        "karsl audit": (*_KARSL, "audit", source, "--json", str(folder / "audit.json")),
        "karsl pack": (*_KARSL, "pack", source, pack, "--workers", "0"),
        "first batch of the pack, first start": (*python, _FIRST_BATCH, pack, index),
        "first batch of the pack, later start": (*python, _FIRST_BATCH, pack, index),
        "karsl audit of the pack": (*_KARSL, "audit", pack),
        "one epoch of the pack": (*python, _EPOCH, pack, index),
        "karsl browse --serve, one clip shown": (*_KARSL, "browse", pack, "--serve", "--not-show"),
    }
    figures = []
    for step, command in steps.items():
        use = _request_clip if "--serve" in command else None
        os.sync()  # dirty pages cannot be dropped
        drop_page_cache(folder)
        seconds, peak, read = _run(step, command, use)
        figures.append(ScaleFigures(step, clips, seconds, peak / 1024, read / 1e9))
    return figures


def _run(step: str, command: Sequence[str], use: Callable[[subprocess.Popen], None] | None) -> tuple[float, int, int]:
    """Run a command; return its seconds, KiB of resident memory at most, and bytes read, each of the main process.

    Args:
        step: Name for errors.
        command: Program and arguments.
        use: Uses a server; when it returns, the clock and the server are stopped. None waits for the end.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE if use else output, stderr=output, env=environment)
        peak, stop = [0], Event()
        watcher = Thread(target=_watch_memory, args=(process.pid, peak, stop))
        watcher.start()
        try:
            if use is None:
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            else:
                use(process)
            seconds = time.perf_counter() - start
            read = int(re.findall(r"read_bytes: (\d+)", Path(f"/proc/{process.pid}/io").read_text())[0])
        finally:
            stop.set()
            watcher.join()
            process.terminate()
            process.communicate()
        if process.returncode not in (0, 1 if "audit" in command else 0):  # 1: the audit found something
            output.seek(0)
            raise BenchError(f"{step}: exit status {process.returncode}: {output.read().decode()[-500:]}")
    return seconds, peak[0], read


def _watch_memory(pid: int, peak: list[int], stop: Event) -> None:
    """Keep the largest resident memory in `peak`, in KiB; that of `wait4` is at least that of the parent process."""
    while not stop.wait(0.05):
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        peak[0] = max(peak[0], int(found[1]) if found else 0)


def _request_clip(process: subprocess.Popen) -> None:
    """Wait until the server is ready, then request the page, the list of clips and one clip."""
    assert process.stdout is not None
    found = next((m for m in (re.search(r"http://\S+", line.decode()) for line in process.stdout) if m), None)
    if found is None:
        return
    url = found[0].rstrip("/")
    urllib.request.urlopen(f"{url}/").read()
    index = urllib.request.urlopen(f"{url}/index.json").read()
    links = json.loads(gzip.decompress(index) if index[:2] == b"\x1f\x8b" else index)["columns"]["link"]
    urllib.request.urlopen(f"{url}/clips/{links[0]}.json").read()
