"""The benchmark of growing corpora runs every step at every size; no time is asserted, since machines differ."""

from __future__ import annotations

import os
import sys

import pytest
from rich.console import Console

from benchmarks.errors import BenchError
from benchmarks.scale import _run, bench_scale, scale_table

pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs posix_fadvise")


@pytest.mark.skipif(not os.environ.get("KARSL_LONG_TESTS"), reason="a minute; set KARSL_LONG_TESTS=1")
def test_every_step_reads_the_clips_at_every_size(tmp_path):
    figures = bench_scale((252, 504), tmp_path)
    assert [row.clips for row in figures].count(252) == [row.clips for row in figures].count(504) == len(figures) / 2
    assert all(row.seconds > 0 and row.peak_mib > 10 for row in figures)
    wide = Console(width=200)
    with wide.capture() as text:
        wide.print(scale_table(figures))
    assert "504 clips: s" in text.get()
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_is_named_with_its_error():
    with pytest.raises(BenchError, match=r"count: exit status 3: seven"):
        _run("count", (sys.executable, "-c", "import sys; print('seven', flush=True); sys.exit(3)"), None)
