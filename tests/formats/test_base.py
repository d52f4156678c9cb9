"""Registration and detection of formats: one file adds one, priorities decide, names are unique."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import karsl.formats
from karsl.errors import ConfigError
from karsl.formats import FORMATS, detect_format, get_format, register_format, writable_formats

ASL_APP = '{"sign": "a", "frames": [{}]}'
ANNOTATION = '{"metainfo": {"classes": ["frames"]}, "data_list": []}'


@pytest.fixture
def write(tmp_path):
    """`write("a/b.json", text)` creates a file below a folder, and returns the folder."""

    def write_file(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return write_file


def test_formats_are_tried_in_this_order():
    expected = [
        *("pack", "karsl", "asl-app", "annotation", "karsl-block", "tar", "kaggle", "parquet", "pose", "pyskl", "pyskl2d"),
        *("holistic", "holistic-frames", "holistic-block", "spoter", "msl150"),
    ]
    assert [name for name in FORMATS if name in expected] == expected  # others may be tried between these
    assert list(writable_formats()) == [name for name, format in FORMATS.items() if format.writer]


def test_no_two_formats_have_the_same_priority():
    priorities = sorted((format.priority, format.name) for format in FORMATS.values())
    equal = [(a[1], b[1]) for a, b in pairwise(priorities) if a[0] == b[0]]
    assert equal == [], "give one of each pair another priority"


def test_a_name_is_registered_once():
    with pytest.raises(ConfigError, match="format 'karsl' is already registered"):
        register_format("karsl", description="", cannot_store="")


def test_a_lower_priority_is_tried_first(tmp_path):
    register_format("first", description="", cannot_store="", detect=lambda path: True, priority=-1)(lambda path, **_: None)
    try:
        assert list(FORMATS)[0] == detect_format(tmp_path).name == "first"
    finally:
        FORMATS.pop("first")


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"manifest.json": "", "annotations.json": ANNOTATION}, "pack"),
        ({"01-train/0001.npz": "", "annotations.json": ANNOTATION}, "karsl"),
        ({"01-val/0001.npz": "", "annotations.json": ANNOTATION}, "annotation"),
        ({"01-val/0001.npz": ""}, "karsl"),
        ({"a.json": ASL_APP, "metadata.json": ""}, "asl-app"),
        ({"a.json": ASL_APP, "annotations.json": ANNOTATION}, "annotation"),
        ({"clips.json": ANNOTATION, "hello/a.pose": ""}, "pose"),
        ({"train_X.mmap": ""}, "karsl-block"),
        ({"train.csv": "", "a.parquet": ""}, "kaggle"),
        ({"a.parquet": ""}, "parquet"),
    ],
)
def test_a_folder_is_detected_by_its_files(files, name, write):
    for file, text in files.items():
        folder = write(file, text)
    assert detect_format(folder).name == name


def test_a_json_file_is_an_annotation_unless_it_begins_like_a_sign(write):
    assert detect_format(write("a.json", ASL_APP) / "a.json").name == "asl-app"
    assert detect_format(write("b.json", ANNOTATION) / "b.json").name == "annotation"
    assert detect_format(write("c.json", json.dumps({"other": 1})) / "c.json").name == "annotation"


def test_a_folder_that_is_not_detected_gets_the_hint_of_karsl(write):
    with pytest.raises(ConfigError, match="for KArSL's folders: it contains '1_train/0001.npz': rename '1_train'"):
        detect_format(write("1_train/0001.npz"))


def test_arrays_are_detected_by_their_number_of_columns(tmp_path):
    for columns, name in ((1662, "holistic"), (226, "msl150")):
        np.savez(tmp_path / "a.npz", a=np.zeros((2, columns), np.float32))
        assert detect_format(tmp_path) is get_format(name)


def test_every_format_is_described():
    assert karsl.formats.FORMATS is FORMATS
    assert all(format.description and format.cannot_store for format in FORMATS.values())
    assert all(callable(format.reader or format.writer) for format in FORMATS.values())
