"""Evaluation and comparison of score files by known answers, and their tables."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from rich.console import Console

from karsl.errors import ConfigError
from karsl.evaluation import compare, evaluate
from karsl.evaluation.report import class_title
from karsl.evaluation.tables import Table, comparison_table, report_tables, terminal_table, write_csv, write_latex
from tests.evaluation.score_files import make_scores

# six classes, so that top-5 can miss: c0, c1, c2 right, c3 second, c4 last of six
SCORES = np.array([[9, 5, 4, 3, 2, 1], [9, 5, 4, 3, 2, 1], [9, 5, 4, 3, 2, 1], [8, 9, 4, 3, 2, 1], [9, 0, 4, 3, 2, 1]])
LABELS = [0, 0, 0, 0, 1]


def shares(scores):
    scores = np.asarray(scores, np.float64)
    return scores / scores.sum(axis=1, keepdims=True)


def test_metrics_of_all_clips_signers_and_classes():
    report = evaluate(make_scores(shares(SCORES), LABELS), resamples=20)
    assert {name: v["value"] for name, v in report["metrics"].items()} == {"top1": 0.6, "top5": 0.8, "mean1": 0.375}
    assert all(v["low"] <= v["value"] <= v["high"] for v in report["metrics"].values())
    assert [(row["name"], row["clips"], row["metrics"]["top1"]["value"]) for row in report["signers"]] == [
        ("01", 3, 2 / 3),
        ("02", 2, 0.5),
    ]
    assert report["categories"] == []
    first = report["classes"][0]
    assert (first["name"], first["support"], first["predicted"], first["recall"]) == ("a", 4, 4, 0.75)
    assert report["classes"][2]["recall"] is None
    assert report["confused"] == [
        {"true": 0, "predicted": 1, "clips": 1, "share": 0.25},
        {"true": 1, "predicted": 0, "clips": 1, "share": 1.0},
    ]
    assert report["macro"] == {"precision": 0.375, "recall": 0.375, "f1": 0.375}
    json.dumps(report, allow_nan=False)


def test_scores_that_are_no_probabilities_have_no_calibration():
    assert evaluate(make_scores(SCORES, LABELS), resamples=5)["calibration"] is None
    assert 0 <= evaluate(make_scores(shares(SCORES), LABELS), resamples=5)["calibration"]["ece"] <= 1


def test_a_comparison_is_paired_and_matches_clips():
    first = make_scores(shares(SCORES), LABELS)
    better = SCORES.copy()
    better[3, 0] = 10
    other = make_scores(shares(better), LABELS, path="other.npz").take(np.array([4, 3, 2, 1, 0]))
    found = compare(first, other, resamples=200)
    assert found["differences"]["top1"]["value"] == pytest.approx(0.2)
    assert found["differences"]["top1"]["low"] >= 0  # never worse on any clip, so in no resample
    assert (found["both"], found["other_only"], found["baseline_only"], found["neither"]) == (3, 1, 0, 1)
    same = compare(first, first, resamples=5)["differences"]["mean1"]
    assert same == {"value": 0, "low": 0, "high": 0}


def test_clips_without_label_cannot_be_evaluated():
    with pytest.raises(ConfigError, match="1 clip of 2 have no label"):
        evaluate(make_scores([[1, 0], [0, 1]], [0, -1]))


def test_a_title_has_the_number_once():
    assert class_title({"sign": 71, "name": "0071"}) == "0071"


def test_tables_hold_arabic_and_markup_as_text(tmp_path):
    scores = make_scores(shares(SCORES), LABELS, classes=np.array(["[red]a", "b", "c", "d", "e", "f"]))
    report = evaluate(scores, resamples=5)
    tables = [*report_tables(report), comparison_table(compare(scores, scores, resamples=5))]
    console = Console(width=200, record=True, file=open(tmp_path / "out.txt", "w", encoding="utf-8"))  # noqa: SIM115
    for table in tables:
        console.print(terminal_table(table))
    text = console.export_text()
    assert "[red]a" in text
    assert "مرحبا" in text
    write_csv(tmp_path / "tables", tables)
    names = sorted(path.name for path in (tmp_path / "tables").iterdir())
    assert names == ["calibration.csv", "classes.csv", "comparison.csv", "confused.csv", "metrics.csv", "signers.csv"]
    with open(tmp_path / "tables" / "classes.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["arabic"] == "مرحبا"
    assert (rows[0]["recall"], rows[2]["recall"]) == ("0.75", "")


def test_a_latex_table_has_percent_and_escaped_text_and_no_arabic_names(tmp_path):
    columns = ("class", "arabic", "clips", "f1")
    table = Table("classes", "title", columns, [], columns, [("a_b & c", "شكرا", 3, 0.5), ("~", "لا", 4, None)])
    write_latex(tmp_path, [table])
    assert (tmp_path / "classes.tex").read_text(encoding="utf-8").splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"class & clips & f1 \\",
        r"\midrule",
        r"a\_b \& c & 3 & 50.00 \\",
        r"\textasciitilde{} & 4 & - \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
