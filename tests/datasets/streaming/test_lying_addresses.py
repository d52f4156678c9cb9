"""Positions and lengths that are wrong: an error, or frames of the file itself; never a crash, never other memory.

Every source of addresses is attacked: records of packs, of mapped files and of rows, tables of clips, indexes next to tars
and on servers. `KARSL_LONG_TESTS=1` tries 10,000 wrong values per source instead of a few.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from karsl.datasets import KeypointDataset, StreamDataset, TarDataset, keypoint_collate
from karsl.datasets.batching.plan import DevicePack
from karsl.errors import KarslError
from karsl.io import Pack, canonical_clip
from karsl.io.annotations import write_data_list
from karsl.io.pack_reader import VERIFY
from karsl.io.rows import locate_array
from karsl.pack import pack_records
from karsl.schema import whole_number
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import make_clip
from karsl.webdataset.write import write_tars

LONG = os.environ.get("KARSL_LONG_TESTS") == "1"
SKELETON = get_skeleton("hand_42")
V, FRAMES, CLIPS = SKELETON.num_keypoints, 6, 4
EMPTY = xxhash.xxh3_64_intdigest(b"")
ERRORS = (KarslError, FileNotFoundError, TypeError)  # MMEngine's contract has TypeError for records of another type

NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2**31, 2**57, 2**59, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**40), -(2**63), 10**30]),
    st.integers(-10, 30),
    st.integers(0, 20_000),
    st.integers(-(2**70), 2**70),
)
OTHERS = st.one_of(st.none(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2), st.booleans())
VALUES = NUMBERS | OTHERS
DTYPES = st.sampled_from(["float32", "float16", "float64", "V0", "int8", ">f4", "<f4", "", "nonsense", 5, None, ["f4"], "O"])


def attacked(examples):
    return settings(
        max_examples=10_000 if LONG else examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def clip_of(number):
    clip = make_clip(FRAMES + number, SKELETON, missing="scattered", seed=number)
    return canonical_clip(np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1))


def records():
    return [{"clip_id": str(n), "label": n, "num_frames": FRAMES + n} for n in range(CLIPS)]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same clips as pack, tar and stack."""
    folder = tmp_path_factory.mktemp("stores")
    pack_records(folder / "pack", {}, records(), lambda r: clip_of(r["label"]), skeleton=SKELETON, dtype="float32")
    write_tars(folder / "tar", {}, records(), lambda r: clip_of(r["label"]), skeleton=SKELETON, dtype="float32")
    np.save(folder / "rows.npy", np.stack([clip_of(n)[:FRAMES] for n in range(CLIPS)]))
    return folder


def pipeline(verify="first touch"):
    steps = ("LoadKeypoints", "UniformSampleFrames", "PackKeypointInputs")
    options = ({"verify": verify}, {"clip_len": 4}, {})
    return [dict(type=step, **own) for step, own in zip(steps, options, strict=True)]


def open_records(folder, data_list, verify):
    write_data_list(folder / "lie.json", {}, data_list)
    options = dict(data_root=str(folder), skeleton=SKELETON, index_cache=None, seed=0)
    return KeypointDataset("lie.json", pipeline=pipeline(verify), **options)


def check_read(make, expected):
    """Read a batch with one wrong record: an error, or frames that the file has where the record says.

    Args:
        make: Returns a dataset.
        expected: Returns the frames (T, V, 3 or 4) of the wrong record, the second, if it is acceptable.
    """
    try:
        batch = keypoint_collate(make().__getitems__([0, 1, 2]))
    except ERRORS:
        return
    clip = np.asarray(expected())
    if np.isfinite(clip).all():  # bytes between two numbers may be any
        missing = clip[..., 3] <= 0 if clip.shape[2] == 4 else np.zeros(clip.shape[:2], bool)
        frames = np.where(missing[..., None], 0, clip[..., :3]).astype(np.float32)
        for frame in batch["inputs"][1].numpy():
            assert any(np.array_equal(frame, stored) for stored in frames)


def whole_numbers(record, *keys):
    """The whole numbers that a record gives, also as 3.0 or '3'; an error of the test for another value."""
    found = [whole_number(record[key]) for key in keys]
    assert None not in found, "only whole numbers are positions"
    return found


