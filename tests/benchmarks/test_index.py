"""The benchmark of starts fills its table; no figure is asserted, since machines differ."""

from __future__ import annotations

from rich.console import Console

from benchmarks.index import bench_index, bench_table


def test_both_classes_are_measured_on_one_annotation(tmp_path):
    figures = bench_index(300, tmp_path)
    assert [row.name for row in figures] == ["mmengine BaseDataset", "karsl KeypointDataset"]
    assert figures[1].pickled_bytes < 100_000
    assert len(list((tmp_path / "index").glob("*.idx"))) == 1
    wide = Console(width=160)
    with wide.capture() as text:
        wide.print(bench_table(figures, 300))
    assert "times better" in text.get()
