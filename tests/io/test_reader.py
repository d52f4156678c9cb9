"""One clip in every kind of file that a record can refer to."""

from __future__ import annotations

import copy
import os
import pickle
import warnings
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from xxhash import xxh3_64_intdigest

from karsl.datasets.batching.kernel import fill_canonical
from karsl.errors import ConfigError, CorruptRecordError
from karsl.io import ClipReader, canonical_clip, list_members, npz, readahead
from karsl.io.addresses import ClipLayout
from karsl.io.npz import inflate
from karsl.io.pack_reader import VERIFY, list_shards
from karsl.pack import pack_records
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import make_clip

SKELETON = get_skeleton("msl_226")
V = SKELETON.num_keypoints


def raw_clip(frames=6, seed=0):
    clip = make_clip(frames, SKELETON, missing="scattered", seed=seed)
    return np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1).astype(np.float32)


@pytest.fixture
def records(tmp_path):
    """The same clip as every kind of record."""
    clip = raw_clip()
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", other=clip * 2, a=clip)
    np.save(tmp_path / "one.npy", clip)
    torch.save(torch.from_numpy(clip), tmp_path / "one.pt")
    torch.save({"other": torch.zeros(3), "a": torch.from_numpy(clip)}, tmp_path / "many.pt")
    (tmp_path / "shard.tar").write_bytes(b"x" * 64 + canonical_clip(clip).tobytes() + b"y")
    records = [{"clip_id": str(n), "label": 0, "num_frames": 6} for n in range(3)]
    pack_records(tmp_path / "pack", {}, records, lambda r: canonical_clip(clip), skeleton=SKELETON, dtype="float32")
    ranges = {name: list(list_members(tmp_path / f"{name}.npz")[0][1].range) for name in ("stored", "deflated")}
    return {
        name: {**record, "keypoint_path": str(tmp_path / record["keypoint_path"])}
        for name, record in {
            "stored, by range": {"keypoint_path": "stored.npz", "keypoint_key": "a", "member": ranges["stored"]},
            "deflated, by range": {"keypoint_path": "deflated.npz", "keypoint_key": "a", "member": ranges["deflated"]},
            "deflated, by key": {"keypoint_path": "deflated.npz", "keypoint_key": "a"},
            "npy": {"keypoint_path": "one.npy"},
            "tensor": {"keypoint_path": "one.pt"},
            "tensor of a dict": {"keypoint_path": "many.pt", "keypoint_key": "a"},
            "bytes": {"keypoint_path": "shard.tar", "byte_start": 64, "num_frames": 6, "dtype": "float32"},
            "pack": {"keypoint_path": "pack/frames-00000.npy", "frame_start": 6, "num_frames": 6},
        }.items()
    }


def test_the_clip_is_the_same_in_every_file(records):
    wanted, reader = canonical_clip(raw_clip()), ClipReader()
    for name, record in records.items():
        for _ in range(2):
            found = reader.read(record, V)
            np.testing.assert_array_equal(found, wanted, err_msg=name)
            assert not found.flags.writeable, name


@pytest.mark.parametrize("send", [copy.deepcopy, lambda reader: pickle.loads(pickle.dumps(reader))])
def test_a_copy_for_another_process_starts_empty_and_reads_the_same(records, send):
    reader = ClipReader(cache_bytes=10**6, verify="always", nonfinite="missing")
    for record in records.values():
        reader.read(record, V)
    other = send(reader)
    assert (other.cache.size, len(other._maps), len(other._packs)) == (0, 0, 0)
    assert (other.cache.max_size, other.verify, other.nonfinite) == (10**6, "always", "missing")
    for record in records.values():
        np.testing.assert_array_equal(other.read(record, V), reader.read(record, V))
    reader.close()
    assert (reader.cache.size, len(reader._maps), len(reader._packs)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"byte_start": 80}, "no clip of 6 frames of float32 at byte 80, the file has .*; was it cut or replaced"),
        ({"byte_start": -1}, "no clip of 6 frames of float32 at byte -1"),
        ({"num_frames": 0}, "no clip of 0 frames"),
        ({"num_frames": 2**57}, f"no clip of {2**57} frames"),
        ({"byte_start": 2**70}, f"at byte {2**70}"),
        ({"num_frames": 1.0}, "num_frames=1.0 of a record is not an integer"),
        ({"num_frames": None}, "num_frames=None of a record is not an integer"),
        ({"byte_start": "64"}, "byte_start='64' of a record is not an integer"),
        ({"dtype": "int32"}, "no clip of dtype 'int32' with raw=None can be read in place"),
        ({"dtype": ["f4"]}, "no clip of dtype"),
        ({"raw": 5}, "with raw=5 can be read in place"),
        ({"keypoint_path": 3}, "keypoint_path=3 of a record is not the path of a file"),
    ],
)
@pytest.mark.parametrize("verify", VERIFY)
def test_bytes_outside_the_file_are_rejected(records, change, text, verify):
    with pytest.raises(CorruptRecordError, match=text):
        ClipReader(verify=verify).read({**records["bytes"], **change}, V)


