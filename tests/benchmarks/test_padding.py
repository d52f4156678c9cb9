"""The benchmark of padded batches compares equal batches; no time is asserted, since machines differ."""

from __future__ import annotations

import numpy as np
import torch
from rich.console import Console

from benchmarks.padding import WholeClips, bench_padding, collate_with_torch, padding_table


def test_padded_batches_are_timed_for_both_tasks(tmp_path):
    figures = bench_padding(130, tmp_path, rounds=1)
    assert [row.name for row in figures] == ["memory map, pad_sequence", "karsl, one by one", "karsl, one pass"] * 2
    assert all(row.clips_s > 0 for row in figures)
    lengths = np.diff(np.load(tmp_path / "pad-130-block" / "offsets.npy"))
    batch = collate_with_torch([WholeClips(tmp_path / "pad-130-block", None)[index] for index in range(4)])
    assert batch["num_frames"].tolist() == lengths[:4].tolist()
    assert batch["inputs"].shape == (4, lengths[:4].max(), 184, 4)
    assert batch["inputs"].dtype == torch.float32
    wide = Console(width=160)
    with wide.capture() as text:
        wide.print(padding_table(figures, 130))
    assert "130 clips in padded batches of 64" in text.get()
