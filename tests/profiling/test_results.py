"""Figures become the right words."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from karsl.profiling.results import (
    MIB,
    Case,
    Point,
    ProcessSample,
    Series,
    case_report,
    check_limits,
    comparison,
    growth_verdict,
    sharing_verdict,
)


def process(role="worker 0", uss=50 * MIB, records="index", ratio=0.0, rank=0, size=100 * MIB):
    return ProcessSample(rank, role, 1, 200 * MIB, uss, 200 * MIB - uss, 80 * MIB, 60 * MIB, records, size, ratio)


def series(*points, start_method="fork", serialize="on"):
    return Series(Case(start_method, serialize), 1000, 1234, 0.5, list(points))


def over_time(uss_mib, step=10):
    return series(*(Point(i * step, 0, (process("main"), process(uss=round(u * MIB)))) for i, u in enumerate(uss_mib)))


def test_a_shared_index_is_called_shared():
    assert sharing_verdict(series(Point(1, 0, (process("main"), process())))).startswith("shared: 0.0 %")


def test_a_copy_is_called_copied_with_its_size():
    text = sharing_verdict(series(Point(1, 0, (process("main"), process(ratio=1.0, records="list")))))
    assert text == "copied: 100 % of the record pages, 100 MiB per process"


def test_the_original_of_the_first_main_process_is_not_a_copy_but_a_second_rank_is():
    original, worker = process("main", records="buffer", ratio=1.0), process(records="buffer")
    assert sharing_verdict(series(Point(1, 0, (original, worker)))).startswith("shared")
    other = process("main", records="buffer", ratio=1.0, rank=1)
    assert sharing_verdict(series(Point(1, 0, (original, worker, other)))).startswith("copied")


def test_unreadable_page_maps_are_reported():
    assert sharing_verdict(series(Point(1, 0, (process(ratio=None),)))).startswith("unknown")
    assert "stores no records" in sharing_verdict(series(Point(1, 0, (process(records=None, ratio=None),))))


@pytest.mark.parametrize(
    ("uss", "word"),
    [
        ([50] * 20, "plateau"),
        ([50 + i * 3 for i in range(20)], "grows"),
        ([10, 40, 70, 90, 98, 99, 100, 100, 100, 100, 100, 100], "plateau"),
        ([50, 60, 45, 62, 48, 61, 44, 60, 50, 58, 47, 63], "plateau"),
        ([50] * 10 + [250] + [50] * 9, "plateau"),
        ([50, 60], "too few"),
    ],
    ids=["flat", "leak", "copied and done", "noise", "one outlier", "two points"],
)
def test_growth_is_distinguished_from_a_plateau_and_from_noise(uss, word):
    assert growth_verdict(over_time(uss)).startswith(word)


def test_a_leak_is_given_as_a_rate():
    assert "300.0 MiB per 1,000" in growth_verdict(over_time([50 + i * 3 for i in range(20)]))


def test_the_limit_fails_a_copy_and_passes_sharing():
    shared = series(Point(1, 0, (process("main"), process())))
    copied = series(Point(1, 0, (process("main"), process(ratio=0.5))))
    assert check_limits(shared, 1) is None
    assert check_limits(copied, 50) is None
    assert check_limits(copied, 49.9) == (
        "fork · serialize on: 50.0 MiB of private copies of record pages in one process, more than 49.9"
    )


def test_without_page_maps_the_limit_counts_all_private_memory():
    blind = series(Point(1, 0, (process("main", ratio=None), process(ratio=None))))
    assert check_limits(blind, 50) is None
    assert "page maps cannot be read" in check_limits(blind, 49)


def shown(renderable) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


def test_the_table_shows_every_process_and_the_verdicts():
    text = shown(case_report(series(Point(7, 0, (process("main"), process(), process("worker 1", ratio=None))))))
    assert "fork · serialize on · 1,000 records · after 7 iterations" in text
    assert "worker 1" in text
    assert "not visible" in text
    assert "plateau" not in text


def test_the_comparison_has_a_line_a_case():
    one, two = (series(Point(1, 0, (process(),)), start_method=method) for method in ("fork", "spawn"))
    text = shown(comparison([one, two]))
    assert "fork · serialize on" in text
    assert "spawn · serialize on" in text


def test_figures_go_to_json():
    found = json.loads(json.dumps(series(Point(1, 0, (process(),))).to_dict()))
    assert found["label"] == "fork · serialize on"
    assert found["points"][0]["processes"][0]["private_ratio"] == 0.0


def test_the_picture_is_written(tmp_path):
    pytest.importorskip("matplotlib")
    from karsl.profiling.plot import draw_series

    draw_series([over_time([50] * 5), over_time([50, 60, 70, 70])], tmp_path / "a" / "m.png", title="made-up records")
    assert (tmp_path / "a" / "m.png").read_bytes().startswith(b"\x89PNG")


def test_without_workers_growth_is_that_of_a_main_process():
    alone = series(*(Point(i * 10, 0, (process("main"),)) for i in range(20)))
    assert growth_verdict(alone).startswith("plateau: +0 MiB in a main process over")


def test_both_sums_of_pss_are_named():
    console = Console(width=200, record=True)
    console.print(case_report(series(Point(1, 0, (process("main"), process())))))
    text = console.export_text()
    assert "all processes: 120 MiB of program and shared memory" in text
    assert "160 MiB (the sum of PSS above)" in text


def test_one_process_has_nothing_to_share():
    alone = series(Point(1, 0, (process("main", records="buffer", ratio=1.0),)))
    assert sharing_verdict(alone).startswith("there is one process, which has the original records")
    assert check_limits(alone, 0) is None
