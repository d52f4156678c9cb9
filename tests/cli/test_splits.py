"""`karsl splits`, and training from a split file."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets.splits import Split, read_split, write_split
from karsl.testing import make_corpus

CONFIG = "configs/any_corpus_split.py"


@pytest.fixture(scope="module")
def shared_corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "c", signs=2, signers=("01", "02"), train_clips=4, test_clips=2)


@pytest.fixture
def corpus(shared_corpus, tmp_path):
    return shutil.copytree(shared_corpus, tmp_path / "c")


def run(*words):
    return main(["splits", *map(str, words)])


def test_splits_are_made_shown_and_verified(corpus, capsys):
    out = corpus / "splits"
    assert run("make", corpus, out, "--protocol", "leave-one-out", "--val-by", "session") == 0
    files = sorted(out.iterdir())
    assert [path.name for path in files] == ["leave-one-out-01.json", "leave-one-out-02.json"]
    split = read_split(files[0])
    assert {part: len(clips) for part, clips in split.parts.items()} == {"train": 4, "val": 4, "test": 12}
    printed = capsys.readouterr().out
    assert f"leave-one-out-01  hash {split.hash}  protocol leave-one-out (val_by='session')" in printed
    assert "test   12 clips, 2 signs, signers 01" in printed
    assert run("show", *files) == 0
    assert "val    4 clips, the first 02-train/" in capsys.readouterr().out
    assert run("verify", corpus, *files) == 0
    assert "2 splits verified" in capsys.readouterr().out


def test_the_same_corpus_gives_the_same_file_as_a_pack_and_as_folders(corpus, tmp_path):
    assert main(["pack", str(corpus), str(tmp_path / "packed"), "--workers", "0"]) == 0
    for name, source in (("a", corpus), ("b", tmp_path / "packed")):
        assert run("make", source, tmp_path / f"{name}.json", "--protocol", "random", "--by", "clip") == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.fixture
def leaking(corpus):
    """An annotation file that has a training clip of signer 01 as a test clip of signer 02, too."""
    main(["prepare", str(corpus)])
    content = json.loads((corpus / "annotations.json").read_text())
    first = next(record for record in content["data_list"] if record["split"] == "train")
    clip = np.load(corpus / first["keypoint_path"])[first["keypoint_key"]]
    np.savez(corpus / "02-test" / "copy.npz", copied=clip)
    located = {"clip_id": "copied", "keypoint_path": "02-test/copy.npz", "keypoint_key": "copied"}
    content["data_list"].append({**first, **located, "signer": "02", "split": "test"})
    (corpus / "leaking.json").write_text(json.dumps(content))
    return corpus / "leaking.json"


def test_equal_contents_in_two_parts_are_refused_and_nothing_is_written(leaking, tmp_path, capsys):
    words = ("make", leaking, tmp_path / "out", "--protocol", "shipped")
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert "the same content is in train ('01-train/0001/" in error
    assert "in test ('copied')" in error
    assert not (tmp_path / "out").exists()
    assert run(*words, "--quick") == 0


def test_equal_contents_in_two_parts_of_a_pack_are_found_by_its_checksums(leaking, tmp_path, capsys):
    assert main(["pack", str(leaking), str(tmp_path / "packed"), "--workers", "0"]) == 0
    assert run("make", tmp_path / "packed", tmp_path / "x.json", "--protocol", "shipped") == 2
    assert "in test ('copied')" in capsys.readouterr().err


def test_a_clip_or_a_session_in_two_parts_is_refused_by_name(corpus, tmp_path, capsys):
    assert run("make", corpus, tmp_path / "x.json", "--protocol", "shipped") == 0
    assert run("verify", corpus, tmp_path / "x.json", "--forbid", "session") == 2
    error = capsys.readouterr().err
    assert "4 problems" in error
    assert "shipped: session '01/2016-12-01' is in train ('01-train/0001/01_01_0001_(01_12_16_09_00_00)_c'" in error
    split = read_split(tmp_path / "x.json")
    twice = split.parts["train"][0]
    write_split(tmp_path / "y.json", Split("y", {**split.parts, "test": (*split.parts["test"], twice)}))
    assert run("verify", corpus, tmp_path / "y.json") == 2
    assert f"clip '{twice}' is in train and test" in capsys.readouterr().err


def test_a_corpus_that_lost_a_clip_of_the_split_is_refused(corpus, tmp_path, capsys):
    assert run("make", corpus, tmp_path / "x.json", "--protocol", "shipped") == 0
    (corpus / "01-train" / "0002.npz").unlink()
    assert run("verify", corpus, tmp_path / "x.json") == 2
    assert "4 clips of the split not in the corpus: '01-train/0002/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("make", "c", "out"), "no protocol; add --protocol NAME"),
        (("make", "c"), "1 paths given, expected SOURCE and OUT"),
        (("verify", "c"), "1 paths given, expected SOURCE and FILE"),
        (("make", "c", "out.json", "--protocol", "leave-one-out"), "makes 2 files, one per fold; name a folder"),
        (("make", "c", "labels.json", "--protocol", "shipped"), "labels.json exists, and a split is not changed"),
        (("make", "c", "out", "--protocol", "kfold"), "no protocol 'kfold'; did you mean 'k-fold'"),
        (("show", "labels.json"), "labels.json: object missing required field"),
        (("show", "absent.json"), "no split file 'absent.json'"),
    ],
)
def test_invalid_words_give_one_sentence(corpus, tmp_path, monkeypatch, capsys, words, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.json").write_text("{}")
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


def test_one_config_trains_leave_one_signer_out_with_validation_by_session_on_every_fold(corpus, tmp_path, capsys):
    assert run("make", corpus, corpus / "splits", "--protocol", "leave-one-out", "--val-by", "session") == 0
    data = ["--data-root", str(corpus), "--split-file", "splits/leave-one-out-02.json"]
    options = ["--cfg-options", "train_cfg.max_epochs=1", "experiment_name=validated"]
    assert main(["train", CONFIG, *data, "--work-dir", str(tmp_path / "run"), *options]) == 0
    (best,) = (tmp_path / "run").glob("best_acc_top1_epoch_1.pth")
    assert f"best on the validation clips: {best}\n" in capsys.readouterr().out
    predictions = tmp_path / "predictions.json"
    assert main(["test", CONFIG, str(best), *data, "--work-dir", str(tmp_path / "t"), "--dump", str(predictions)]) == 0
    assert {row["signer"] for row in json.loads(predictions.read_text())["predictions"]} == {"02"}


def test_a_corpus_that_ships_no_parts_trains_with_one_option(corpus, tmp_path):
    main(["prepare", str(corpus)])
    ann_file = corpus / "annotations.json"
    content = json.loads(ann_file.read_text())
    for record in content["data_list"]:
        del record["split"], record["signer"]
    ann_file.write_text(json.dumps(content))
    split = tmp_path / "split.json"
    words = ("make", ann_file, split, "--protocol", "random", "--by", "clip", "--val-by", "clip", "--val-share", "0.3")
    assert run(*words) == 0
    data = ["--data-root", str(corpus), "--ann-file", "annotations.json", "--split-file", str(split)]
    options = ["--cfg-options", "train_cfg.max_epochs=1", "experiment_name=unsplit"]
    assert main(["train", CONFIG, *data, "--work-dir", str(tmp_path / "run"), *options]) == 0
    assert (tmp_path / "run" / "best_acc_top1_epoch_1.pth").is_file()


def test_a_split_file_replaces_splits_and_signers_of_any_config(corpus, tmp_path):
    from karsl.engine import load_config

    cfg = load_config("configs/karsl100_loso_s01.py", data_root=corpus, split_file="x.json")
    filters = {name: dict(cfg[f"{name}_dataloader"].dataset.filter_cfg) for name in ("train", "test")}
    assert filters["train"] == {"subset": "karsl100", "split_file": "x.json", "part": "train"}
    assert filters["test"] == {"subset": "karsl100", "split_file": "x.json", "part": "test"}
    cfg = load_config("configs/karsl100_validated.py", {"split_file": "y.json"})
    assert [cfg[f"{part}_dataloader"].dataset.filter_cfg.split_file for part in ("train", "val", "test")] == ["y.json"] * 3
