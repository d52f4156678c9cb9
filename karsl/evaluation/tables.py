"""Tables of an evaluation, for the terminal, and as CSV and LaTeX files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table as TerminalTable
from rich.text import Text

from karsl.errors import pluralize
from karsl.evaluation.report import class_title
from karsl.io.atomic import atomic_path
from karsl.terminal import escape_controls

_WORST = 10
_PAIRS = 10
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: Name of the CSV file.
        title: Title in the terminal.
        columns: Names of the columns.
        rows: Texts, integers, shares in [0, 1] and None, one tuple per row.
        shown_columns: Names of the columns in the terminal.
        shown: Rows to show in the terminal.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shown_columns: Sequence[str]
    shown: Sequence[Sequence[Any]]


def report_tables(report: Mapping[str, Any]) -> Iterator[Table]:
    """Yield the tables of one file.

    Args:
        report: Result of `evaluate`.
    """
    names = list(report["metrics"])
    values = [(name, *report["metrics"][name].values()) for name in names]
    values += [(f"macro {key}", value, None, None) for key, value in report["macro"].items()]
    if report["calibration"]:
        values.append(("ECE", report["calibration"]["ece"], None, None))
    resamples = report["bootstrap"]["resamples"]
    title = f"{report['file']}: {pluralize(report['clips'], 'clip')}, 95 % intervals of {pluralize(resamples, 'resample')}"
    yield _table("metrics", title, ("metric", "value", "low", "high"), values)
    for key, title in (("signers", "signer"), ("categories", "category")):
        if report[key]:
            yield _group_table(key, title, names, report[key])
    yield _class_table(report["classes"])
    yield _pair_table(report)
    if report["calibration"]:
        columns = ("from", "to", "clips", "confidence", "accuracy")
        rows = [tuple(row[key] for key in columns) for row in report["calibration"]["bins"]]
        yield _table("calibration", "calibration", columns, rows, [row for row in rows if row[2]])


def models_table(reports: Sequence[Mapping[str, Any]]) -> Table:
    """Return the metrics of several files, a row per file.

    Args:
        reports: Results of `evaluate`.
    """
    rows = [{"name": report["file"], **report} for report in reports]
    return _group_table("models", "scores", list(reports[0]["metrics"]), rows)


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """Return the table of one comparison.

    Args:
        comparison: Result of `compare`.
    """
    rows = [(name, *value.values()) for name, value in comparison["differences"].items()]
    title = (
        f"{comparison['file']} minus {comparison['baseline']}, paired 95 % intervals; recognized by both: "
        f"{comparison['both']}, the first only: {comparison['other_only']}, the second only: {comparison['baseline_only']}, "
        f"neither: {comparison['neither']}"
    )
    return _table("comparison", title, ("metric", "difference", "low", "high"), rows)


def write_csv(folder: Path, tables: Sequence[Table]) -> None:
    """Write `<name>.csv` of each table, with all rows, in UTF-8 with a byte order mark, which spreadsheets need for Arabic.

    Args:
        folder: Created if missing.
        tables: Tables of different names.
    """
    for table in tables:
        path = folder / f"{table.name}.csv"
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(table.columns)
            rows.writerows(["" if value is None else value for value in row] for row in table.rows)


def write_latex(folder: Path, tables: Sequence[Table]) -> None:
    """Write `<name>.tex` of each table: a `tabular` with the rules of the package booktabs, and shares in percent.

    It has the rows of the terminal, without Arabic names, which need XeLaTeX or LuaLaTeX.

    Args:
        folder: Created if missing.
        tables: Tables of different names.
    """
    for table in tables:
        kept = [number for number, name in enumerate(table.shown_columns) if "arabic" not in name]
        header = [table.shown_columns[number] for number in kept]
        rows = [[row[number] for number in kept] for row in table.shown]
        align = "".join("l" if not rows or isinstance(value, str) else "r" for value in (rows or [header])[0])
        lines = [" & ".join(_latex(_format(value)) for value in row) + r" \\" for row in (header, *rows)]
        start = [rf"\begin{{tabular}}{{{align}}}", r"\toprule", lines[0], r"\midrule"]
        with atomic_path(folder / f"{table.name}.tex") as temporary:
            text = "\n".join([*start, *lines[1:], r"\bottomrule", r"\end{tabular}"])
            temporary.write_text(text + "\n", encoding="utf-8")


def _latex(text: str) -> str:
    return re.sub(r"[\\~^&%$#_{}]", lambda found: _LATEX.get(found[0], "\\" + found[0]), text)


def terminal_table(table: Table) -> Group:
    """Return title and table for rich's console; shares are in percent."""
    output = TerminalTable()
    for number, name in enumerate(table.shown_columns):
        is_text = not table.shown or isinstance(table.shown[0][number], str)
        output.add_column(Text(escape_controls(name)), justify="left" if is_text else "right", overflow="fold")
    for row in table.shown:
        output.add_row(*(Text(escape_controls(_format(value))) for value in row))
    return Group(Text(escape_controls(f"\n{table.title}"), style="bold"), output)


def _format(value: Any) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f}" if isinstance(value, float) else str(value)


def _table(name: str, title: str, columns: Sequence[str], rows: Sequence, shown: Sequence | None = None) -> Table:
    return Table(name, title, columns, rows, columns, rows if shown is None else shown)


def _group_table(name: str, title: str, metrics: Sequence[str], groups: Sequence[Mapping[str, Any]]) -> Table:
    """Return the metrics per group; the terminal shows value and interval in one column."""
    columns = (title, "clips", *(column for metric in metrics for column in (metric, f"{metric} low", f"{metric} high")))
    rows, shown = [], []
    for group in groups:
        found = [tuple(group["metrics"][metric].values()) for metric in metrics]
        rows.append((group["name"], group["clips"], *(value for values in found for value in values)))
        texts = [f"{_format(value)} [{100 * low:.1f}, {100 * high:.1f}]" for value, low, high in found]
        shown.append((group["name"], group["clips"], *texts))
    return Table(name, f"per {title}", columns, rows, (title, "clips", *metrics), shown)


def _class_table(classes: Sequence[Mapping[str, Any]]) -> Table:
    """Return all classes; the terminal shows those with the lowest F1."""
    columns = ("label", "sign", "class", "arabic", "support", "predicted", "precision", "recall", "f1")
    keys = ("label", "sign", "name", "arabic", *columns[4:])
    rows = [tuple(row[key] for key in keys) for row in classes]
    known = sorted((row for row in rows if row[-1] is not None), key=lambda row: (row[-1], row[0]))
    title = (
        f"the {_WORST} classes of {len(rows)} with the lowest F1" if len(known) > _WORST else "classes, the lowest F1 first"
    )
    return _table("classes", title, columns, rows, known[:_WORST])


def _pair_table(report: Mapping[str, Any]) -> Table:
    classes = report["classes"]
    columns = ("class", "classified as", "clips", "share", "arabic", "classified as, arabic")
    rows = [
        (
            *(class_title(classes[pair[key]]) for key in ("true", "predicted")),
            *(pair["clips"], pair["share"]),
            *(classes[pair[key]]["arabic"] for key in ("true", "predicted")),
        )
        for pair in report["confused"]
    ]
    return _table("confused", "classes confused most often", columns, rows, rows[:_PAIRS])
