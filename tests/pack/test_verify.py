"""One flipped bit, a cut or missing file: found, and named with shard, clip, bytes and remedy."""

from __future__ import annotations

import json
import os
import pickle
import random
import re

import numpy as np
import pytest

from karsl.datasets import KeypointDataset, keypoint_collate
from karsl.errors import CorruptRecordError, KarslError, PackError, TransformError
from karsl.io.pack_reader import Pack
from karsl.pack import manifest
from karsl.pack.manifest import Manifest
from karsl.pack.verify import verify_pack
from tests.pack.packed_clips import SKELETON

HEADER, ROW = 128, SKELETON.num_keypoints * 8


def flip(path, byte: int, bit: int = 0) -> None:
    with path.open("r+b") as stream:
        stream.seek(byte)
        old = stream.read(1)[0]
        stream.seek(byte)
        stream.write(bytes([old ^ 1 << bit]))


def test_an_intact_pack_has_no_problem_and_reports_progress(pack):
    calls = []
    assert verify_pack(pack, progress=lambda done, total: calls.append((done, total))) == []
    assert calls[-1][0] == calls[-1][1] == sum(p.stat().st_size for p in pack.glob("*.npy"))


def test_any_flipped_bit_of_any_file_is_found(pack):
    rng = random.Random(0)
    for path in sorted(pack.iterdir()):
        size = path.stat().st_size
        for byte in {0, size - 1, *(rng.randrange(size) for _ in range(6))}:
            bit = rng.randrange(8)
            flip(path, byte, bit)
            try:
                problems = verify_pack(pack)
            except KarslError as error:  # of the manifest or the annotations
                problems = [str(error)]
            flip(path, byte, bit)
            assert len(problems) == 1, (path.name, byte, bit)
            assert path.name in problems[0] or path.name.replace("presence", "frames") in problems[0]
            assert re.search("again|update|right folder", problems[0])
    assert verify_pack(pack) == []


def test_the_clip_and_its_bytes_are_named(pack):
    clips = np.load(pack / "clips-00001.npy")
    start, length = int(clips[2, 0]), int(clips[2, 1])
    flip(pack / "frames-00001.npy", HEADER + start * ROW + 5)
    (problem,) = verify_pack(pack)
    where = f"frames-00001.npy: clip 2, frames {start} to {start + length}, bytes {HEADER + start * ROW} to "
    assert problem.startswith(where + str(HEADER + (start + length) * ROW) + " (clip ")
    assert "are not what was written; copy the shard again, or 'karsl pack" in problem


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda p: p.unlink(), "frames-00002.npy is missing; copy the file again"),
        (lambda p: os.truncate(p, 5000), r"frames-00002.npy has 5000 bytes instead of \d+: it was cut or written to; copy"),
        (lambda p: flip(p, 60), "frames-00002.npy is not what was written, its checksum differs"),
    ],
    ids=["missing", "cut", "header"],
)
def test_missing_truncated_and_unreadable_files_have_distinct_problems(pack, damage, text):
    damage(pack / "frames-00002.npy")
    (problem,) = verify_pack(pack)
    assert re.match(text, problem), problem


def test_files_of_two_packs_that_were_mixed_are_found(pack):
    for kind in ("frames", "presence", "clips"):
        a, b = (pack / f"{kind}-0000{n}.npy" for n in (0, 1))
        content = a.read_bytes()
        a.write_bytes(b.read_bytes())
        b.write_bytes(content)
    assert len(verify_pack(pack)) == 6


# ---- while reading ----


def rows(pack, *indices):
    clips = pack.clips[list(indices)]
    return clips[:, 0].astype(np.int64), clips[:, 1].astype(np.int64)


@pytest.mark.parametrize(("mode", "finds_later"), [("off", False), ("first touch", False), ("always", True)])
def test_a_clip_is_compared_as_often_as_asked(pack, mode, finds_later):
    shard = Pack(pack / "frames-00000.npy", verify=mode)
    shard.verify(*rows(shard, 0, 1))
    flip(shard.path, HEADER + 3)
    if finds_later:
        with pytest.raises(CorruptRecordError, match="clip 0, frames 0 to 5, bytes 128 to .* the checksum differs; copy"):
            shard.verify(*rows(shard, 0))
    else:
        shard.verify(*rows(shard, 0))


def test_a_damaged_clip_is_found_at_the_first_touch_and_others_are_not_disturbed(pack):
    flip(pack / "frames-00000.npy", HEADER + 3)
    shard = Pack(pack / "frames-00000.npy", verify="first touch")
    shard.verify(*rows(shard, 1, 2))
    for _ in range(2):
        with pytest.raises(CorruptRecordError, match="clip 0"):
            shard.verify(*rows(shard, 1, 0))
    with pytest.raises(CorruptRecordError, match="clip 0"):
        pickle.loads(pickle.dumps(shard)).checked_clip(2, 1)


def test_rows_that_are_parts_of_clips_or_span_them_are_compared_whole(pack):
    shard = Pack(pack / "frames-00000.npy", verify="always")
    length = int(shard.clips[0, 1])
    flip(pack / "presence-00000.npy", HEADER)
    with pytest.raises(CorruptRecordError, match="clip 0"):
        shard.verify(np.array([length - 1]), np.array([1]))
    with pytest.raises(CorruptRecordError, match="clip 0"):
        shard.verify(np.array([length - 1]), np.array([4]))
    shard.verify(np.array([length]), np.array([4]))


