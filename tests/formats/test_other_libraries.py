"""Output is read by the libraries it is meant for; a test is skipped if its library is not installed."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import yaml

from karsl.errors import KarslError
from karsl.formats import convert, open_clips
from karsl.formats.parquet import _features
from tests.formats.random_clips import make_source


def test_numpy_reads_archives_blocks_and_frames(tmp_path):
    source = make_source("holistic_543", [(4, "none", 1), (4, "group", 2)])
    clip = source.read(source.records[0])
    pose = clip[:, :33].reshape(4, -1)
    archive = np.load(convert(source, tmp_path / "a", "holistic").path / "see_you.npz")
    np.testing.assert_array_equal(archive["clip_0"][:, :132], pose)
    folder = convert(source, tmp_path / "b", "holistic-block").path
    assert np.load(folder / "X.npy", mmap_mode="r").shape == (2, 4, 1662)
    np.testing.assert_array_equal(np.load(folder / "X.npy")[0, :, :132], pose)
    assert np.load(folder / "y.npy").tolist() == [0, 1]
    folder = convert(source, tmp_path / "c", "holistic-frames").path
    np.testing.assert_array_equal(np.load(folder / "see_you" / "clip_0" / "3.npy")[:132], pose[3])
    root = np.load(convert(make_source(), tmp_path / "d", "karsl").path / "01-train" / "0007.npz")
    assert root["clip_0"].shape == (5, 184, 4)
    assert {info.date_time for info in root.zip.infolist()} == {(1980, 1, 1, 0, 0, 0)}  # bytes do not depend on the date


def test_pickle_has_the_keys_of_mmaction2_and_pyskl(tmp_path):
    source = make_source()
    content = pickle.loads(convert(source, tmp_path / "x.pkl", "pyskl2d").path.read_bytes())
    first = content["annotations"][0]
    assert content["split"] == {
        "train": ["01-train/clip 0", "02-train/clip 1", "02-train/clip 3"],
        "test": ["01-test/clip 2"],
    }
    assert (first["frame_dir"], first["label"], first["total_frames"]) == ("01-train/clip 0", 0, 5)
    assert (first["keypoint"].shape, first["keypoint_score"].shape) == ((1, 5, 184, 2), (1, 5, 184))
    assert (first["keypoint"].dtype, first["img_shape"]) == (np.float32, (1, 1))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_hugging_face_datasets_loads_splits_rows_and_arrays(dtype, tmp_path):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: Hugging Face's loader is not tested")
    pytest.importorskip("pyarrow")
    source = make_source()
    path = convert(source, tmp_path / "hf", "parquet", dtype=dtype).path
    loaded = datasets.load_dataset("parquet", data_dir=str(path), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 3, "test": 1}
    row, clip = loaded["train"][0], source.read(source.records[0])
    found = np.frombuffer(row["keypoint"], row["dtype"]).reshape(row["shape"])
    np.testing.assert_array_equal(found, clip.astype(dtype))
    assert (row["gloss"], row["gloss_ar"], row["signer"], row["label"]) == ("see you", "أراك", "01", 0)


def test_hugging_face_datasets_finds_splits_and_class_names_by_the_card_and_gives_them_back(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: Hugging Face's loader is not tested")
    source = make_source()
    path = convert(source, tmp_path / "hf", "parquet").path
    loaded = datasets.load_dataset(str(path), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 3, "test": 1}
    assert loaded["train"].features["label"].names == list(source.metainfo["classes"])
    loaded["train"].select([2]).to_parquet(tmp_path / "one.parquet")
    again = open_clips(tmp_path / "one.parquet", skeleton="karsl_184")
    assert again.metainfo["classes"] == tuple(source.metainfo["classes"])
    (record,) = again.records
    (own,) = [r for r in source.records if r["clip_id"] == record["clip_id"]]
    np.testing.assert_array_equal(again.read(record), source.read(own))


def test_the_card_of_parquet_files_has_their_features_and_splits(tmp_path):
    pytest.importorskip("pyarrow")
    text = (convert(make_source(), tmp_path / "hf", "parquet").path / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    (config,) = yaml.safe_load(head)["configs"]
    assert config["data_files"] == [
        {"split": "test", "path": "test-00000-of-00001.parquet"},
        {"split": "train", "path": "train-00000-of-00001.parquet"},
    ]
    for line in (
        "| `label` | class, index into `classes` of the metainfo |",
        "| train | 3 | 2 |",
        "| `shape` | frames, 184, 4 |",
    ):
        assert line in body.splitlines()


def test_equal_glosses_become_different_class_labels():
    names = _features(["nephew", "hello", "nephew"])["label"]["names"]
    assert names == ["nephew 0", "hello", "nephew 2"]


def test_pandas_reads_kaggle_files_like_the_starter_code(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: Kaggle's own way of reading is not tested")
    pytest.importorskip("pyarrow")
    source = make_source("kaggle_543", [(3, "group", 2)])
    folder = convert(source, tmp_path / "asl", "kaggle").path
    row = pandas.read_csv(folder / "train.csv").iloc[0]
    data = pandas.read_parquet(folder / row.path, columns=["x", "y", "z"]).values.reshape(-1, 543, 3).astype(np.float32)
    clip = source.read(source.records[0])
    np.testing.assert_array_equal(np.isnan(data).any(-1), clip[..., 3] == 0)
    np.testing.assert_array_equal(np.nan_to_num(data), clip[..., :3])
    assert json.loads((folder / "sign_to_prediction_index_map.json").read_text())[row.sign] == 0


@pytest.mark.parametrize("format", ["annotation", "holistic", "karsl", "parquet", "kaggle"])
def test_a_flipped_bit_gives_an_error_or_the_right_clip(format, tmp_path):
    """Zip files and karsl's parquet pages have checksums; other formats have none."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    points = {"holistic": "holistic_543", "kaggle": "kaggle_543"}.get(format, "karsl_184")
    path = convert(make_source(points, [(6, "none", 3)]), tmp_path / "out", format).path
    victim = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content, right = victim.read_bytes(), read_first(path, format)
    errors = []
    for offset in np.linspace(4, len(content) * 0.95, 60).astype(int).tolist():
        victim.write_bytes(content[:offset] + bytes([content[offset] ^ 16]) + content[offset + 1 :])
        try:
            np.testing.assert_array_equal(read_first(path, format), right)
        except KarslError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert all(victim.name in error for error in errors)


def read_first(path, format):
    source = open_clips(path, format=format)
    return source.read(source.records[0])