def slice_of(content, record, values=4):
    """The frames that a record describes; an error of the test if they are outside."""
    dtype, start, count = np.dtype(record["dtype"]), *whole_numbers(record, "byte_start", "num_frames")
    size = count * V * values * dtype.itemsize
    assert count >= 1
    assert 0 <= start <= start + size <= len(content), "read outside the file"
    return np.frombuffer(content[start : start + size], dtype).reshape(count, V, values)


@attacked(60)
@given(
    lie=st.dictionaries(st.sampled_from(["frame_start", "num_frames"]), VALUES, min_size=1), verify=st.sampled_from(VERIFY)
)
def test_records_of_a_pack(stores, lie, verify):
    folder, data_list = stores / "pack", json.loads((stores / "pack" / "annotations.json").read_text())["data_list"]
    data_list[1] |= lie
    frames = np.load(folder / "frames-00000.npy")

    def expected():
        start, count = whole_numbers(data_list[1], "frame_start", "num_frames")
        assert count >= 1
        assert 0 <= start <= start + count <= len(frames), "read outside the shard"
        return frames[start : start + count]

    check_read(lambda: open_records(folder, data_list, verify), expected)


LIES = st.fixed_dictionaries(
    {}, optional={"byte_start": VALUES, "num_frames": VALUES, "dtype": DTYPES, "xxh3": VALUES | st.just(EMPTY)}
)


@attacked(80)
@given(lie=LIES, every=st.booleans(), verify=st.sampled_from(VERIFY))
def test_records_of_a_mapped_file(stores, lie, every, verify):
    folder, tar = stores / "tar", stores / "tar" / "clips-000000.tar"
    clips = json.loads((folder / "clips-000000.tar.index").read_text().split("\n")[1])["clips"]
    data_list = [
        {"keypoint_path": tar.name, "label": 0, "byte_start": c["start"], "num_frames": c["frames"], "dtype": c["dtype"],
         "xxh3": c["xxh3"]}
        for c in clips
    ]  # fmt: skip
    for record in data_list if every else data_list[1:2]:
        record |= lie
    check_read(lambda: open_records(folder, data_list, verify), lambda: slice_of(tar.read_bytes(), data_list[1]))


@attacked(80)
@given(lie=LIES, raw=st.sampled_from([3, 4, 0, -1, 2**62, "4", 4.0, None, True]), every=st.booleans())
def test_records_of_rows(stores, lie, raw, every):
    stored = locate_array(stores / "rows.npy")
    data_list = [
        {"keypoint_path": "rows.npy", "label": 0, "byte_start": stored.row(n, "").start, "num_frames": FRAMES,
         "dtype": "float32", "raw": 4}
        for n in range(CLIPS)
    ]  # fmt: skip
    for record in data_list if every else data_list[1:2]:
        record |= {**lie, "raw": raw}

    def expected():
        assert raw in (3, 4, None)
        clip = slice_of((stores / "rows.npy").read_bytes(), data_list[1], raw or 4)
        return clip[..., :3] if raw else clip  # a raw point with a score of 0 is present

    check_read(lambda: open_records(stores, data_list, "first touch"), expected)


@attacked(60)
@given(
    cells=st.dictionaries(
        st.tuples(st.integers(0, CLIPS - 1), st.integers(0, 2)),
        st.one_of(NUMBERS.filter(lambda n: 0 <= n < 2**64), st.just(2**64 - FRAMES)),
        min_size=1,
        max_size=4,
    ),
    verify=st.sampled_from(VERIFY[1:]),
)
def test_tables_of_clips(stores, tmp_path_factory, cells, verify):
    folder = tmp_path_factory.mktemp("table")
    shutil.copytree(stores / "pack", folder / "pack")
    table = np.load(folder / "pack" / "clips-00000.npy")
    for cell, value in cells.items():
        table[cell] = value
    np.save(folder / "pack" / "clips-00000.npy", table)
    frames = np.load(folder / "pack" / "frames-00000.npy")
    for start, length in ((0, FRAMES), (FRAMES, FRAMES + 1), (len(frames) - 1, 1)):
        try:
            clip = Pack(folder / "pack" / "frames-00000.npy", verify=verify).checked_clip(start, length)
        except KarslError:
            continue
        np.testing.assert_array_equal(clip, frames[start : start + length])
    shutil.rmtree(folder)