@pytest.mark.parametrize("kind", ["frames", "presence", "clips"])
def test_a_shard_that_is_cut_while_it_is_mapped_is_an_error_and_does_not_end_the_process(pack, kind):
    shard = Pack(pack / "frames-00000.npy", verify="first touch")
    shard.verify(*rows(shard, 0))
    os.truncate(pack / f"{kind}-00000.npy", 100)
    with pytest.raises(CorruptRecordError, match=rf"{kind}.*100 of \d+ bytes are left, cut while in use; copy it again"):
        shard.verify(*rows(shard, 0, 1))


def test_a_shard_that_is_removed_or_replaced_while_it_is_mapped_is_read_on(pack):
    shard = Pack(pack / "frames-00000.npy", verify="always")
    clip = shard.checked_clip(0, 5).copy()
    (pack / "short").write_bytes(b"short")
    os.replace(pack / "short", shard.path)
    np.testing.assert_array_equal(shard.checked_clip(0, 5), clip)
    shard.path.unlink()
    np.testing.assert_array_equal(shard.checked_clip(0, 5), clip)


def test_checksums_that_do_not_belong_to_the_shard_are_rejected(pack):
    np.save(pack / "clips-00000.npy", np.zeros((3, 3), np.uint64))
    with pytest.raises(CorruptRecordError, match="clips-00000.npy: does not belong to frames-00000.npy"):
        Pack(pack / "frames-00000.npy", verify="first touch")
    Pack(pack / "frames-00000.npy")


PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=4), dict(type="PackKeypointInputs")]


@pytest.mark.parametrize("damage", [
    lambda folder: flip(folder / "frames-00001.npy", HEADER + 3),
    lambda folder: os.truncate(folder / "frames-00001.npy", 5000),
    lambda folder: (folder / "frames-00001.npy").unlink(),
], ids=["flipped bit", "cut", "missing"])  # fmt: skip
def test_a_dataset_gives_right_clips_or_one_clear_error_and_skips_when_asked(pack, damage):
    whole = KeypointDataset("annotations.json", data_root=str(pack), pipeline=PIPELINE, test_mode=True)
    before = keypoint_collate(whole.__getitems__(range(20)))["inputs"]
    names = [whole.get_data_info(n)["keypoint_path"] for n in range(20)]
    bad = next(n for n, name in enumerate(names) if name.endswith("frames-00001.npy"))
    good = [n for n, name in enumerate(names) if not name.endswith("frames-00001.npy")]
    damage(pack)
    dataset = KeypointDataset("annotations.json", data_root=str(pack), pipeline=PIPELINE, test_mode=True)
    assert (keypoint_collate(dataset.__getitems__(good))["inputs"] == before[good]).all()
    with pytest.raises(TransformError, match=f"LoadKeypoints failed on clip 'clip {bad}' .*frames-00001.npy"):
        keypoint_collate(dataset.__getitems__([0, bad]))
    skipping = KeypointDataset("annotations.json", data_root=str(pack), pipeline=PIPELINE, on_error="skip", seed=0)
    batch = keypoint_collate(skipping.__getitems__([0, bad, 1]))
    assert bad not in batch["sample_idx"].tolist()
    assert skipping.num_skipped >= 1


def test_the_manifest_is_of_this_format(pack):
    path = pack / "manifest.json"
    text = path.read_text(encoding="utf-8")
    for old, new, words in (
        ('"version": 1', '"version": 2', "is of version 2, this karsl reads 1; update karsl"),
        ('"version"', '"versiom"', "is of version None, this karsl reads 1"),
        ('"karsl pack"', '"other"', "is not the manifest of a pack"),
        ('"float16"', '"float32"', "its checksum differs"),
        ("{", "", "not readable"),
    ):
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(KarslError, match=words):
            Manifest.read(pack)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: m.update(shards=5), "shards: expected array, got int"),
        (lambda m: m["shards"][0].update(files=[]), r"shards\[0\].files: expected object"),
        (lambda m: m["shards"][0]["files"]["frames-00000.npy"].update(bytes="x"), "bytes: expected int, got str"),
        (lambda m: m["shards"][0]["files"]["frames-00000.npy"].update(bytes=-1), "bytes: expected int >= 0"),
        (lambda m: m["shards"][0].update(removed=[10**6]), "shard frames-00000.npy of . clips has others removed"),
        (lambda m: m["shards"][0].pop("num_frames"), "missing required field num_frames"),
        (lambda m: m.update(annotations=None), "annotations: expected object, got null"),
        (lambda m: m.update(dtype="float64"), "dtype: expected str matching"),
        (lambda m: m.update(num_clips=7), "num_clips 7, but its shards have 20"),
    ],
)
def test_a_manifest_with_a_checksum_but_other_values_is_one_sentence(pack, edit, words):
    path = pack / "manifest.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    del stored["xxh3"]
    edit(stored)
    path.write_text(json.dumps({**stored, "xxh3": manifest._checksum(stored)}), encoding="utf-8")
    with pytest.raises(PackError, match=f"manifest.json.*{words}"):
        Manifest.read(pack)
