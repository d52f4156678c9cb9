"""Packs hold what was packed, in files that numpy maps, whatever the options."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, PackError
from karsl.formats import open_clips
from karsl.io.pack_reader import Pack, list_shards
from karsl.io.sources import FunctionSource
from karsl.pack.manifest import FileStat, Manifest
from karsl.pack.write import pack_clips
from karsl.skeletons import get_skeleton
from tests.pack.packed_clips import SKELETON, NumberedClips, clip_of, make_source

SHARD_BYTES = 40_000


def listed(pack) -> dict:
    return json.loads((pack / "annotations.json").read_text(encoding="utf-8"))


def clips_in(pack) -> dict[str, np.ndarray]:
    packs = {path.name: Pack(path, verify="always") for path in list_shards(pack)}
    records = listed(pack)["data_list"]
    return {r["clip_id"]: packs[r["keypoint_path"]].checked_clip(r["frame_start"], r["num_frames"]) for r in records}


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 2**-11)])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_clip_is_read_back_to_the_precision_of_its_dtype(source, tmp_path, dtype, error, workers):
    out = tmp_path / "pack"
    done = pack_clips(source, out, dtype=dtype, shard_bytes=SHARD_BYTES, workers=workers)
    found = clips_in(out)
    assert list(found) == [r["clip_id"] for r in source.records]
    for n, clip in enumerate(found.values()):
        given = clip_of(n, len(clip), SKELETON.num_keypoints)
        assert float(np.abs(clip - given).max()) <= error
        np.testing.assert_array_equal(clip[..., 3] > 0, given[..., 3] > 0)
    assert (done.added, done.duplicates, done.reused_shards) == (20, 0, 0)
    assert max(s.rounding for s in done.manifest.shards) <= error
    assert not [p for p in tmp_path.iterdir() if p.name not in ("pack", ".pack.lock")]


def test_shards_are_plain_arrays_and_the_manifest_describes_them(pack):
    manifest = Manifest.read(pack)
    names = {"annotations.json", "manifest.json"}
    for number, shard in enumerate(manifest.shards):
        frames = np.load(pack / f"frames-{number:05d}.npy", mmap_mode="r")
        presence = np.load(pack / f"presence-{number:05d}.npy", mmap_mode="r")
        assert (frames.dtype, frames.shape) == (np.float16, (shard.num_frames, SKELETON.num_keypoints, 4))
        assert (presence.dtype, presence.shape) == (np.uint8, (shard.num_frames, len(SKELETON.groups)))
        assert frames.nbytes <= SHARD_BYTES
        names |= set(shard.files)
    assert {p.name for p in pack.iterdir()} == names
    assert all(FileStat.from_path(pack / name) == facts for name, facts in manifest.files().items())
    assert manifest.parts == [[group, list(points)] for group, points in SKELETON.parts]
    assert listed(pack)["data_list"][4]["label"] == 1


def test_the_files_do_not_depend_on_the_number_of_workers(source, pack, tmp_path, same_content):
    pack_clips(source, tmp_path / "other", shard_bytes=SHARD_BYTES, workers=3)
    same_content(pack, tmp_path / "other")


def test_a_pack_is_a_source_of_a_pack(pack, tmp_path):
    pack_clips(open_clips(pack), tmp_path / "wide", dtype="float32", shard_bytes=0)
    assert len(list_shards(tmp_path / "wide")) == 1
    again = tmp_path / "again"
    pack_clips(open_clips(tmp_path / "wide"), again, shard_bytes=SHARD_BYTES)
    assert listed(again) == listed(pack)
    for path in pack.glob("*.npy"):
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_points_are_selected_by_name_and_records_stay(pack, tmp_path):
    content = listed(pack)
    content["data_list"][3]["dialect"] = "north"
    (pack / "annotations.json").write_text(json.dumps(content), encoding="utf-8")
    pack_clips(open_clips(pack, skeleton="hand_42"), tmp_path / "hands")
    there = listed(tmp_path / "hands")
    assert there["metainfo"]["skeleton"] == "hand_42"
    assert there["data_list"][3]["dialect"] == "north"
    mapping = get_skeleton("hand_42").mapping_from(SKELETON)
    assert (mapping >= 0).all()
    source, hands = open_clips(pack), open_clips(tmp_path / "hands")
    for whole, part in zip(source.records, hands.records, strict=True):
        np.testing.assert_array_equal(hands.read_stored(part), source.read_stored(whole)[:, mapping])


def test_a_clip_that_float16_cannot_hold_is_named_and_nothing_appears(source, tmp_path):
    def read(record):
        clip = source.read(record)
        return clip * 1e6 if record["clip_id"] == "clip 11" else clip

    large = FunctionSource(source.metainfo, SKELETON, source.records, read)
    with pytest.raises(
        ConfigError, match=r"clip 'clip 11' holds 99\d+, float16 ends at 65504; take dtype='float32' .--dtype."
    ):
        pack_clips(large, tmp_path / "pack", shard_bytes=SHARD_BYTES)
    assert not (tmp_path / "pack").exists()
    pack_clips(large, tmp_path / "pack", dtype="float32")


class SpoiledClips(NumberedClips):
    """Clips of which the fourth does not fit its record or cannot be read."""

    def read(self, record):
        clip = super().read(record)
        if record["clip_id"] != "clip 3":
            return clip
        if self.fingerprint == "unreadable":
            raise OSError(5, "cannot read clip 3")
        return {"short": clip[:-1], "few points": clip[:, :5], "not finite": clip * np.nan}[self.fingerprint]


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        ("short", CorruptRecordError, r"clip 'clip 3' has shape \(25, 67, 4\), its index \(26, 67, 4\); index it again"),
        ("few points", CorruptRecordError, r"clip 'clip 3' has shape \(26, 5, 4\)"),
        ("not finite", CorruptRecordError, "clip 'clip 3' has values that are NaN"),
        ("unreadable", OSError, "cannot read clip 3"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_does_not_fit_its_record_stops_the_packing(source, tmp_path, damage, error, text, workers):
    spoiled = SpoiledClips(20, fingerprint=damage, records=source.records)
    with pytest.raises(error, match=text):
        pack_clips(spoiled, tmp_path / "pack", workers=workers)
    assert not (tmp_path / "pack").exists()


def test_duplicate_names_and_clips_without_frames_are_reported_together(source, tmp_path):
    source.records[4]["clip_id"] = "clip 2"
    source.records[5]["num_frames"] = 0
    with pytest.raises(
        DataErrors, match="2 problems in the source:\n  two clips are called 'clip 2'.*\n  clip 'clip 5' has no"
    ):
        pack_clips(source, tmp_path / "pack")


@pytest.mark.parametrize("mode", ["new", "replace"])
@pytest.mark.parametrize("name", ["annotations.json", "01-train"])
def test_a_folder_with_files_of_others_is_left_alone(source, tmp_path, mode, name):
    (tmp_path / "root" / name).mkdir(parents=True)
    with pytest.raises(
        PackError, match=f"root contains files that do not belong to a pack, e.g. '{name}'; choose an empty or new folder"
    ):
        pack_clips(source, tmp_path / "root", mode=mode)
    assert [entry.name for entry in (tmp_path / "root").iterdir()] == [name]


def test_an_empty_folder_takes_a_pack(source, tmp_path):
    (tmp_path / "pack").mkdir()
    assert pack_clips(source, tmp_path / "pack").added == len(source.records)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, PackError, "holds a pack; add clips to it with --append, or write it again with --replace"),
        ({"mode": "append", "dtype": "float32"}, ConfigError, "holds float16, not float32; leave --dtype out"),
        ({"mode": "add"}, ConfigError, "mode='add'"),
        ({"mode": "replace", "dtype": "float64"}, ConfigError, "dtype='float64' of a pack; expected 'float16' or 'float32'"),
        ({"mode": "replace", "shard_bytes": -1}, ConfigError, "shard_bytes=-1"),
    ],
)
def test_what_does_not_fit_a_pack_that_is_there_is_rejected(source, pack, options, error, text):
    before = {p.name: p.read_bytes() for p in pack.iterdir()}
    with pytest.raises(error, match=text):
        pack_clips(source, pack, **options)
    assert {p.name: p.read_bytes() for p in pack.iterdir()} == before


def test_a_folder_without_a_manifest_cannot_be_added_to(source, tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(PackError, match="holds no manifest.json, so it is no finished pack"):
        pack_clips(source, tmp_path / "x", mode="append")
    (tmp_path / "file").touch()
    with pytest.raises(PackError, match="file is a file; a pack is a folder"):
        pack_clips(source, tmp_path / "file")
    with pytest.raises(PackError, match="the source has no clips"):
        pack_clips(make_source(0), tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_a_reader_of_a_pack_continues_when_it_is_replaced(source, pack):
    held = {path.name: Pack(path) for path in list_shards(pack)}
    before = {name: shard.frames.copy() for name, shard in held.items()}
    pack_clips(make_source(9, first=100), pack, mode="replace", shard_bytes=SHARD_BYTES)
    assert list(clips_in(pack)) == [f"clip {n}" for n in range(100, 109)]
    assert not {p.name for p in list_shards(pack)} & set(held), "a name never stands for other clips"
    assert all(np.array_equal(shard.frames, before[name]) for name, shard in held.items())
    with pytest.raises(FileNotFoundError, match=r"replaced since this run opened it; start the run again"):
        pickle.loads(pickle.dumps(held["frames-00000.npy"]))  # as in a worker that starts now
    now = list_shards(pack)[0]
    now.unlink()
    with pytest.raises(FileNotFoundError, match="no such file; is data_root the folder of the pack"):
        Pack(now)


def test_frames_without_a_manifest_or_without_checksums_are_named_errors(source, pack, tmp_path):
    (pack / "manifest.json").rename(tmp_path / "manifest.json")
    with pytest.raises(PackError, match="holds no manifest.json, so it is no finished pack; make one with 'karsl pack'"):
        pack_clips(source, pack, mode="append")
    with pytest.raises(PackError, match="contains files that do not belong to a pack"):
        pack_clips(source, pack, mode="replace")
    (pack / "clips-00000.npy").unlink()
    for verify in ("first touch", "always"):
        with pytest.raises(
            CorruptRecordError, match="clips-00000.npy: no such file, .*; copy the whole pack, or run 'karsl pack' again"
        ):
            Pack(pack / "frames-00000.npy", verify=verify)
