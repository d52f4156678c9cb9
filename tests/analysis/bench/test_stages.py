"""Where the time of our batches goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from karsl.analysis.bench.stages import Stopwatch, profile_stages
from karsl.analysis.bench.stores import Stores

pytest.importorskip("numba")


def test_every_step_of_the_job_is_a_stage_and_stages_are_the_whole(tmp_path):
    from karsl.analysis.bench.ours.packed import WAY

    folder = Path(Stores(tmp_path, count=60).prepare(WAY).folder)
    stages = profile_stages(folder, batch_size=8, seed=0)
    assert {"plan TSNSampleFrames", "plan RandomFlip", "plan RandomAffine", "compiled pass"} < set(stages)
    assert all(micros >= 0 for micros in stages.values())
    assert sum(v for k, v in stages.items() if k != "whole") >= 0.99 * stages["whole"]


def test_a_stopwatch_gives_the_median_of_each_name():
    watch = Stopwatch()
    watch._seconds["a"] = [1e-6, 5e-6, 2e-6]
    assert watch.medians(per=2) == {"a": pytest.approx(1.0)}
