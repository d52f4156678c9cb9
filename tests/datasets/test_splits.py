"""Split files: bytes, hash, checks while reading, and leakage between parts."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets import KeypointDataset
from karsl.datasets.combine.filter import load_predicate
from karsl.datasets.splits import Split, find_leaks, read_split, record_field, write_split
from karsl.errors import AnnotationError, ConfigError, DataErrors

SPLIT = Split("mine", {"train": ("b", "a"), "val": ("c",), "test": ("d",)}, (("signer", "train", "test"),), {"name": "x"})
RECORDS = [
    {"clip_id": "a", "signer": "01", "session": "1"},
    {"clip_id": "b", "signer": "01", "session": "2"},
    {"clip_id": "c", "signer": "01", "session": "2"},
    {"clip_id": "d", "signer": "02", "session": "1"},
]
names = st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=12)


@given(names, st.randoms(use_true_random=False))
def test_the_hash_depends_on_the_clips_of_each_part_and_not_on_their_order(clips, rng):
    half = len(clips) // 2
    shuffled = rng.sample(clips, len(clips))
    split = Split("a", {"train": tuple(clips[:half]), "test": tuple(clips[half:])})
    other = Split(
        "b", {"test": [c for c in shuffled if c in clips[half:]], "train": [c for c in shuffled if c in clips[:half]]}
    )
    assert split.hash == other.hash
    if clips:
        moved = Split("a", {"train": (), "test": tuple(clips)})
        assert (moved.hash == split.hash) == (half == 0)


def test_the_hash_is_frozen():
    assert SPLIT.hash == "aa2b59cc50dfb071b19aa7829d947330"


def test_a_split_is_read_as_it_was_written_and_always_has_the_same_bytes(tmp_path):
    path = write_split(tmp_path / "new" / "split.json", SPLIT)
    assert read_split(path) == SPLIT
    content = path.read_bytes()
    assert write_split(path, read_split(path)).read_bytes() == content


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda c: c["parts"]["train"].pop(), AnnotationError, "is not that of its clips"),
        (lambda c: c["parts"]["test"].append("a"), DataErrors, "clip 'a' is in train and test"),
        (lambda c: c.pop("hash"), AnnotationError, "missing required field hash; it is no split file"),
        (lambda c: c.update(parts={"train": "abc"}), AnnotationError, "expected array, got str"),
        (lambda c: c.update(parts=[]), AnnotationError, "parts: expected object, got array"),
        (lambda c: c.update(format="karsl-split-9"), AnnotationError, "is karsl older than the file"),
        (lambda c: c.update(disjoint=[["signer", "train", "dev"]]), AnnotationError, "'disjoint' names no part dev"),
    ],
)
def test_an_edited_file_is_rejected(tmp_path, change, error, text):
    path = write_split(tmp_path / "split.json", SPLIT)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(error, match=text):
        read_split(path)


def test_a_file_that_is_cut_off_is_rejected(tmp_path):
    path = write_split(tmp_path / "split.json", SPLIT)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(AnnotationError, match="no split file of"):
        read_split(path)


@pytest.mark.parametrize(
    ("disjoint", "contents", "found"),
    [
        ((), None, []),
        ((("signer", "train", "test"),), None, []),
        ((("signer", "train", "val"),), None, ["signer '01' is in train ('a', 'b') and in val ('c')"]),
        ((("session", "train", "val"),), None, ["session '01/2' is in train ('b') and in val ('c')"]),
        ((("session", "train", "test"),), None, []),  # sessions 1 of two signers are two sessions
        ((("city", "val", "test"),), None, ["2 clips without city, which must differ by part: 'c', 'd'"]),
        ((), {"a": "x", "b": "y", "c": "z", "d": "x"}, ["the same content is in train ('a') and in test ('d')"]),
    ],
)
def test_leakage_is_found_and_names_the_clips(disjoint, contents, found):
    split = Split("mine", SPLIT.parts, disjoint)
    assert find_leaks(split, RECORDS, contents=contents) == found


def test_a_clip_in_two_parts_is_one_problem():
    split = Split("mine", {"train": ("a", "b"), "test": ("a", "d")})
    assert find_leaks(split, RECORDS, contents={clip: clip for clip in "abcd"}) == ["clip 'a' is in train and test"]


def test_clips_of_a_split_that_are_not_in_the_corpus_are_named():
    assert find_leaks(SPLIT, RECORDS[1:]) == ["1 clip of the split not in the corpus: 'a'"]


def test_a_session_is_a_key_a_date_in_the_name_or_what_an_expression_finds():
    name = "03_01_0071_(01_12_16_12_30_00)_c"
    assert record_field({"clip_id": name}, "session") == "2016-12-01"
    assert record_field({"clip_id": name, "session": 7, "signer": "02"}, "session") == "02/7"
    assert record_field({"clip_id": "x-20240131-1"}, "session", re.compile(r"-(\d+)-")) == "20240131"
    assert record_field({"clip_id": "x"}, "session") is None


def annotation(tmp_path, records):
    data_list = [{"keypoint_path": f"{r['clip_id']}.npy", "label": 0, "num_frames": 5, **r} for r in records]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"metainfo": {"classes": ["x"]}, "data_list": data_list}))
    return path


def clip_ids(dataset):
    return [dataset.get_data_info(i)["clip_id"] for i in range(len(dataset))]


def test_a_dataset_reads_a_part_of_a_split_file_below_its_data_root(tmp_path):
    annotation(tmp_path, RECORDS)
    write_split(tmp_path / "split.json", SPLIT)
    read = {"ann_file": "annotations.json", "data_root": str(tmp_path), "index_cache": None}
    parts = {part: dict(split_file="split.json", part=part) for part in ("train", "val", "test")}
    found = {part: clip_ids(KeypointDataset(**read, filter_cfg=cfg)) for part, cfg in parts.items()}
    assert found == {"train": ["a", "b"], "val": ["c"], "test": ["d"]}
    both = KeypointDataset(**read, filter_cfg=dict(split_file="split.json", part=("train", "val"), signers=("01",)))
    assert clip_ids(both) == ["a", "b", "c"]
    is_test = load_predicate({"split_file": str(tmp_path / "split.json"), "part": "test"})
    assert [record["clip_id"] for record in RECORDS if is_test(record)] == ["d"]


def test_another_split_file_of_the_same_name_gives_other_clips_despite_the_index_cache(tmp_path):
    annotation(tmp_path, RECORDS)
    cfg = dict(split_file="split.json", part="test")
    found = []
    for clip in "ad":
        write_split(tmp_path / "split.json", Split("mine", {"test": (clip,)}))
        cache = str(tmp_path / "cache")
        found += clip_ids(KeypointDataset("annotations.json", data_root=str(tmp_path), filter_cfg=cfg, index_cache=cache))
    assert found == ["a", "d"]


def test_clips_that_a_dataset_lacks_are_reported_but_not_those_of_another_filter(tmp_path):
    annotation(tmp_path, RECORDS[1:])
    write_split(tmp_path / "split.json", SPLIT)
    cfg = dict(split_file="split.json", part=("train", "test"), signers=("02",))
    dataset = KeypointDataset("annotations.json", data_root=str(tmp_path), filter_cfg=cfg, index_cache=None)
    assert dataset.unmatched_filters.startswith("1 of 3 clip_ids (a) of part ('train', 'test') in ")


@pytest.mark.parametrize(
    ("cfg", "text"),
    [
        (dict(split_file="split.json"), "'split_file' without 'part'"),
        (dict(part="train"), "'part' without 'split_file'"),
        (dict(split_file="split.json", part="trian"), "no part 'trian'; did you mean 'train'"),
    ],
)
def test_half_of_a_filter_or_an_unknown_part_is_an_error(tmp_path, cfg, text):
    annotation(tmp_path, RECORDS)
    write_split(tmp_path / "split.json", SPLIT)
    with pytest.raises(ConfigError, match=text):
        KeypointDataset("annotations.json", data_root=str(tmp_path), filter_cfg=cfg, index_cache=None)


def test_a_split_without_validation_clips_names_the_option_that_makes_them():
    with pytest.raises(ConfigError, match=r"no part 'val'; it has train, test; make the split with --val-by, .* clip$"):
        Split("s", {"train": ("a",), "test": ("b",)}).clips_of("val")


def test_a_clip_that_is_in_several_shipped_splits_passes_the_filter_of_each(tmp_path):
    splits = (["xsub_train", "xview_val"], "xsub_train", ["xsub_val"], None)
    annotation(tmp_path, [{**record, "split": split} for record, split in zip(RECORDS, splits, strict=True)])
    read = {"ann_file": "annotations.json", "data_root": str(tmp_path), "index_cache": None}
    assert clip_ids(KeypointDataset(**read, filter_cfg=dict(split="xsub_train"))) == ["a", "b"]
    assert clip_ids(KeypointDataset(**read, filter_cfg=dict(split="xview_val"))) == ["a"]
    dataset = KeypointDataset(**read, filter_cfg=dict(split=("xsub_val", "xset")))
    assert (clip_ids(dataset), dataset.unmatched_filters) == (["c"], "split xset")
