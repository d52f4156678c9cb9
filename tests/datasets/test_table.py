"""Records of a dataset as Arrow tables and pandas frames."""

from __future__ import annotations

import builtins
import json

import pytest

from karsl.datasets import KeypointDataset
from karsl.datasets.index.reader import IndexReader
from karsl.errors import ConfigError, MissingExtraError

pytest.importorskip("pyarrow")
RECORDS = [
    {"keypoint_path": "0.npy", "clip_id": "a", "label": 1, "num_frames": 5, "signer": "01", "split": "train"},
    {"keypoint_path": "1.npy", "clip_id": "b", "label": 0, "num_frames": 7, "signer": 2, "split": ["train", "xsub"]},
    {"keypoint_path": "2.npy", "clip_id": "c", "label": 1, "num_frames": 9, "fps": 25.0},
]


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a dataset of records."""

    def dataset(records=RECORDS, **options) -> KeypointDataset:
        metainfo = {"classes": ["hello", "شكرا"], "skeleton": "hand_42"}
        (tmp_path / "annotations.json").write_text(json.dumps({"metainfo": metainfo, "data_list": records}))
        return KeypointDataset("annotations.json", data_root=str(tmp_path), index_cache=None, **options)

    return dataset


@pytest.mark.parametrize("serialize", [True, False])
def test_every_key_is_a_column_and_the_class_has_its_name(make, serialize, tmp_path):
    table = make(serialize_data=serialize).to_arrow().to_pydict()
    assert table == {
        "keypoint_path": [f"{tmp_path}/{n}.npy" for n in range(3)],
        "clip_id": ["a", "b", "c"],
        "label": [1, 0, 1],
        "num_frames": [5, 7, 9],
        "signer": ["01", "2", None],
        "split": [["train"], ["train", "xsub"], None],
        "fps": [None, None, 25.0],
        "gloss": ["شكرا", "hello", "شكرا"],
    }


def test_columns_of_the_index_are_read_without_decoding_a_record(make, monkeypatch):
    dataset = make()
    monkeypatch.setattr(IndexReader, "read", lambda *_: pytest.fail("a record was decoded"))
    table = dataset.to_arrow(["num_frames", "gloss", "label"])
    assert table.column_names == ["num_frames", "gloss", "label"]
    assert table.to_pydict() == {"num_frames": [5, 7, 9], "gloss": ["شكرا", "hello", "شكرا"], "label": [1, 0, 1]}


def test_a_subset_and_a_filter_give_their_records_only(make):
    assert make().get_subset([2, 0]).to_arrow(["clip_id", "num_frames"]).to_pydict() == {
        "clip_id": ["c", "a"],
        "num_frames": [9, 5],
    }
    assert make(filter_cfg=dict(min_frames=6)).to_arrow(["clip_id"]).to_pydict() == {"clip_id": ["b", "c"]}


def test_records_without_a_label_give_null(make):
    table = make([RECORDS[0], {"keypoint_path": "3.npy", "clip_id": "d"}]).to_arrow(["clip_id", "label", "gloss"])
    assert table.to_pydict() == {"clip_id": ["a", "d"], "label": [1, None], "gloss": ["شكرا", None]}


def test_a_misspelled_column_gets_a_suggestion(make):
    with pytest.raises(ConfigError, match="no record has 'singer'; did you mean 'signer'"):
        make().to_arrow(["clip_id", "singer"])


def test_a_frame_of_pandas_counts_clips_of_a_pack_per_class(corpus, tmp_path):
    pandas = pytest.importorskip("pandas")
    from karsl.cli.main import main

    assert main(["pack", str(corpus), str(tmp_path / "pack"), "--workers", "0"]) == 0
    dataset = KeypointDataset("annotations.json", data_root=str(tmp_path / "pack"))
    frame = dataset.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.groupby("gloss", observed=True).size().sum() == len(dataset)
    assert frame["frame_start"].tolist() == dataset.column("frame_start").tolist()
    assert "pack" not in frame


@pytest.mark.parametrize(
    ("library", "method", "extra"), [("pyarrow", "to_arrow", "parquet"), ("pandas", "to_pandas", "pandas")]
)
def test_a_missing_library_is_one_line_that_names_its_extra(make, monkeypatch, library, method, extra):
    dataset, imported = make(), builtins.__import__

    def without(name, *args, **options):
        if name == library:
            raise ImportError(name)
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf"^{library} is not installed; .*'karsl\[{extra}\]'$"):
        getattr(dataset, method)()
