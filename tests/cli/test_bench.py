"""`karsl bench` from the command line, over the loader of a real config."""

from __future__ import annotations

import json

import pytest

from karsl.cli.main import main

CONFIG = """
default_scope = "karsl"
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="KArSLDataset", data_root="nowhere", index_cache=None, pipeline=[
        dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=8), dict(type="PackKeypointInputs")]),
)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "bench_config.py"
    path.write_text(CONFIG)
    return path


def test_rates_stages_and_advice_are_printed_and_written(config, corpus, tmp_path, capsys):
    out = tmp_path / "figures.json"
    assert main(["bench", str(config), "--data-root", str(corpus), "--seconds", "0.1", "--json", str(out)]) == 0
    text = capsys.readouterr().out
    assert "samples/s" in text
    assert "TSNSampleFrames" in text
    assert "karsl pack" in text
    content = json.loads(out.read_text())
    assert [row["num_workers"] for row in content["results"]] == [0, 1], "in this process and as the config says"
    assert content["batch_size"] == 4
    assert content["machine"]["torch"]
    assert content["advice"]


def test_a_floor_sets_the_exit_status(config, corpus, capsys):
    options = ["--data-root", str(corpus), "--workers", "0", "--seconds", "0.05"]
    assert main(["bench", str(config), *options, "--at-least", "1"]) == 0
    assert main(["bench", str(config), *options, "--at-least", "1e12"]) == 1
    assert "below the limit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--workers", "-1"], "--workers -1; expected 0 or more"),
        (["--seconds", "0"], "--seconds 0; expected a positive number"),
        (["--step-ms", "-1"], "--step-ms -1; expected 0 or more"),
        (["--batch-size", "0"], "--batch-size 0; expected a positive number"),
        (["--phase", "val"], "has no val_dataloader; it has train"),
    ],
)
def test_wrong_options_are_one_sentence(config, options, sentence, capsys):
    assert main(["bench", str(config), *options]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
