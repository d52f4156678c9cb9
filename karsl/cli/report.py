"""`karsl report`: statistics of score files as tables, JSON, CSV and a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karsl.errors import ConfigError

if TYPE_CHECKING:
    from karsl.evaluation import Scores
    from karsl.evaluation.tables import Table

SUMMARY = "evaluate score files: accuracy, signers, classes, confusions, calibration, comparison"
EPILOG = """examples:
  karsl test CONFIG CHECKPOINT --dump scores.npz        writes the scores of all clips
  karsl report scores.npz                               tables in the terminal
  karsl report scores.npz --html report.html            a page with the confusion matrix
  karsl report scores.npz --csv tables --json out.json  all numbers
  karsl report scores.npz --latex tables --figure confusion.pdf      for a paper
  karsl report joint.npz fused.npz                      the difference of two models on the same clips
  karsl report fold_01.npz fold_02.npz --folds          several folds as one result
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.epilog = EPILOG
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="SCORES",
        help="score files; models on the same clips are compared with the first",
    )
    parser.add_argument(
        "--folds", action="store_true", help="the files are folds of one result, with other clips in each, and are joined"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all statistics to this file")
    parser.add_argument(
        "--csv", type=Path, metavar="DIR", help="write tables and confusion matrix as CSV files to this folder"
    )
    parser.add_argument(
        "--latex", type=Path, metavar="DIR", help="write the tables of the terminal as LaTeX files to this folder"
    )
    parser.add_argument(
        "--figure",
        type=Path,
        metavar="FILE",
        help="write the confusion matrix to this .pdf, .svg or .png file, one panel per score file",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write an offline page with the confusion matrix to this file"
    )
    parser.add_argument(
        "--browse",
        default="",
        metavar="ADDRESS",
        help="page of the clips that cells of the matrix open: a file of 'karsl browse --format html', or the address of "
        "'karsl browse --serve'",
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples of the clips for the intervals (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the tables, and write the requested files."""
    from karsl.evaluation import compare, evaluate, join_folds, match_clips, read_scores
    from karsl.evaluation.tables import comparison_table, models_table, report_tables, terminal_table
    from karsl.progress import make_console

    if args.bootstrap < 1:
        raise ConfigError(f"--bootstrap {args.bootstrap}; expected a number of at least 1")
    if args.seed < 0:
        raise ConfigError(f"--seed {args.seed}; expected a number of at least 0")
    files = [read_scores(path) for path in args.files]
    files = [join_folds(files)] if args.folds else match_clips(files)
    options = {"resamples": args.bootstrap, "seed": args.seed}
    reports = [evaluate(scores, **options) for scores in files]
    comparisons = [compare(files[0], scores, **options) for scores in files[1:]]
    tables = [list(report_tables(report)) for report in reports]
    differences = [comparison_table(comparison) for comparison in comparisons]
    console = make_console()
    overview = [models_table(reports)] if len(reports) > 1 else []
    for table in [*(table for group in tables for table in group), *overview, *differences]:
        console.print(terminal_table(table))
    _write(args, files, {"reports": reports, "comparisons": comparisons}, tables, differences)
    return 0


def _write(
    args: argparse.Namespace,
    files: list[Scores],
    content: dict[str, Any],
    tables: list[list[Table]],
    differences: list[Table],
) -> None:
    from karsl.io.atomic import atomic_path

    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"statistics: {args.json}")
    if args.csv:
        _write_csv(args.csv, files, tables, differences)
        print(f"tables: {args.csv}")
    if args.latex:
        _write_latex(args.latex, files, tables, differences)
        print(f"LaTeX tables: {args.latex}")
    if args.figure:
        _write_figure(args.figure, files)
        print(f"figure: {args.figure}")
    if args.html:
        _write_html(args, files, content)
        print(f"page: {args.html}")


def _write_html(args: argparse.Namespace, files: list[Scores], content: dict[str, Any]) -> None:
    from karsl.evaluation.report import clip_columns, confusion
    from karsl.evaluation.statistics import cluster_order
    from karsl.visualization.report import write_report

    models = [
        {"report": report, "clips": clip_columns(scores), "cluster": cluster_order(confusion(scores)).tolist()}
        for scores, report in zip(files, content["reports"], strict=True)
    ]
    write_report(args.html, models, comparisons=content["comparisons"], browse=args.browse)


def _write_csv(folder: Path, files: list[Scores], tables: list[list[Table]], differences: list[Table]) -> None:
    """Write the tables; those of several files go to a folder per file."""
    from karsl.evaluation.class_metrics import write_matrix
    from karsl.evaluation.report import confusion
    from karsl.evaluation.tables import write_csv

    folders = _folders(folder, files)
    for scores, group, target in zip(files, tables, folders, strict=True):
        write_csv(target, group)
        write_matrix(target / "confusion.csv", confusion(scores), list(map(str, scores.classes)))
    for table, target in zip(differences, folders[1:], strict=True):
        write_csv(target, [table])


def _write_latex(folder: Path, files: list[Scores], tables: list[list[Table]], differences: list[Table]) -> None:
    """Write the tables; those of several files go to a folder per file."""
    from karsl.evaluation.tables import write_latex

    folders = _folders(folder, files)
    for group, target in zip(tables, folders, strict=True):
        write_latex(target, group)
    for table, target in zip(differences, folders[1:], strict=True):
        write_latex(target, [table])


def _folders(folder: Path, files: list[Scores]) -> list[Path]:
    """Return the folder of each file: the given one, or one in it per file."""
    names = [f"{number}-{Path(scores.path).stem}" for number, scores in enumerate(files, start=1)]
    return [folder / name for name in names] if len(files) > 1 else [folder]


def _write_figure(path: Path, files: list[Scores]) -> None:
    from karsl.evaluation.report import confusion
    from karsl.visualization.confusion_figure import write_confusion_figure

    titles = [Path(scores.path).stem for scores in files] if len(files) > 1 else []
    write_confusion_figure(path, [confusion(scores) for scores in files], list(map(str, files[0].classes)), titles)
