"""`karsl memory` from the command line."""

from __future__ import annotations

import json
import re
import sys

import pytest

from karsl.cli.main import main

linux = pytest.mark.skipif(sys.platform != "linux", reason="page maps are Linux's")


@linux
def test_synthetic_records_are_compared_and_the_limit_fails_the_copies(tmp_path, capsys):
    out = tmp_path / "figures.json"
    options = ["--serialize", "on", "off", "--points", "4", "--json", str(out), "--max-private-mb", "0.5"]
    assert main(["memory", "--records", "20000", "--start-method", "fork", *options]) == 1
    text = capsys.readouterr().out
    assert "shared: 0.0 % of the record pages are private copies" in text
    copied = re.search(r"copied: (\d+) % of the record pages", text)
    assert int(copied[1]) >= 95, "all but pages at the edge of an arena, whose one record the other worker read"
    assert "over the limit: fork · serialize off" in text
    assert "over the limit: fork · serialize on" not in text
    on, off = json.loads(out.read_text())
    assert (on["case"]["serialize"], off["case"]["serialize"]) == ("on", "off")


@linux
def test_a_config_is_measured_with_its_own_loader(corpus, tmp_path, capsys):
    config = tmp_path / "memory_config.py"
    config.write_text(
        "default_scope = 'karsl'\n"
        "train_dataloader = dict(batch_size=8, num_workers=1, sampler=dict(type='DefaultSampler', shuffle=True),\n"
        "    dataset=dict(type='KArSLDataset', data_root='nowhere', pipeline=[dict(type='LoadKeypoints')]))\n"
    )
    assert main(["memory", str(config), "--data-root", str(corpus), "--max-private-mb", "0"]) == 0
    text = capsys.readouterr().out
    assert "worker 0" in text
    assert "worker 1" not in text
    assert main(["memory", str(config), "--phase", "val"]) == 2
    assert "has no val_dataloader; it has train" in capsys.readouterr().err


@linux
def test_a_stream_gets_its_batch_size_as_in_a_run(corpus, tmp_path, capsys):
    config = tmp_path / "memory_of_stream.py"
    steps = "[dict(type='LoadKeypoints'), dict(type='TSNSampleFrames', clip_len=4), dict(type='PackKeypointInputs')]"
    config.write_text(
        "default_scope = 'karsl'\n"
        "train_dataloader = dict(batch_size=8, num_workers=2, sampler=None, collate_fn=dict(type='keypoint_collate'),\n"
        f"    dataset=dict(type='StreamDataset', source={str(tmp_path / 'pack')!r}, pipeline={steps}))\n"
    )
    assert main(["pack", str(corpus), str(tmp_path / "pack")]) == 0
    assert main(["memory", str(config)]) == 0
    assert "worker 1" in capsys.readouterr().out


@linux
def test_a_folder_is_measured_without_workers(corpus, capsys):
    assert main(["memory", "--data-root", str(corpus), "--workers", "0"]) == 0
    text = capsys.readouterr().out
    assert "main" in text
    assert "worker 0" not in text


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nothing to measure; give a config, --data-root, or --records 1000000"),
        (["--records", "0"], "--records 0; expected a positive number"),
        (["--records", "5", "--data-root", "x"], "leave out the config and --data-root"),
        (["--data-root", "x", "--serialize", "mmengine"], "compares synthetic records"),
        (["--records", "5", "--workers", "-1"], "--workers -1; expected 0 or more"),
        (["--records", "5", "--cfg-options", "a=1"], "--cfg-options changes a config, but none is given"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(options, sentence, capsys):
    assert main(["memory", *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert main(["memory", "--data-root", str(tmp_path / "none"), "--workers", "0"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_picture_needs_matplotlib_before_any_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("karsl.profiling.plot.find_spec", lambda name: None)
    assert main(["memory", "--records", "5", "--plot", str(tmp_path / "m.png")]) == 2
    assert "pip install 'karsl[viz]'" in capsys.readouterr().err
