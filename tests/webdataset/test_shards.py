"""Many tars in one name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from karsl.errors import AnnotationError, ConfigError, DatasetNotFoundError
from karsl.webdataset.shards import expand_braces, shard_names
from karsl.webdataset.write import read_tars


def test_patterns_are_written_out(tmp_path):
    assert expand_braces("{a,b}/x-{9..11}.tar")[:2] == ["a/x-9.tar", "a/x-10.tar"]
    for name in ("c-1.tar", "c-0.tar", "d.tar.gz", "c-0.tar.index", "c-0.tar.md5", "e.tgz", "tar", "note.txt"):
        (tmp_path / name).touch()
    inside = [Path(name).name for name in shard_names(tmp_path)]
    assert inside == ["c-0.tar", "c-1.tar", "d.tar.gz", "e.tgz"]
    assert shard_names([f"{tmp_path}/c-{{0..1}}.tar", "http://x/{0..1}.tar"])[2:] == ["http://x/0.tar", "http://x/1.tar"]
    with pytest.raises(DatasetNotFoundError, match=r"no shard .*c-2.tar"):
        shard_names(f"{tmp_path}/c-{{0..2}}.tar")
    for wrong, error in ((f"{tmp_path}/c-{{0..1.tar", "not closed"), (f"{tmp_path}/c-{{1..0}}.tar", "backwards")):
        with pytest.raises(ConfigError, match=error):
            shard_names(wrong)
    with pytest.raises(ConfigError, match="named twice"):
        shard_names([f"{tmp_path}/c-0.tar"] * 2)


@pytest.mark.parametrize("pattern", ["{0..99999999}.tar", "{0..999}{0..999}{0..999}.tar"])
def test_a_pattern_of_too_many_names_is_rejected_before_they_are_made(pattern):
    with pytest.raises(ConfigError, match="stands for more than 100,000 names"):
        expand_braces(pattern)


@pytest.mark.parametrize(
    "name",
    ["{0..9}.tar", "*.tar", "/etc/a.tar", "../a.tar", "a/../../b.tar", "http://x/a.tar", "", "a\\b", "a\0b", "ا" * 150],
)
def test_a_list_of_tars_names_files_of_its_folder_only(tmp_path, name):
    (tmp_path / "tars.json").write_text(json.dumps({"metainfo": {}, "tars": [{"name": "a/b.tar"}, {"name": name}]}))
    with pytest.raises(AnnotationError, match="tars.json: .* is no name of a tar in its folder; do not trust it"):
        read_tars(tmp_path / "tars.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "expected object, got array"),
        ({"metainfo": 5, "tars": []}, "metainfo: expected object"),
        ({"metainfo": {"signs": 5}, "tars": []}, "metainfo: signs: expected"),
        ({"metainfo": {}, "tars": [5]}, r"tars\[0\]: expected object"),
        ({"metainfo": {}, "tars": [{"name": None}]}, r"tars\[0\].name: expected str"),
    ],
)
def test_a_list_of_tars_with_other_values_is_one_sentence(tmp_path, content, words):
    (tmp_path / "tars.json").write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=f"tars.json: {words}"):
        read_tars(tmp_path / "tars.json")


def test_a_file_url_names_a_folder_with_a_space(tmp_path):
    (tmp_path / "my tars").mkdir()
    (tmp_path / "my tars" / "a.tar").touch()
    assert shard_names((tmp_path / "my tars").as_uri()) == [str(tmp_path / "my tars" / "a.tar")]