INDEX_LIES = st.fixed_dictionaries(
    {},
    optional={
        "start": VALUES,
        "frames": VALUES,
        "dtype": DTYPES,
        "xxh3": VALUES | st.just(EMPTY),
        "facts": OTHERS,
        "key": VALUES,
    },
)
HEAD_LIES = st.fixed_dictionaries({}, optional={"num_keypoints": VALUES, "mapped": VALUES, "size": VALUES, "others": VALUES})


def write_lie(stores, folder, lie, head, every):
    """Copy the tar and write an index with a right checksum of its own."""
    shutil.copytree(stores / "tar", folder)
    tar, index = folder / "clips-000000.tar", folder / "clips-000000.tar.index"
    content = json.loads(index.read_text().split("\n")[1]) | {"mtime_ns": tar.stat().st_mtime_ns} | head
    for clip in content["clips"] if every else content["clips"][1:2]:
        clip |= lie
    body = json.dumps(content, separators=(",", ":"))
    form = {"form": "karsl tar index 1", "xxh3": xxhash.xxh3_64_hexdigest(body.encode())}
    index.write_text(f"{json.dumps(form)}\n{body}\n")
    clip = content["clips"][1]
    return {"byte_start": clip["start"], "num_frames": clip["frames"], "dtype": clip["dtype"]}, tar


@attacked(60)
@given(lie=INDEX_LIES, head=HEAD_LIES, every=st.booleans(), verify=st.sampled_from(VERIFY))
def test_indexes_next_to_tars(stores, tmp_path_factory, lie, head, every, verify):
    folder = tmp_path_factory.mktemp("index")
    record, tar = write_lie(stores, folder / "tar", lie, head, every)

    def make():
        options = dict(skeleton=SKELETON, cache_dir=str(folder / "cache"), index_cache=None, seed=0)
        return TarDataset(str(folder / "tar"), pipeline(verify), **options)

    def expected():
        if head.get("mapped", True) is True and "size" not in head:
            return slice_of(tar.read_bytes(), record)
        return clip_of(1)  # the index was not used as it is

    try:
        check_read(make, expected)
    finally:
        shutil.rmtree(folder)


@attacked(12)
@given(lie=INDEX_LIES, head=HEAD_LIES, fetch=st.sampled_from(["whole", "ranges"]))
def test_indexes_of_a_server(stores, tmp_path_factory, range_server, lie, head, fetch):
    folder = tmp_path_factory.mktemp("server")
    write_lie(stores, folder / "tar", lie, head, True)
    with range_server.serving(folder / "tar") as (url, _):
        options = dict(skeleton=SKELETON, cache_dir=str(folder / "cache"), index_cache=None, seed=0, batch_size=4)
        try:
            stream = StreamDataset(url, pipeline("off"), fetch=fetch, **options)
            batch = keypoint_collate(list(itertools.islice(stream, CLIPS)))
        except (KarslError, FileNotFoundError):
            return
        finally:
            shutil.rmtree(folder)
    assert batch["inputs"].shape == (CLIPS, 4, V, 3)


def test_a_shard_that_is_cut_while_it_is_read_is_an_error_in_every_mode(stores, tmp_path):
    for verify in VERIFY:
        folder = tmp_path / verify
        shutil.copytree(stores / "pack", folder)
        options = dict(data_root=str(folder), skeleton=SKELETON, index_cache=None, seed=0)
        dataset, device = KeypointDataset("annotations.json", pipeline=pipeline(verify), **options), DevicePack(folder)
        keypoint_collate(dataset.__getitems__([0, 3]))
        device.to("cpu")
        os.truncate(folder / "frames-00000.npy", 256)
        for read in (lambda d=dataset: keypoint_collate(d.__getitems__([0, 3])), lambda d=device: d.to("cpu")):
            with pytest.raises(KarslError, match="frames-00000.npy: 256 of .* bytes are left, cut while in use"):
                read()
