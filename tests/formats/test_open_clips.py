"""Sources are opened by path: the format is detected, or named, or rejected with the nearest name."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.formats import convert, detect_format, open_clips
from karsl.io.sources import ClipSource, FunctionSource, RemappedSource
from karsl.skeletons import get_skeleton
from tests.formats.random_clips import make_source


def test_a_data_root_is_a_source_with_labels_from_its_label_table(corpus):
    source = open_clips(corpus)
    assert isinstance(source, ClipSource)
    assert len(source.records) == 4 * 3 * 7
    assert {r["label"] for r in source.records} == {0, 1, 2, 3}
    assert len(source.metainfo["classes_ar"]) == 4
    record = source.records[0]
    assert source.read(record).shape == (record["num_frames"], 184, 4)


def test_a_source_reads_the_same_in_another_process(corpus):
    source = open_clips(corpus)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(again.records[3]), source.read(source.records[3]))


def test_a_mistyped_format_names_the_nearest(corpus):
    with pytest.raises(ConfigError, match="no format 'karls'; did you mean 'karsl'?"):
        open_clips(corpus, format="karls")


def test_a_missing_path_and_an_unknown_format_have_different_errors(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no file or folder"):
        open_clips(tmp_path / "none")
    with pytest.raises(ConfigError, match="has none of the formats .* name one with --from"):
        open_clips(tmp_path)


def test_a_json_file_with_a_class_called_frames_is_not_a_sign_of_the_asl_app(tmp_path):
    (tmp_path / "train.csv").touch()
    (tmp_path / "sign_to_prediction_index_map.json").write_text('{"frames": 0, "hello": 1}')
    assert detect_format(tmp_path).name == "kaggle"
    (tmp_path / "hello.json").write_text('{"sign": "hello", "frames": [{}]}')
    assert detect_format(tmp_path / "hello.json").name == "asl-app"


def test_a_data_root_that_also_has_a_block_is_a_data_root(corpus, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(corpus, root)
    (root / "train_X.mmap").touch()
    assert open_clips(root).records == open_clips(corpus).records


def test_a_label_table_outside_the_root_gives_the_glosses(corpus, tmp_path):
    rows = (corpus / "labels.csv").read_text(encoding="utf-8").splitlines()
    glossed = [rows[0], *(f"{row.rpartition(',')[0]},gloss {number}" for number, row in enumerate(rows[1:]))]
    (tmp_path / "mine.csv").write_text("\n".join(glossed), encoding="utf-8")
    assert open_clips(corpus, label_table=tmp_path / "mine.csv").metainfo["classes"][:2] == ("gloss 0", "gloss 1")
    (tmp_path / "annotations.json").write_text('{"metainfo": {"skeleton": "hand_42"}, "data_list": []}')
    with pytest.raises(ConfigError, match="format 'annotation' stores its class names; leave out label_table"):
        open_clips(tmp_path, label_table=tmp_path / "mine.csv")


def test_the_fingerprint_of_a_source_changes_with_a_file_that_its_records_name(corpus, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(corpus, root)
    before, mapped = open_clips(root), RemappedSource(open_clips(root), get_skeleton("mp_75"))
    assert before.fingerprint == mapped.fingerprint == open_clips(root).fingerprint
    (root / "README").touch()
    assert open_clips(root).fingerprint == before.fingerprint
    os.utime(root / "01-train" / "0001.npz", (0, 0))
    assert open_clips(root).fingerprint != before.fingerprint


def test_the_fingerprint_of_other_formats_covers_all_files(tmp_path):
    source = make_source("spoter_54")
    for format, name, touched in (("spoter", "x.csv", "x.csv"), ("holistic-frames", "frames", "frames/thanks/clip_1/0.npy")):
        out = convert(source, tmp_path / name, format).path
        before = open_clips(out).fingerprint
        assert before == open_clips(out).fingerprint != ""
        os.utime(tmp_path / touched, (0, 0))
        assert open_clips(out).fingerprint != before
    assert source.fingerprint == ""


def test_records_without_location_are_reported_together(tmp_path):
    records = [{"clip_id": "a", "keypoint_path": "a.npy", "num_frames": 2}, {"clip_id": "b"}]
    content = {"metainfo": {"skeleton": "hand_42"}, "data_list": records}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataErrors, match="record 1 has no 'keypoint_path'; add it\n  record 1 has no 'num_frames'"):
        open_clips(tmp_path)
    records.pop()
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert open_clips(tmp_path).records == records


def test_leftovers_of_a_killed_writer_next_to_tars_are_ignored(tmp_path):
    convert(make_source(), tmp_path / "tars", "tar")
    (tmp_path / "tars" / ".clips-000001.12-ab.part.tar").write_bytes(b"half")
    assert len(open_clips(tmp_path / "tars").records) == 4


@pytest.fixture
def annotated(corpus, tmp_path):
    """Write an annotation file with changes of one record and of the metainfo."""
    root = convert(open_clips(corpus), tmp_path / "annotated", "annotation").path
    content = json.loads((root / "annotations.json").read_text())

    def write(record=(), metainfo=()):
        first, *others = content["data_list"]
        changed = {"metainfo": {**content["metainfo"], **dict(metainfo)}, "data_list": [{**first, **dict(record)}, *others]}
        (root / "annotations.json").write_text(json.dumps(changed))
        return root

    return write


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"fps": "fast"}, r"\[0\].fps: expected float"),
        ({"fps": [25]}, r"\[0\].fps: expected float"),
        ({"fps": -1}, r"\[0\].fps: expected"),
        ({"fps": float("nan")}, r"\[0\].fps: expected"),
        ({"sign": 1 << 64}, r"\[0\].sign: expected"),
        ({"hands_exchanged": "two"}, r"\[0\].hands_exchanged: expected int"),
        ({"clip_id": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_a_value_that_users_of_a_source_cannot_use_is_named_when_it_is_opened(annotated, record, text):
    with pytest.raises(AnnotationError, match=text):
        open_clips(annotated(record))


@pytest.mark.parametrize(
    ("metainfo", "text"),
    [
        ({"classes": "names.txt"}, "classes: expected array"),
        ({"classes_ar": ["a"]}, "4 classes, but 1 classes_ar"),
        ({"signs": [1, 2]}, "4 classes, but 2 signs"),
    ],
)
def test_classes_that_do_not_fit_together_are_named(annotated, metainfo, text):
    with pytest.raises(AnnotationError, match=text):
        open_clips(annotated(metainfo=metainfo))


@pytest.mark.parametrize("target", ["pose", "parquet", "annotation", "karsl"])
def test_numbers_as_names_of_clips_and_signers_are_texts(annotated, tmp_path, target):
    source = open_clips(annotated({"clip_id": 7, "signer": 1}))
    assert source.records[0]["clip_id"] == "7"
    assert source.records[0]["signer"] == "1"
    if target != "karsl":  # whose files need a SignID, a signer and a split in the path
        convert(source, tmp_path / "out", target)


def test_an_error_of_python_in_a_reader_names_clip_and_reason():
    def read(record):
        return record["no such key"]

    with pytest.raises(CorruptRecordError, match="clip 'a' cannot be read .KeyError: 'no such key'.*--debug shows where"):
        FunctionSource({}, get_skeleton("hand_42"), [{"clip_id": "a", "num_frames": 1}], read).read({"clip_id": "a"})
