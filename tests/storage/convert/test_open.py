"""A source by its path: the form is guessed, or named, or refused with the nearest name."""

from __future__ import annotations

import json
import os
import pickle
import shutil

import numpy as np
import pytest

from karsl.errors import ConfigError, DataErrors, DatasetNotFoundError
from karsl.skeletons import get_skeleton
from karsl.storage.convert import ClipSource, convert_clips, open_source
from karsl.storage.convert.mapped import MappedClips
from tests.storage.convert.drawn_clips import make_source


def test_a_data_root_is_a_source_with_labels_from_its_sheet(corpus):
    source = open_source(corpus)
    assert isinstance(source, ClipSource)
    assert len(source.records) == 4 * 3 * 7
    assert {r["label"] for r in source.records} == {0, 1, 2, 3}
    assert len(source.metainfo["classes_ar"]) == 4
    record = source.records[0]
    assert source.read(record).shape == (record["num_frames"], 184, 4)


def test_a_source_reads_the_same_in_another_process(corpus):
    source = open_source(corpus)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(again.records[3]), source.read(source.records[3]))


def test_a_mistyped_form_names_the_nearest(corpus):
    with pytest.raises(ConfigError, match="no form 'karls'; did you mean 'karsl'?"):
        open_source(corpus, form="karls")


def test_an_absent_path_and_one_of_no_form_are_told_apart(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(ConfigError, match="looks like none of the forms .* say which with --from"):
        open_source(tmp_path)


def test_a_data_root_with_a_block_beside_it_is_a_data_root(corpus, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(corpus, root)
    (root / "train_X.mmap").touch()
    assert open_source(root).records == open_source(corpus).records


def test_a_label_sheet_that_lies_elsewhere_gives_the_glosses(corpus, tmp_path):
    rows = (corpus / "labels.csv").read_text(encoding="utf-8").splitlines()
    glossed = [rows[0], *(f"{row.rpartition(',')[0]},gloss {number}" for number, row in enumerate(rows[1:]))]
    (tmp_path / "mine.csv").write_text("\n".join(glossed), encoding="utf-8")
    assert open_source(corpus, label_sheet=tmp_path / "mine.csv").metainfo["classes"][:2] == ("gloss 0", "gloss 1")
    (tmp_path / "annotations.json").write_text('{"metainfo": {"skeleton": "hand_42"}, "data_list": []}')
    with pytest.raises(ConfigError, match="form 'annotation' names its classes itself; leave out label_sheet"):
        open_source(tmp_path, label_sheet=tmp_path / "mine.csv")


def test_the_stamp_of_a_source_changes_with_a_file_that_its_records_name(corpus, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(corpus, root)
    before, mapped = open_source(root), MappedClips(open_source(root), get_skeleton("mp_75"))
    assert before.stamp == mapped.stamp == open_source(root).stamp
    (root / "README").touch()
    assert open_source(root).stamp == before.stamp
    os.utime(root / "01-train" / "0001.npz", (0, 0))
    assert open_source(root).stamp != before.stamp


def test_the_stamp_of_other_forms_is_that_of_all_files_there(tmp_path):
    source = make_source("spoter_54")
    for form, name, touched in (("spoter", "x.csv", "x.csv"), ("holistic-frames", "frames", "frames/thanks/clip_1/0.npy")):
        out = convert_clips(source, tmp_path / name, form).path
        before = open_source(out).stamp
        assert before == open_source(out).stamp != ""
        os.utime(tmp_path / touched, (0, 0))
        assert open_source(out).stamp != before
    assert source.stamp == ""


def test_records_without_what_finds_them_are_named_together(tmp_path):
    records = [{"clip_id": "a", "keypoint_path": "a.npy", "num_frames": 2}, {"clip_id": "b"}]
    content = {"metainfo": {"skeleton": "hand_42"}, "data_list": records}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataErrors, match="record 1 has no 'keypoint_path'; add it\n  record 1 has no 'num_frames'"):
        open_source(tmp_path)
    records.pop()
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert open_source(tmp_path).records == records


def test_what_a_killed_writer_left_beside_tars_is_passed_by(tmp_path):
    convert_clips(make_source(), tmp_path / "tars", "tar")
    (tmp_path / "tars" / ".clips-000001.12-ab.part.tar").write_bytes(b"half")
    assert len(open_source(tmp_path / "tars").records) == 4
