"""Time per stage of the batches of karsl."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.dataset_files import DatasetFiles
from benchmarks.stages import Stopwatch, profile_stages

pytest.importorskip("numba")


def test_every_transform_is_a_stage_and_the_stages_add_up_to_the_whole(tmp_path):
    from benchmarks.candidates.packed import CANDIDATE

    folder = Path(DatasetFiles(tmp_path, count=60).prepare(CANDIDATE).folder)
    stages = profile_stages(folder, batch_size=8, seed=0)
    assert {"plan TSNSampleFrames", "plan RandomFlip", "plan RandomAffine", "compiled pass"} < set(stages)
    assert all(micros >= 0 for micros in stages.values())
    assert sum(v for k, v in stages.items() if k != "whole") >= 0.99 * stages["whole"]


def test_a_stopwatch_returns_the_median_of_each_name():
    watch = Stopwatch()
    watch._seconds["a"] = [1e-6, 5e-6, 2e-6]
    assert watch.medians(per=2) == {"a": pytest.approx(1.0)}
