"""One format for every list of clips, whole or not there."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.errors import AnnotationError
from karsl.io.annotations import (
    check_class_count,
    check_records,
    join_folder,
    parse_annotations,
    write_annotations,
    write_data_list,
)


@pytest.mark.parametrize("write", [write_data_list, write_annotations])
def test_a_list_is_read_as_written_and_a_failed_write_leaves_the_old_file(tmp_path, write):
    path, records = tmp_path / "clips.json", [{"clip_id": "شكرا", "label": 0}, {"clip_id": "b", "label": 1}]
    assert write(path, {"classes": ["أ", "ب"]}, records) == path
    before = path.read_text(encoding="utf-8")
    assert "شكرا" in before
    assert parse_annotations(path) == ({"classes": ["أ", "ب"]}, records)
    with pytest.raises(TypeError):
        write(path, {}, [*records, {"clip_id": object()}])
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in tmp_path.iterdir()] == ["clips.json"]


def test_the_label_of_a_sign_is_its_index_and_other_labels_stay(tmp_path):
    records = [{"sign": 9, "member": [1, 2]}, {"label": 0}, {"sign": 30, "label": 1}]
    path = write_annotations(tmp_path / "a.json", {"signs": [7, 9]}, records)
    assert parse_annotations(path)[1] == [{"sign": 9, "label": 1}, {"label": 0}, {"sign": 30, "label": 1}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not readable"),
        ("[1]", "an annotation file contains a dict, this one a list"),
        ('{"metainfo": {}}', r"no key \['data_list'\]; the format is"),
        ('{"metainfo": [], "data_list": {}}', "metainfo is list, data_list dict; expected a dict and a list"),
        ('{"metainfo": {}, "data_list": [{}, 5]}', "record 1 is a int; a dict is expected"),
        ('{"metainfo": {}, "data_list": [{"keypoint_path": 5}]}', "record 0 has keypoint_path=5; a string is expected"),
        (
            '{"metainfo": {}, "data_list": [{"keypoint_path": null}]}',
            "record 0 has keypoint_path=None; a string is expected",
        ),
    ],
)
def test_a_file_that_is_not_in_the_format_is_named_with_what_is_wrong(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(AnnotationError, match=f"a.json: {words}"):
        parse_annotations(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"label": "x"}, "label='x'; a whole number is expected"),
        ({"label": "\ud800"}, "label='.ud800'; a whole number is expected"),
        ({"label": None}, "label=None; a whole number is expected, and no 'label' where it is unknown"),
        ({"label": float("nan")}, "label=nan; a whole number"),
        ({"label": [1]}, r"label=\[1\]; a whole number"),
        ({"label": True}, "label=True; a whole number"),
        ({"label": 1 << 63}, "label=9223372036854775808; a whole number"),
        ({"num_frames": -1}, "num_frames=-1; a whole number of at least 0"),
        ({"num_frames": 2.5}, "num_frames=2.5; a whole number"),
        ({"frame_start": [0], "num_frames": 1}, r"frame_start=\[0\]; a whole number"),
        ({"frame_start": 0}, "has no 'num_frames'; add it"),
        ({"byte_start": 0, "num_frames": 3}, "has no 'dtype'; add it"),
        ({"split": {}}, "split={}; a string or a list of strings is expected"),
        ({"signer": {}}, "signer={}; a number or string"),
        ({"clip_id": None}, "clip_id=None; a string is expected"),
        ({"keypoint_path": "a\0b"}, "keypoint_path='a.x00b'; no file can have this name"),
        ({"keypoint_path": "\ud800"}, "keypoint_path='.ud800'; no file can have this name"),
        ({"keypoint_path": ""}, "keypoint_path=''; no file can have this name"),
        ({"file": "é" * 128 + ".pose"}, "file='é.*; no file can have this name"),
        ({"keypoint_path": "b/" + "a" * 256}, "keypoint_path='b/aaa.*; no file can have this name"),
        ({"clip_id": [0] * 900}, r"clip_id=\[0, 0, .{40,60}\.\.\.; a string"),
    ],
)
def test_a_wrong_value_is_named_with_its_record(wrong, words):
    records = [{"keypoint_path": "a.npy", "label": 0}, {"keypoint_path": "a.npy", **wrong}]
    with pytest.raises(AnnotationError, match=f"^a.json: record 1 (has )?{words}"):
        check_records(records, "a.json")


def test_keys_that_are_no_text_are_left_alone():
    records = [{"\ud800": 1, "label": 0}, {5: 1, "label": "0"}]
    check_records(records, "a")
    assert records[1] == {5: 1, "label": 0}


def test_equal_problems_are_one_and_other_problems_another():
    records = [{"label": "x"}, {"label": 0}, {"label": "y", "num_frames": -1}, {"label": []}]
    with pytest.raises(
        AnnotationError, match=r"^a: record 0 has label='x'; .* \(and 2 other records\); record 2 has num_frames"
    ):
        check_records(records, "a")
    with pytest.raises(AnnotationError, match=r"^a: record 0 has no 'clip_id'; add it \(and 1 other record\)$"):
        check_records([{}, {"clip_id": "a"}, {}], "a", required=("clip_id",))


def test_whole_numbers_of_every_spelling_become_integers_and_other_keys_stay():
    records = [
        {"label": "3", "num_frames": 9.0, "sign": np.int64(4), "fps": "25", 7: None},
        {"label": np.int32(1), "sign": "no"},
    ]
    check_records(records, "a")
    assert records == [{"label": 3, "num_frames": 9, "sign": 4, "fps": "25", 7: None}, {"label": 1, "sign": "no"}]
    assert {type(record["label"]) for record in records} == {int}


@pytest.mark.parametrize(
    ("metainfo", "words"),
    [
        ({"classes": 5}, "metainfo: classes: expected"),
        ({"classes": [["a"]]}, r"metainfo: classes\[0\]: expected"),
        ({"signs": [[1]]}, r"metainfo: signs\[0\]: expected"),
        ({"skeleton": [1]}, "metainfo: skeleton: expected"),
    ],
)
def test_wrong_metainfo_is_named(tmp_path, metainfo, words):
    write_data_list(tmp_path / "a.json", metainfo, [])
    with pytest.raises(AnnotationError, match=f"a.json: {words}"):
        parse_annotations(tmp_path / "a.json")


def test_a_null_in_the_metainfo_is_an_absent_key(tmp_path):
    write_data_list(tmp_path / "a.json", {"signs": None, "classes": None, "dataset_name": "corpus"}, [])
    assert parse_annotations(tmp_path / "a.json")[0] == {"dataset_name": "corpus"}


def test_labels_without_named_classes_are_bounded_by_the_number_of_clips():
    check_class_count([9_999, 3], "a")
    check_class_count(range(20_000), "a")
    check_class_count([15_000], "a", names=15_001)
    for labels in ([10_000], [-1], [10**12]):
        with pytest.raises(
            AnnotationError, match=rf"^a: label {labels[0]}; 1 clip without named classes may have labels 0 to 9999"
        ):
            check_class_count(labels, "a")


def test_backslashes_of_windows_separate_folders_unless_a_file_has_them_in_its_name(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/1.npz", "b\\2.npz"):
        (tmp_path / name).touch()
    assert join_folder(tmp_path, "a\\1.npz") == str(tmp_path / "a/1.npz")
    assert join_folder(tmp_path, "b\\2.npz") == str(tmp_path / "b\\2.npz")
