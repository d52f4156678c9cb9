"""The table of transforms is filled; no rate is asserted, since machines differ."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import peer_steps
from benchmarks.__main__ import main
from benchmarks.transforms import ROWS, USUAL, Rates, bench_transforms, transforms_table
from karsl.datasets.transforms import FillMissing, SmoothKeypoints
from karsl.registry import TRANSFORMS

NOT_FOR_TRAINING = {"LoadKeypoints", "PackKeypointInputs", "EncodeGloss", "MapLabels"}


def test_every_training_transform_has_a_row():
    shipped = {name for name, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith("karsl.")}
    timed = {step["type"] for row in ROWS for step in row.pipeline if isinstance(step, dict)}
    assert shipped - timed <= NOT_FOR_TRAINING


def test_rows_are_measured_with_their_peers(tmp_path):
    rows = [row for row in ROWS if row.name in (USUAL, "SmoothKeypoints", "a user's transform_batch", "ResampleFPS")]
    rates = bench_transforms(130, tmp_path, rounds=1, seconds=1e-4, rows=rows)
    assert [row.name for row in rates] == [row.name for row in rows]
    assert all(row.clips_s > 0 and row.peer_s > 0 for row in rates)


def test_the_table_has_shares_of_the_usual_pipeline_and_ratios_to_the_peer():
    lines = transforms_table([Rates(USUAL, 1000, 100), Rates("noise", 500, 20)]).splitlines()
    assert lines[-1] == "| noise | 500 | 0.50 | 20 | 25.0 |"


def test_peers_compute_what_the_transforms_do():
    rng = np.random.default_rng(0)
    frames = np.concatenate([rng.random((9, 184, 3), np.float32), np.ones((9, 184, 1), np.float32)], -1)
    frames[2:5, 150:170] = 0
    seen = frames[..., 3] > 0
    results = {"keypoint": np.where(seen[..., None], frames[..., :3], np.nan), "keypoint_score": frames[..., 3]}
    for step, peer in (
        (SmoothKeypoints(), peer_steps.smooth),
        (FillMissing("linear"), peer_steps.fill_linear),
        (FillMissing("previous"), peer_steps.fill_previous),
    ):
        found = peer(frames.copy())[..., :3]
        where = seen if peer is peer_steps.smooth else np.ones_like(seen)
        np.testing.assert_allclose(found[where], step.apply(results, {})["keypoint"][where], atol=1e-6)


@pytest.mark.parametrize("options", [["--workers", "2"], ["--only", "karsl"], ["--cold"]])
def test_options_that_the_table_would_ignore_are_rejected(capsys, options):
    assert main(["--transforms", *options]) == 2
    assert f"--transforms does not accept {options[0]}; leave --transforms or {options[0]} out" in capsys.readouterr().err
