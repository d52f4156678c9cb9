"""`karsl demo` shows the lines that matter and keeps the rest in files."""

from __future__ import annotations

import pytest

from karsl.cli.demo import progress_line, run_command


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("01/31 10:00:00 - mmengine - INFO - Epoch(train)  [2][5/9]  loss: 2.1\n", "Epoch(train)  [2][5/9]  loss: 2.1"),
        ("01/31 10:00:00 - mmengine - INFO - Epoch(test) [5/5]    acc/top1: 0.9\n", "Epoch(test) [5/5]    acc/top1: 0.9"),
        ("acc/top1: 0.9000\n", "acc/top1: 0.9000"),
        ("checkpoint: demo_out/train/epoch_2.pth\n", "checkpoint: demo_out/train/epoch_2.pth"),
        ("logs: demo_out/train\n", "logs: demo_out/train"),
        ("default_hooks = dict(\n", None),
        ("    checkpoint=dict(interval=1),\n", None),
        ("01/31 10:00:00 - mmengine - WARNING - FileClient will be deprecated\n", None),
    ],
)
def test_only_progress_metrics_and_paths_are_shown(line, shown):
    assert progress_line(line) == shown


def test_the_whole_output_of_a_command_is_stored(corpus, tmp_path, capsys):
    log = tmp_path / "logs" / "prepare.log"
    assert run_command(["prepare", str(corpus), "--out", str(tmp_path / "a.json")], log) == 0
    assert "annotation file:" in log.read_text(encoding="utf-8")
    assert "annotation file:" in capsys.readouterr().out


def test_a_step_that_fails_ends_with_its_reason_and_the_path_of_its_log(tmp_path, capsys):
    log = tmp_path / "train.log"
    assert run_command(["train", str(tmp_path / "none.py")], log) == 2
    error = capsys.readouterr().err
    assert "none.py' does not exist" in error
    assert f"see {log} for its entire output" in error