def test_bytes_are_compared_with_the_checksum_that_a_record_has(records):
    record = {**records["bytes"], "xxh3": xxh3_64_intdigest(canonical_clip(raw_clip()).tobytes())}
    ClipReader().read(record, V)
    with pytest.raises(CorruptRecordError, match="at bytes 64 to .* is not what was written, its checksum differs; copy"):
        ClipReader().read({**record, "xxh3": 1}, V)
    ClipReader(verify="off").read({**record, "xxh3": 1}, V)


@pytest.mark.parametrize(("verify", "finds"), [("first touch", False), ("always", True)])
def test_bytes_are_compared_at_the_first_touch_or_always(records, verify, finds):
    record = {**records["bytes"], "xxh3": xxh3_64_intdigest(canonical_clip(raw_clip()).tobytes())}
    reader = ClipReader(verify=verify)
    reader.read(record, V)
    wrong = {**record, "xxh3": 1}
    if finds:
        with pytest.raises(CorruptRecordError, match="its checksum differs"):
            reader.read(wrong, V)
    else:
        reader.read(wrong, V)


def test_a_file_that_takes_the_address_of_a_closed_one_is_verified_too(tmp_path):
    clip, reader = canonical_clip(raw_clip()), ClipReader(max_maps=1)
    right = xxh3_64_intdigest(clip.tobytes())
    for name in "abc":
        (tmp_path / name).write_bytes(clip.tobytes())

    def read(name, checksum):
        where = {"keypoint_path": str(tmp_path / name), "byte_start": 0, "num_frames": 6, "dtype": "float32"}
        reader.read({**where, "xxh3": checksum}, V)

    read("a", right)
    read("b", right)  # closes the map of the first file, whose address is free then
    with pytest.raises(CorruptRecordError, match="c: the clip at bytes 0 to .* its checksum differs"):
        read("c", right + 1)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice")
