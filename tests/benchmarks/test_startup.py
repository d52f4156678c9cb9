"""The benchmark of the first batch fills its table; no time is asserted, since machines differ."""

from __future__ import annotations

from rich.console import Console

from benchmarks.startup import bench_open, open_table


def test_folders_and_a_pack_are_opened_with_and_without_an_index(tmp_path):
    figures = bench_open(150, tmp_path, repeats=1)
    assert [row.name.partition(",")[0] for row in figures] == ["npz folders", "npz folders", "pack", "pack"]
    assert len(list((tmp_path / "open-150").rglob("*.npz"))) == 6
    wide = Console(width=160)
    with wide.capture() as text:
        wide.print(open_table(figures, 150))
    assert "150 clips: from opening to the first batch" in text.get()
