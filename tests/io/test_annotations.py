"""One format for every list of clips, whole or not there."""

from __future__ import annotations

import pytest

from karsl.errors import AnnotationError
from karsl.storage.annotation import read_annotation, write_annotation, write_list


@pytest.mark.parametrize("write", [write_list, write_annotation])
def test_a_list_comes_back_and_one_that_cannot_be_written_leaves_what_was_there(tmp_path, write):
    path, records = tmp_path / "clips.json", [{"clip_id": "شكرا", "label": 0}, {"clip_id": "b", "label": 1}]
    assert write(path, {"classes": ["أ", "ب"]}, records) == path
    before = path.read_text(encoding="utf-8")
    assert "شكرا" in before
    assert read_annotation(path) == ({"classes": ["أ", "ب"]}, records)
    with pytest.raises(TypeError):
        write(path, {}, [*records, {"clip_id": object()}])
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in tmp_path.iterdir()] == ["clips.json"]


def test_the_label_of_a_sign_is_its_place_and_other_labels_are_kept(tmp_path):
    records = [{"sign": 9, "member": [1, 2]}, {"label": 0}, {"sign": 30, "label": 1}]
    path = write_annotation(tmp_path / "a.json", {"signs": [7, 9]}, records)
    assert read_annotation(path)[1] == [{"sign": 9, "label": 1}, {"label": 0}, {"sign": 30, "label": 1}]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not readable"),
        ("[1]", "an annotation file holds a dict, this one a list"),
        ('{"metainfo": {}}', r"no key \['data_list'\]; the format is"),
        ('{"metainfo": [], "data_list": {}}', "metainfo is a list and data_list a dict; a dict and a list are expected"),
        ('{"metainfo": {}, "data_list": [{}, 5]}', "record 1 is a int; a dict is expected"),
        ('{"metainfo": {}, "data_list": [{"keypoint_path": 5}]}', "record 0 has keypoint_path=5; a text is expected"),
        ('{"metainfo": {}, "data_list": [{"keypoint_path": null}]}', "record 0 has keypoint_path=None; a text is expected"),
    ],
)
def test_a_file_that_is_not_in_the_format_is_named_with_what_is_wrong(tmp_path, content, words):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(AnnotationError, match=f"a.json: {words}"):
        read_annotation(tmp_path / "a.json")