def test_all_ranges_of_a_batch_are_requested_before_any_is_compared(records, monkeypatch):
    requested = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, begin, size, advice: requested.append((begin, size)))
    monkeypatch.setattr(readahead, "is_in_memory", lambda parts: False)  # files just written are
    reader, layout = ClipReader(), ClipLayout(np.dtype("float32"), 1)
    content = canonical_clip(raw_clip()).tobytes()
    path, starts, frames = records["bytes"]["keypoint_path"], [64, 0], [len(content) // 16, 4]
    right, few = xxh3_64_intdigest(content), xxh3_64_intdigest(b"x" * 64)

    def verify(*checksums):
        where = np.zeros(2, int), np.array(starts), np.array(frames)
        reader.verify_clips(reader.map_files([path]), *where, layout, np.array(checksums, np.uint64))

    with pytest.raises(CorruptRecordError):
        verify(right, 1)
    assert requested == [(64, len(content)), (0, 64)]
    verify(right, few)
    del requested[:]
    verify(right, few)
    assert requested == [], "the second pass is read from memory"


def test_a_record_without_a_locator_and_another_skeleton_are_clear_errors(records):
    with pytest.raises(CorruptRecordError, match="the record names no array in it; add 'keypoint_key'"):
        ClipReader().read({"keypoint_path": "a.npz"}, V)
    for name, record in records.items():
        if name != "bytes":
            with pytest.raises(CorruptRecordError, match=f"{V} keypoints, the skeleton.* 3"):
                ClipReader().read(record, 3)


def test_unknown_options_are_rejected():
    with pytest.raises(ConfigError, match="LoadKeypoints: verify='first_touch'; did you mean 'first touch'?"):
        ClipReader(verify="first_touch")
    with pytest.raises(ConfigError, match="LoadKeypoints: nonfinite='zero'; expected 'raise' or 'missing'"):
        ClipReader(nonfinite="zero")


def test_the_number_of_open_shards_is_bounded(tmp_path):
    records = [{"clip_id": str(n), "label": 0, "num_frames": 6} for n in range(6)]
    pack_records(tmp_path, {}, records, lambda r: canonical_clip(raw_clip()), skeleton=SKELETON, shard_bytes=1)
    reader = ClipReader(max_maps=2)
    before = len(os.listdir("/proc/self/fd"))
    clips = [
        reader.read({"keypoint_path": str(path), "frame_start": 0, "num_frames": 6}, V).copy()
        for path in list_shards(tmp_path)
    ]
    assert len(clips) == 6
    assert len(reader._packs) == 2
    assert len(os.listdir("/proc/self/fd")) <= before + 2 * 3, "frames, presence and checksums of two shards"


def in_three_threads(work, ends, nbytes):
    threads = [Thread(target=work, args=(0, len(ends) - 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_this_thread(work, ends, nbytes):
    work(0, len(ends) - 1)


@pytest.fixture
def members(tmp_path):
    """Twelve clips of 1 to 12 frames, compressed in one archive, by byte range."""
    path = tmp_path / "many.npz"
    np.savez_compressed(path, **{f"clip{n}": raw_clip(n + 1, seed=n) for n in range(12)})
    found, _ = list_members(path)
    return [{"keypoint_path": str(path), "keypoint_key": member.key, "member": list(member.range)} for member in found]


@pytest.mark.parametrize("cache_bytes", [0, 10**7])
def test_a_batch_has_the_clips_of_its_records_in_their_order(records, members, cache_bytes):
    wanted = [*records.values(), *members[::-1], *records.values()]
    reader = ClipReader(cache_bytes=cache_bytes)
    for fill in (None, fill_canonical):
        found = reader.read_batch(wanted, V, fill=fill, in_threads=in_three_threads)
        for clip, record in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(clip, ClipReader().read(record, V))
            assert not clip.flags.writeable


def test_a_member_that_a_batch_has_twice_is_decompressed_once(members, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        npz, "inflate", lambda *args, size, **options: sizes.append(size) or inflate(*args, size=size, **options)
    )
    found = ClipReader(cache_bytes=0).read_batch([*members, *members], V, in_threads=in_three_threads)
    assert sorted(sizes) == sorted(record["member"][2] for record in members)
    assert all(found[n] is found[n + len(members)] for n in range(len(members)))


def test_the_cache_holds_the_same_clips_within_its_bound_for_any_number_of_threads(members):
    readers = [ClipReader(cache_bytes=30 * V * 16) for _ in range(2)]
    for indices in ([3, 1, 8, 5, 1, 0], [5, 11, 2, 3, 9], [7, 4, 10]):
        for reader, run in zip(readers, (in_this_thread, in_three_threads), strict=True):
            reader.read_batch([members[index] for index in indices], V, in_threads=run)
            assert reader.cache.size <= reader.cache.max_size
        assert list(readers[0].cache._entries) == list(readers[1].cache._entries)
    assert len(readers[0].cache)


@pytest.mark.parametrize(
    "change", [{"member": [0] * 7}, {"member": 3}, {"keypoint_key": "none"}, {"keypoint_path": "gone.npz"}]
)
def test_a_clip_of_a_batch_that_cannot_be_read_raises_what_it_raises_alone(members, change):
    members[4] |= change
    outcomes = []
    for read in (
        lambda reader: reader.read(members[4], V),
        lambda reader: reader.read_batch(members, V, in_threads=in_three_threads),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                read(ClipReader())
            except (CorruptRecordError, FileNotFoundError) as error:
                outcomes.append((type(error), str(error), [str(warning.message) for warning in caught]))
            else:
                outcomes.append([str(warning.message) for warning in caught])
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("nonfinite", ["raise", "missing"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_values_that_are_not_finite_are_what_they_are_alone(tmp_path, nonfinite, value):
    clips = {"a": raw_clip(), "b": raw_clip()}
    clips["b"][2, :, :3] = value  # the sum of three finite ones may overflow
    clips["b"][3, 4] = 0.5, 0.5, 0.5, np.inf if value == np.inf else 7
    np.savez_compressed(tmp_path / "x.npz", **clips)
    found, _ = list_members(tmp_path / "x.npz")
    batch = [{"keypoint_path": str(tmp_path / "x.npz"), "keypoint_key": m.key, "member": list(m.range)} for m in found]
    outcomes = []
    for read in (
        lambda reader: [reader.read(record, V, fill=fill_canonical) for record in batch],
        lambda reader: reader.read_batch(batch, V, fill=fill_canonical, in_threads=in_three_threads),
    ):
        try:
            outcomes.append([clip.tobytes() for clip in read(ClipReader(nonfinite=nonfinite))])
        except CorruptRecordError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert isinstance(outcomes[0], str) == (nonfinite == "raise" and not np.isfinite(value))


def test_a_damaged_member_names_its_clip_in_a_batch(members):
    path = Path(members[0]["keypoint_path"])
    data = bytearray(path.read_bytes())
    data[members[7]["member"][0] + 30] ^= 255
    state = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(CorruptRecordError, match="many.npz: array 'clip7' cannot be read"):
        ClipReader().read_batch(members, V, in_threads=in_three_threads)
