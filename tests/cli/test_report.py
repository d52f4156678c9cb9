"""`karsl report` and `karsl fuse` on files."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.evaluation import read_scores
from tests.evaluation.score_files import save

ONE, TWO = [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], [[0.25, 0.75], [0, 1], [0, 1]]
LABELS = [0, 1, 1]


@pytest.fixture
def files(tmp_path):
    """Two models on the same three clips: one recognizes 2, the other 2 others."""
    return [str(save(tmp_path / "one.npz", ONE, LABELS)), str(save(tmp_path / "two.npz", TWO, LABELS))]


def test_two_files_are_reported_compared_and_written(files, tmp_path, capsys):
    out = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "csv"), "--html", str(tmp_path / "a.html")]
    assert main(["report", *files, *out, "--bootstrap", "20"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "66.67" in text
    assert "paired 95 % intervals" in text
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [report["metrics"]["top1"]["value"] for report in content["reports"]] == [pytest.approx(2 / 3)] * 2
    assert content["comparisons"][0]["differences"]["top1"]["value"] == 0
    assert (tmp_path / "csv" / "2-two" / "comparison.csv").is_file()
    matrix = (tmp_path / "csv" / "1-one" / "confusion.csv").read_text(encoding="utf-8-sig").splitlines()
    assert matrix == ["true \\ predicted,a,b", "a,1,0", "b,1,1"]
    assert "مرحبا" in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_tables_and_figure_for_a_paper(files, tmp_path, capsys):
    out = ["--latex", str(tmp_path / "tex"), "--figure", str(tmp_path / "confusion.svg"), "--bootstrap", "20"]
    assert main(["report", files[0], *out]) == 0
    lines = (tmp_path / "tex" / "signers.tex").read_text(encoding="utf-8").splitlines()
    assert lines[2] == r"signer & clips & top1 & mean1 \\"
    assert lines[4].startswith("01 & 2 & 100.00 [")
    assert ">predicted class</text>" in (tmp_path / "confusion.svg").read_text(encoding="utf-8")
    assert main(["report", *files, *out]) == 0
    assert (tmp_path / "tex" / "2-two" / "comparison.tex").is_file()
    assert ">two</text>" in (tmp_path / "confusion.svg").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_file(files, tmp_path):
    for name in ("a", "b"):
        assert main(["report", files[0], "--json", str(tmp_path / name), "--bootstrap", "20"]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_folds_are_joined(files, tmp_path, capsys):
    other = save(tmp_path / "fold.npz", ONE, LABELS, clip_id=np.array(["d0", "d1", "d2"]))
    assert main(["report", files[0], str(other), "--folds", "--bootstrap", "20"]) == 0
    assert "1 more fold: 6 clips" in " ".join(capsys.readouterr().out.split())
    assert main(["report", files[0], str(other)]) == 2
    error = capsys.readouterr().err
    assert "folds are joined with --folds" in error
    assert error.count("\n") == 1


def test_fused_scores_are_reported_like_others(files, tmp_path, capsys):
    out = tmp_path / "fused.npz"
    assert main(["fuse", *files, "--weights", "3", "1", "--out", str(out)]) == 0
    assert "100.00 % top-1" in capsys.readouterr().out
    fused = read_scores(out)
    assert fused.scores.tolist() == [[0.625, 0.375], [0.375, 0.625], [0.1875, 0.8125]]
    assert main(["report", str(out), "--bootstrap", "5"]) == 0


def test_weights_are_searched_on_validation_clips(files, tmp_path, capsys):
    names = np.array(["v0", "v1", "v2"])
    validation = [save(tmp_path / f"val{n}.npz", table, LABELS, clip_id=names) for n, table in enumerate((ONE, TWO))]
    out = ["--out", str(tmp_path / "fused.npz")]
    assert main(["fuse", *files, "--search", *map(str, validation), *out]) == 0
    assert "top-1 on the validation clips: 100.00 %" in capsys.readouterr().out
    assert main(["fuse", *files, "--search", *files, *out]) == 2
    assert "use validation clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fuse", "one.npz"], "alone cannot be fused"),
        (["fuse", "one.npz", "two.npz", "--weights", "1"], "1 weights for 2 score files"),
        (["fuse", "one.npz", "two.npz", "--weights", "1", "1", "--search", "one.npz", "two.npz"], "exclude each other"),
        (["fuse", "one.npz", "two.npz", "--search", "one.npz"], "give one per model"),
        (["fuse", "one.npz", "two.npz", "--out", "fused.json"], r"a score file is an \.npz file"),
        (["report", "nothing.npz"], "does not exist"),
        (["report", "one.npz", "--bootstrap", "0"], "expected a number of at least 1"),
    ],
)
def test_bad_arguments_are_one_sentence(files, tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_a_name_in_a_table_does_not_control_the_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    scores = save(tmp_path / "one.npz", ONE, LABELS, signer=np.array(["\x1b[2J", "\u202eanna", "أحمد"]))
    assert main(["report", str(scores), "--bootstrap", "20"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[1m" in out, "titles are bold"
    assert all(f" {name} " in out for name in (r"\x1b[2J", r"\u202eanna", "أحمد"))
    assert not re.search("\x1b\\[2J|\u202e", out)
