"""Tables and notes for the terminal."""

from __future__ import annotations

from rich.table import Table

from benchmarks.result import CandidateResult, Result

_STYLE = {"karsl": "bold", "part": "", "limit": "italic", "baseline": ""}


def result_table(result: Result) -> Table:
    """Return one row per candidate, fastest first, with the ratio of each rate to the best baseline of that case."""
    table = Table(title=_title(result), title_justify="left", caption=_caption(result), caption_justify="left")
    table.add_column("candidate")
    best = {}
    for case in result.cases:
        table.add_column(f"{case}\nclips/s", justify="right")
        table.add_column("x best\nbaseline", justify="right")
        best[case] = result.fastest("baseline", case)
    last = result.cases[-1]
    for head in ("first batch\ns", f"PSS, {last}\nMiB", "disk\nMB", "writing\ns"):
        table.add_column(head, justify="right")
    for name, candidate in sorted(result.candidates.items(), key=lambda item: -item[1].best):
        rates = [cell for case in result.cases for cell in _rate_cells(candidate.median(case), best[case])]
        table.add_row(name, *rates, *_cost_cells(candidate, result.cases[0], last), style=_STYLE[candidate.role])
    return table


def stages_table(result: Result) -> Table:
    """Return the time per stage of `karsl` without workers."""
    table = Table("stage of karsl, in process", title_justify="left")
    table.add_column("us per clip", justify="right")
    table.add_column("share", justify="right")
    whole = result.stages["whole"]
    for name, micros in result.stages.items():
        table.add_row(name, f"{micros:.2f}", f"{micros / whole:.0%}", style="bold" if name == "whole" else "")
    return table


def notes(result: Result) -> list[str]:
    """Return one line per ratio, and one per candidate that is not in the table with the reason."""
    lines = [f"{label}: {ratio:.2f} x" for label, ratio in result.ratios()]
    lines += [f"skipped {name}: {reason}" for name, reason in result.skipped.items()]
    return lines + [f"FAILED {name}: {reason}" for name, reason in result.failed.items()]


def _title(result: Result) -> str:
    plan = result.plan
    cold = ", cold page cache" if plan["cold"] else ""
    rounds = "1 round" if plan["rounds"] == 1 else f"medians of {plan['rounds']} rounds"
    return f"{plan['count']} clips, batches of {plan['batch_size']}, {rounds}{cold}"


def _caption(result: Result) -> str:
    if result.plan["one_process"]:
        return "first batch and PSS are too small, since the processes share imported modules"
    first = f"first batch: {result.cases[0]}, with PyTorch and MMEngine imported"
    return f"one thread per process; {first}; PSS: shared pages count once"


def _rate_cells(rate: float | None, best: tuple[str, float] | None) -> tuple[str, str]:
    if rate is None:
        return "-", "-"
    return f"{rate:,.0f}", f"{rate / best[1]:.2f}" if best else "-"


def _cost_cells(candidate: CandidateResult, first: str, last: str) -> tuple[str, str, str, str]:
    first_batch, pss = candidate.median(first, "first_batch_s"), candidate.median(last, "pss_bytes")
    return (
        "-" if first_batch is None else f"{first_batch:.2f}",
        "-" if pss is None else f"{pss / 2**20:,.0f}",
        f"{candidate.disk_bytes / 1e6:,.0f}",
        f"{candidate.prepare_s:.1f}",
    )
