"""`karsl predict` and `karsl info` on real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from karsl.cli.main import main
from karsl.engine import build_runner
from karsl.formats import open_clips
from karsl.inference import Recognizer
from karsl.pack.write import pack_clips


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, corpus) -> Path:
    steps = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]
    dataset = {"type": "KArSLDataset", "data_root": str(corpus), "pipeline": steps}
    loader = {"batch_size": 8, "num_workers": 0, "dataset": dataset}
    backbone = {"type": "STTransformer", "embed_dims": 8, "depth": 1, "num_heads": 2}
    head = {"type": "ClassifierHead", "num_classes": "auto", "in_channels": 8}
    work = tmp_path_factory.mktemp("predict")
    build_runner(Config({
        "default_scope": "karsl",
        "model": {"type": "KeypointRecognizer", "backbone": backbone, "cls_head": head},
        "train_dataloader": {**loader, "sampler": {"type": "DefaultSampler", "shuffle": True}},
        "test_dataloader": {**loader, "sampler": {"type": "DefaultSampler", "shuffle": False}},
        "test_cfg": {},
        "test_evaluator": {"type": "AccuracyMetric"},
        "train_cfg": {"by_epoch": True, "max_epochs": 1},
        "optim_wrapper": {"optimizer": {"type": "Adam", "lr": 0.01}},
        "work_dir": str(work),
        "experiment_name": "predict",
    })).train()  # fmt: skip
    return work / "epoch_1.pth"


@pytest.fixture
def clip(corpus) -> Path:
    return next(corpus.glob("01-test/*.npz"))


def test_a_table_has_a_line_per_clip_and_the_accuracy(checkpoint, corpus, capsys):
    assert main(["predict", str(checkpoint), str(corpus), "--topk", "2"]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    predictions = Recognizer.from_checkpoint(checkpoint)(corpus)
    correct = sum(p.label == p.true_label for p in predictions)
    assert last == f"correct: {correct} of 84 clips ({correct / 84:.1%})"
    best, second = predictions[0].top(2)
    assert rows[0].startswith(f"{predictions[0].clip_id}: {best.name} {best.name_ar} {best.score:.3f}  {second.name} ")
    assert len(rows) == 84


def test_json_lines_have_labels_glosses_scores_and_what_is_known(checkpoint, corpus, clip, tmp_path, capsys):
    out = tmp_path / "new" / "predictions.jsonl"
    assert main(["predict", str(checkpoint), str(corpus), str(clip), "--format", "jsonl", "--out", str(out)]) == 0
    assert capsys.readouterr().out == ""
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    (first,) = {(row["source"], row["signer"], row["true_label"]) for row in rows[:1]}
    prediction = Recognizer.from_checkpoint(checkpoint)(corpus)[0]
    assert first == (str(corpus), "01", prediction.true_label)
    assert [entry["score"] for entry in rows[0]["top"]] == [c.score for c in prediction.top()]
    assert {entry["name_ar"] for entry in rows[0]["top"]} == {"مرحبا", "شكرا", "نعم", "لا"}
    assert {row["source"] for row in rows} == {str(corpus), str(clip)}


def test_sheets_are_pictures_with_the_prediction(checkpoint, clip, tmp_path, capsys):
    assert main(["predict", str(checkpoint), str(clip), "--format", "sheet", "--out", str(tmp_path / "sheets")]) == 0
    assert capsys.readouterr().out == f"2 sheets in {tmp_path / 'sheets'}\n"
    assert len(list((tmp_path / "sheets").glob("*.png"))) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere.npz"], "no file or folder 'nowhere.npz'"),
        (["{hands}"], "has skeleton 'hand_42', the model 'karsl_184', of which it lacks 142 keypoints"),
        (["{clip}", "--topk", "0"], "--topk 0, --batch-size 16; expected numbers of at least 1"),
        (["{clip}", "--format", "sheet"], "--format sheet needs --out DIR"),
        (["{clip}", "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(checkpoint, clip, tmp_path, capsys, words, text):
    np.save(tmp_path / "hands.npy", np.ones((9, 42, 3), np.float32))
    words = [word.format(clip=clip, hands=tmp_path / "hands.npy") for word in words]
    assert main(["predict", str(checkpoint), *words]) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_hands_alone_are_classified_with_the_option(checkpoint, tmp_path, capsys):
    np.save(tmp_path / "hands.npy", np.ones((9, 42, 3), np.float32))
    assert main(["predict", str(checkpoint), str(tmp_path / "hands.npy"), "--map-skeleton"]) == 0
    assert capsys.readouterr().out.startswith("hands: ")


def lines(capsys, *words: object) -> dict[str, str]:
    assert main(["info", *map(str, words)]) == 0
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_info_describes_a_checkpoint_in_ten_lines(checkpoint, capsys):
    found = lines(capsys, checkpoint)
    assert found["trained"] == "epoch 1, iteration 8, seed None, experiment predict" or "epoch 1" in found["trained"]
    assert found["pipeline"] == "LoadKeypoints > TSNSampleFrames > PackKeypointInputs; 8 frames"
    assert found["classes"] == "4: hello, thanks, yes, no"
    assert found["skeleton"].startswith("karsl_184, 184 keypoints: pose 6, ")
    assert len(found) <= 10


def test_info_describes_folders_and_packs_in_ten_lines(corpus, tmp_path, capsys):
    found = lines(capsys, corpus)
    assert found["signers"] == "01 (28 clips), 02 (28 clips), 03 (28 clips)"
    assert found["splits"] == "test (24 clips), train (60 clips)"
    pack_clips(open_clips(corpus), tmp_path / "pack")
    packed = lines(capsys, tmp_path / "pack")
    assert packed["pack"].startswith(f"{tmp_path / 'pack'}, 1 shard, ")
    assert packed["frames"] == found["frames"]
    assert len(packed) <= 10


def test_info_of_nothing_is_one_sentence(capsys):
    assert main(["info", "nowhere"]) == 2
    assert capsys.readouterr().err == "karsl info: no file or folder 'nowhere' to describe\n"
