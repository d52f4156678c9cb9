"""Clips are added and removed without rewriting shards."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.errors import AnnotationError, DataErrors, PackError
from karsl.formats import open_clips
from karsl.io.pack_reader import Pack
from karsl.io.sources import FunctionSource
from karsl.pack.edit import remove_clips
from karsl.pack.manifest import Manifest
from karsl.pack.verify import verify_pack
from karsl.pack.write import pack_clips
from tests.pack.packed_clips import SKELETON, clip_of, make_source

SHARD_BYTES = 40_000


def listed(pack) -> dict:
    return json.loads((pack / "annotations.json").read_text(encoding="utf-8"))


def assert_right(pack, names):
    """Check that every clip is stored where its record says, with the label of its sign."""
    content = listed(pack)
    assert [r["clip_id"] for r in content["data_list"]] == names
    for r in content["data_list"]:
        clip = Pack(pack / r["keypoint_path"], verify="always").checked_clip(r["frame_start"], r["num_frames"])
        given = clip_of(int(r["clip_id"][5:]), r["num_frames"], SKELETON.num_keypoints)
        np.testing.assert_allclose(clip, given, atol=2**-11)
        assert content["metainfo"]["signs"][r["label"]] == r["sign"]
    assert verify_pack(pack) == []


def test_clips_are_appended_in_new_shards_and_those_that_are_there_are_left(pack):
    before = {path.name: path.read_bytes() for path in pack.glob("*.npy")}
    done = pack_clips(make_source(12, first=15), pack, mode="append", shard_bytes=SHARD_BYTES)
    assert (done.added, done.duplicates) == (7, 5)
    assert_right(pack, [f"clip {n}" for n in range(27)])
    assert all((pack / name).read_bytes() == data for name, data in before.items())
    again = pack_clips(make_source(12, first=15), pack, mode="append")
    assert (again.added, again.duplicates, again.manifest) == (0, 12, done.manifest)


def test_new_signs_are_sorted_in_and_labels_follow(pack):
    pack_clips(make_source(6, first=40, signs=(3, 9, 31)), pack, mode="append")
    metainfo = listed(pack)["metainfo"]
    assert metainfo["signs"] == [3, 7, 9, 30, 31]
    assert metainfo["classes"] == ["sign 3", "sign 7", "sign 9", "sign 30", "sign 31"]
    assert metainfo["classes_ar"][0] == "إشارة 3"
    assert_right(pack, [f"clip {n}" for n in (*range(20), *range(40, 46))])


def test_classes_without_signs_are_joined_by_name(tmp_path):
    def source(names, first):
        records = [{"clip_id": f"clip {first + n}", "label": n, "num_frames": 5} for n in range(len(names))]
        metainfo = {"classes": names, "skeleton": SKELETON.name}
        return FunctionSource(metainfo, SKELETON, records, lambda r: clip_of(int(r["clip_id"][5:]), 5, 67))

    pack = tmp_path / "pack"
    pack_clips(source(["door", "hand"], 0), pack)
    pack_clips(source(["hand", "apple"], 2), pack, mode="append")
    content = listed(pack)
    assert content["metainfo"]["classes"] == ["door", "hand", "apple"]
    assert [r["label"] for r in content["data_list"]] == [0, 1, 1, 2]
    nameless = FunctionSource({"skeleton": SKELETON.name}, SKELETON, source(["x"], 9).records, lambda r: None)
    with pytest.raises(AnnotationError, match="adding clips needs named classes; metainfo of the source"):
        pack_clips(nameless, pack, mode="append")


def small_source(names, metainfo, records) -> FunctionSource:
    """Clips of five frames, called by numbers, with the records' facts."""
    facts = [{"clip_id": f"clip {name}", "num_frames": 5, **record} for name, record in zip(names, records, strict=True)]
    read = partial(clip_of, frames=5, points=67)
    return FunctionSource({"skeleton": SKELETON.name, **metainfo}, SKELETON, facts, lambda r: read(int(r["clip_id"][5:])))


