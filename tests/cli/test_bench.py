"""`karsl bench` from the command line, over the loader of a real config."""

from __future__ import annotations

import json

import numpy as np
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
    measured = content["measured"]["source"]
    assert [row["num_workers"] for row in measured["results"]] == [0, 1], "in this process and as the config says"
    assert measured["samples_per_s"] == max(row["samples_per_s"] for row in measured["results"])
    assert measured["slowest_stage"] in measured["stages"]["micros"]
    assert measured["advice"]
    (data,) = measured["settings"].pop("data")
    assert measured["settings"] == {"batch_size": 4, "collate_fn": "pseudo_collate"}
    assert (data["data_root"], data["clips"]) == (str(corpus), 84)
    assert data["pipeline"] == ["LoadKeypoints", "TSNSampleFrames", "PackKeypointInputs"]
    assert content["versions"]["torch"]
    assert content["machine"]["cores"] >= 1
    assert (content["options"]["seconds"], content["at_least"], content["reached"]) == (0.1, None, True)


def test_a_floor_sets_the_exit_status(config, corpus, capsys):
    options = ["--data-root", str(corpus), "--workers", "0", "--seconds", "0.05"]
    assert main(["bench", str(config), *options, "--at-least", "1"]) == 0
    assert main(["bench", str(config), *options, "--at-least", "1e12"]) == 1
    assert "below the limit" in capsys.readouterr().out


def test_a_transform_whose_forms_differ_sets_the_exit_status(config, corpus, tmp_path, monkeypatch, capsys):
    pytest.importorskip("numba")
    (tmp_path / "halving.py").write_text(
        "from karsl.datasets.transforms import KeypointTransform\n"
        "from karsl.registry import TRANSFORMS\n\n"
        "@TRANSFORMS.register_module()\n"
        "class Halving(KeypointTransform):\n"
        "    def apply(self, results, params):\n"
        "        return {'keypoint': results['keypoint'] / 2}\n\n"
        "    def transform_batch(self, batch):\n"
        "        return {'keypoint': batch.keypoint / 4}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    text = CONFIG.replace('dict(type="PackK', 'dict(type="Halving"), dict(type="PackK')
    config.write_text(f'custom_imports = dict(imports=["halving"])\n{text}')
    assert main(["bench", str(config), "--data-root", str(corpus), "--workers", "0", "--seconds", "0.05"]) == 1
    assert "Halving: transform_batch and apply differ, by up to" in " ".join(capsys.readouterr().out.split())


def test_a_folder_is_timed_as_it_is_and_packed(corpus, tmp_path, capsys):
    out = tmp_path / "figures.json"
    options = ["--workers", "0", "--seconds", "0.05", "--json", str(out)]
    assert main(["bench", str(corpus), *options, "--pack", "--cfg-options", "train_dataloader.batch_size=8"]) == 0
    text = capsys.readouterr().out
    assert "84 clips, batches of 8" in text
    assert "times the samples/s; write it with 'karsl pack SOURCE PACK'" in text
    measured = json.loads(out.read_text())["measured"]
    assert [measured[name]["stages"]["decodes_files"] for name in ("source", "pack")] == [True, False]
    assert [measured[name]["settings"]["data"][0]["clips"] for name in ("source", "pack")] == [84, 84]
    assert not any(path.name.startswith("karsl-bench") for path in tmp_path.rglob("*"))


def test_a_pack_is_timed_and_not_packed_again(corpus, tmp_path, capsys):
    pack = tmp_path / "pack"
    assert main(["pack", str(corpus), str(pack), "--workers", "0"]) == 0
    assert main(["bench", str(pack), "--workers", "0", "--seconds", "0.05"]) == 0
    assert main(["bench", str(pack), "--workers", "0", "--seconds", "0.05", "--pack"]) == 2
    assert "is a pack already; remove --pack" in capsys.readouterr().err


def test_a_folder_of_array_stacks_is_timed_with_its_layout(tmp_path, capsys):
    clips = tmp_path / "clips"
    clips.mkdir()
    np.save(clips / "shard_0.npy", np.random.default_rng(0).random((5, 9, 184, 4), dtype=np.float32))
    options = ["--workers", "0", "--seconds", "0.05"]
    assert main(["bench", str(clips), *options, "--layout", "karsl_184", "--pack"]) == 0
    assert "5 clips, batches of 64" in capsys.readouterr().out
    assert main(["bench", str(clips), *options]) == 2
    assert "may be 'karsl_184'" in capsys.readouterr().err
    assert main(["bench", "config.py", "--layout", "karsl_184"]) == 2
    assert "--layout describes array files" in capsys.readouterr().err


def test_folders_that_no_dataset_reads_are_one_sentence(corpus, tmp_path, capsys):
    tars = tmp_path / "tars"
    assert main(["convert", str(corpus), str(tars), "--to", "tar"]) == 0
    assert main(["bench", str(tars)]) == 2
    assert "has the format tar; pack it with 'karsl pack" in capsys.readouterr().err
    assert main(["bench", str(corpus), "--data-root", "elsewhere"]) == 2
    assert "--data-root changes a config" in capsys.readouterr().err


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
