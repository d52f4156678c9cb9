"""One format for every list of clips, whole or not there."""

from __future__ import annotations

import pytest

from karsl.errors import AnnotationError
from karsl.io.annotations import parse_annotations, write_annotations, write_data_list


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