def test_classes_of_one_name_are_never_made_one(tmp_path):
    two = {"classes": ["thermometer", "thermometer"]}
    pack = tmp_path / "pack"
    pack_clips(small_source((0, 1), two, [{"label": 0}, {"label": 1}]), pack)
    before = listed(pack)
    with pytest.raises(
        AnnotationError, match="two classes of the pack are called 'thermometer' and would be merged; rename one"
    ):
        pack_clips(small_source((2,), {"classes": ["hello"]}, [{"label": 0}]), pack, mode="append")
    assert pack_clips(small_source((0,), two, [{"label": 0}]), pack, mode="append").added == 0
    assert listed(pack) == before
    other = tmp_path / "other"
    pack_clips(small_source((2,), {"classes": ["hello"]}, [{"label": 0}]), other)
    with pytest.raises(AnnotationError, match="two classes of the source are called 'thermometer'"):
        pack_clips(small_source((0,), two, [{"label": 0}]), other, mode="append")


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({}, "clip 'clip 5' of the source has no label, expected one of 2 signs, 9 to 30; correct it"),
        ({"label": 2}, "has label 2, expected"),
        ({"label": -1}, "has label -1, expected"),
        ({"label": "a"}, "has label 'a', expected"),
        ({"sign": 8, "label": 0}, "has sign 8, label 0, expected"),
    ],
)
def test_a_record_without_a_known_class_is_named(tmp_path, record, text):
    pack, signs = tmp_path / "pack", {"signs": [7, 9], "classes": ["a", "b"]}
    pack_clips(small_source((0, 1), signs, [{"sign": 7}, {"label": 1}]), pack)
    more = {"signs": [9, 30], "classes": ["b", "c"]}
    with pytest.raises(AnnotationError, match=text):
        pack_clips(small_source((5,), more, [record]), pack, mode="append")
    pack_clips(small_source((5, 6), more, [{"label": 1}, {"sign": 9}]), pack, mode="append")
    content = listed(pack)
    assert content["metainfo"]["signs"] == [7, 9, 30]
    assert [r["label"] for r in content["data_list"]] == [0, 1, 2, 1]


def test_signs_are_left_out_where_classes_of_the_source_have_none(tmp_path):
    pack = tmp_path / "pack"
    pack_clips(small_source((0, 1), {"signs": [7, 9], "classes": ["a", "b"]}, [{"sign": 7}, {"sign": 9}]), pack)
    pack_clips(small_source((2,), {"classes": ["b"]}, [{"label": 0}]), pack, mode="append")
    assert listed(pack)["metainfo"]["signs"] == [7, 9]
    pack_clips(small_source((3,), {"classes": ["c"]}, [{"label": 0}]), pack, mode="append")
    content = listed(pack)
    assert (content["metainfo"]["classes"], content["metainfo"].get("signs")) == (["a", "b", "c"], None)
    assert [r["label"] for r in content["data_list"]] == [0, 1, 1, 2]


def test_a_clip_whose_length_changed_must_be_removed_first(pack):
    longer = make_source(20)
    longer.records[3]["num_frames"] += 1
    with pytest.raises(DataErrors, match="clip 'clip 3' has num_frames=26, in the source 27; --remove it first"):
        pack_clips(longer, pack, mode="append")
    remove_clips(pack, ["clip 3"])
    assert pack_clips(longer, pack, mode="append").added == 1
    assert verify_pack(pack) == []


def test_removed_clips_have_no_record_and_are_marked_and_a_new_pack_leaves_them_behind(pack, tmp_path):
    shards = {path.name: path.read_bytes() for path in pack.glob("*.npy")}
    left = [f"clip {n}" for n in range(20) if n not in (0, 5, 6)]
    assert remove_clips(pack, ["clip 0", "clip 5"]).num_clips == 18
    manifest = remove_clips(pack, ["clip 6"])
    assert manifest == Manifest.read(pack)
    assert sum(len(shard.removed) for shard in manifest.shards) == 3
    assert manifest.shards[0].removed[0] == 0
    assert_right(pack, left)
    assert all((pack / name).read_bytes() == data for name, data in shards.items())
    pack_clips(open_clips(pack), tmp_path / "compact")
    assert_right(tmp_path / "compact", left)
    assert pack_clips(make_source(20), pack, mode="append").added == 3
    assert_right(pack, [*left, "clip 0", "clip 5", "clip 6"])


def test_damage_in_a_clip_that_was_removed_is_no_problem(pack):
    with (pack / "frames-00000.npy").open("r+b") as stream:
        stream.seek(200)
        stream.write(b"\xff\xff")
    assert len(verify_pack(pack)) == 1
    remove_clips(pack, ["clip 0"])
    assert verify_pack(pack) == []
    whole = (pack / "frames-00000.npy").read_bytes()
    assert whole[126:128] == b" \n"
    (pack / "frames-00000.npy").write_bytes(whole[:126] + b"\t" + whole[127:])
    (problem,) = verify_pack(pack)
    assert "frames-00000.npy is not what was written, its checksum differs, though not in its clips" in problem


def test_all_clips_that_cannot_be_removed_are_reported_at_once(pack):
    before = {path.name: path.read_bytes() for path in pack.iterdir()}
    with pytest.raises(
        DataErrors, match="2 problems in .*:\n  no clip .clip 77.; did you mean .clip 1?7.*\n  no clip .zzz."
    ):
        remove_clips(pack, ["clip 3", "clip 77", "zzz"])
    with pytest.raises(PackError, match="no clip of .* would be left; delete the folder instead"):
        remove_clips(pack, [f"clip {n}" for n in range(20)])
    with pytest.raises(PackError, match="holds no manifest.json"):
        remove_clips(pack.parent, ["clip 3"])
    assert {path.name: path.read_bytes() for path in pack.iterdir()} == before


def strange_names(folder: Path) -> list[str]:
    """Names of a file next to the pack, which must not be touched."""
    return [str(folder / "thesis.txt"), "../thesis.txt", "..", "annotations.json/../../thesis.txt", "thesis.txt"]


@pytest.mark.parametrize("number", range(5))
def test_a_journal_that_came_with_a_pack_removes_no_file_but_those_of_packs(pack, number):
    mine = [folder / "thesis.txt" for folder in (pack, pack.parent)]
    for path in mine:
        path.write_text("years of work")
    (pack / ".packing").mkdir()
    journal = {"plan": "", "done": {}, "commits": [strange_names(pack.parent)[number]]}
    (pack / ".packing" / "journal.json").write_text(json.dumps(journal))
    for write in (lambda: remove_clips(pack, ["clip 3"]), lambda: pack_clips(make_source(3), pack, mode="replace")):
        with pytest.raises(PackError, match="journal.json names '.*', which is no file of a pack; do not trust this pack"):
            write()
    assert all(path.read_text() == "years of work" for path in mine)


@pytest.mark.parametrize("number", range(5))
def test_a_manifest_that_names_files_outside_the_pack_is_rejected(pack, number):
    mine = pack.parent / "thesis.txt"
    mine.write_text("years of work")
    manifest = Manifest.read(pack)
    first, *others = manifest.shards
    files = {**first.files, strange_names(pack.parent)[number]: first.files[first.frames]}
    replace(manifest, shards=(replace(first, files=files), *others)).write(pack / "manifest.json")
    for act in (lambda: verify_pack(pack), lambda: pack_clips(make_source(3), pack, mode="replace")):
        with pytest.raises(PackError, match="manifest.json names '.*', which is no file of a pack"):
            act()
    assert mine.read_text() == "years of work"


ACTS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("remove"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("replace"), st.integers(0, 12), st.integers(1, 6)),
    st.tuples(st.just("compact"), st.just(0), st.just(0)),
)


@settings(max_examples=15)
@given(st.lists(ACTS, min_size=1, max_size=6))
def test_after_any_changes_a_pack_holds_what_a_list_of_names_would(acts):
    with tempfile.TemporaryDirectory() as folder:
        pack, names = Path(folder) / "pack", [f"clip {n}" for n in range(4)]
        pack_clips(make_source(4), pack, shard_bytes=SHARD_BYTES)
        for act, first, count in acts:
            given_names = [f"clip {n}" for n in range(first, first + count)]
            if act in ("append", "replace"):
                pack_clips(make_source(count, first=first), pack, mode=act, shard_bytes=SHARD_BYTES)
                names = (names if act == "append" else []) + [n for n in given_names if act == "replace" or n not in names]
            elif act == "remove" and set(given_names) & set(names) and set(names) - set(given_names):
                remove_clips(pack, [n for n in given_names if n in names])
                names = [n for n in names if n not in given_names]
            elif act == "compact":
                pack_clips(open_clips(pack), Path(folder) / "new", shard_bytes=SHARD_BYTES)
                shutil.rmtree(pack)
                os.rename(Path(folder) / "new", pack)
            assert_right(pack, names)
