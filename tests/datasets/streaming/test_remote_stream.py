"""Streams from a real HTTP server on loopback and from tars of other projects, with faults of all kinds."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import socket
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import StreamDataset, TarDataset, keypoint_collate
from karsl.errors import AnnotationError, ConfigError, CorruptRecordError, FetchError, KarslError, TransformError
from karsl.io import remote_cache as file_cache
from karsl.io.remote import Retry
from karsl.webdataset.index import TarIndex

_SPEC = importlib.util.spec_from_file_location("stream_stores", Path(__file__).with_name("conftest.py"))
stores_module = sys.modules["stream_stores"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(stores_module)
clip_of, COUNT = stores_module.clip_of, stores_module.COUNT
META = stores_module.META
PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=6, jitter=1.0),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackKeypointInputs", with_score=True),
]
ONE_SHARD = 23 * 7 * 336  # bytes, about


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr(Retry, "backoff", lambda self, failures: None)


def batches(dataset, *, batch_size=8, workers=0) -> list[dict]:
    return list(DataLoader(dataset, batch_size, num_workers=workers, collate_fn=keypoint_collate))


def equal(one: list[dict], two: list[dict]) -> bool:
    return all(torch.equal(a[key], b[key]) for a, b in zip(one, two, strict=True) for key in a)


def remote(url: str, cache: Path, **options) -> StreamDataset:
    return StreamDataset(url, PIPELINE, **{"seed": 5, "window": 20, "metainfo": META, "cache_dir": str(cache), **options})


@pytest.mark.parametrize("fetch", ["whole", "ranges"])
def test_remote_tars_give_the_batches_of_local_ones(stores, server, tmp_path, fetch):
    url, faults = server
    local = StreamDataset(str(stores / "tars"), PIPELINE, seed=5, window=20, block_size=1024)
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, batch_size=8, fetch=fetch)
    assert not any(name.endswith(".tar") for name, _ in faults.asked), "with an index the tar is not downloaded"
    assert equal(batches(stream), batches(local))
    assert equal(batches(stream, workers=2), batches(local))
    asked = [span for name, span in faults.asked if name.endswith(".tar")]
    assert len(asked) == 3 if fetch == "whole" else len(asked) > 3
    faults.asked.clear()
    assert equal(batches(remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, fetch=fetch)), batches(local))
    assert not [span for name, span in faults.asked if name.endswith(".tar")], "they are cached"


def test_a_remote_pack_gives_the_batches_of_a_local_one(stores, server, tmp_path):
    url, faults = server
    local = StreamDataset(str(stores / "pack"), PIPELINE, seed=5, window=20, block_size=1024)
    stream = remote(f"{url}/pack", tmp_path, batch_size=8)
    assert equal(batches(stream, workers=2), batches(local))
    assert all(count == 1 for name, count in faults.count().items() if name != "tars.json")


def test_ranges_of_a_batch_are_downloaded_together_and_no_others(server, tmp_path):
    url, faults = server
    stream = remote(
        f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, fetch="ranges", filter_cfg=dict(signs=(8,)), shuffle=False
    )
    assert len(stream) == 20
    next(iter(DataLoader(stream, 7, collate_fn=keypoint_collate)))
    spans = [span for name, span in faults.asked if name.endswith(".tar")]
    assert len(spans) <= 4, "neighbors are downloaded in one response, one batch ahead"
    whole = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*.clips"))
    assert 0 < whole < 60 * ONE_SHARD / 23


def test_without_range_support_each_tar_is_downloaded_once(stores, server, tmp_path):
    url, faults = server
    faults.no_ranges = True
    local = StreamDataset(str(stores / "tars"), PIPELINE, seed=5, window=20, block_size=1024)
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, batch_size=8, fetch="ranges")
    assert equal(batches(stream, workers=2), batches(local))
    whole = Counter(name for name, span in faults.asked if not span and name.endswith(".tar"))
    assert whole == {f"clips-00000{n}.tar": 1 for n in range(3)}


def test_faults_of_the_server_do_not_change_the_batches(stores, server, tmp_path):
    url, faults = server
    name = "clips-000001.tar"
    faults.statuses[name], faults.cut_after[name] = [500, 503], [10_000, 0, 4000]
    local = StreamDataset(str(stores / "tars"), PIPELINE, seed=5, window=20, block_size=1024)
    assert equal(batches(remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path)), batches(local))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unavailable_shard_raises_or_is_counted(server, tmp_path, workers):
    url, faults = server
    pattern = f"{url}/tars/clips-{{000000..000002}}.tar"
    stream = remote(pattern, tmp_path, batch_size=8)
    faults.statuses["clips-000001.tar"] = [500] * 1000
    if not workers:  # an error keeps the iterator alive, which takes 5 s to stop each worker
        with pytest.raises(FetchError, match=r"clips-000001.tar: stopped at byte 0 \(the server answered 500"):
            batches(stream)
    stream = remote(pattern, tmp_path, batch_size=8, on_error="skip")
    seen = torch.cat([batch["sample_idx"] for batch in batches(stream, workers=workers)]).tolist()
    assert set(seen) == {*range(23), *range(46, COUNT)}
    assert (len(seen), stream.num_skipped) == (COUNT, 23)


def test_a_first_batch_of_an_unavailable_shard_is_made_of_others(server, tmp_path):
    url, faults = server
    faults.statuses["clips-000000.tar"] = [500] * 1000
    options = dict(batch_size=8, on_error="skip", shuffle=False)
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, **options)
    seen = torch.cat([batch["sample_idx"] for batch in batches(stream)]).tolist()
    assert (set(seen), len(seen), stream.num_skipped) == ({*range(23, COUNT)}, COUNT, 23)
    faults.statuses |= {f"clips-00000{k}.tar": [500] * 1000 for k in range(3)}
    with pytest.raises(FetchError, match=r"clips-000000.tar: stopped at byte 0"):
        batches(remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path / "empty", **options))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recovered_server_is_used_in_the_next_epoch(server, tmp_path, workers):
    url, faults = server
    faults.statuses["clips-000001.tar"] = [500] * 1000
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, batch_size=8, on_error="skip")
    loader = DataLoader(stream, 8, num_workers=workers, persistent_workers=workers > 0, collate_fn=keypoint_collate)
    seen = []
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        seen.append({clip for batch in loader for clip in batch["sample_idx"].tolist()})
        faults.statuses.clear()
    assert seen == [{*range(23), *range(46, COUNT)}, set(range(COUNT))]


@pytest.mark.parametrize("store", ["pack", "tars"])
def test_records_without_an_index_raise(server, tmp_path, store):
    with pytest.raises(ConfigError, match="serialize_data=False"):
        remote(f"{server[0]}/{store}", tmp_path, serialize_data=False)


def test_a_missing_shard_is_named(server, tmp_path):
    url, _ = server
    with pytest.raises(FetchError, match=r"clips-000009.tar: stopped at byte 0 \(the server answered 404"):
        remote(f"{url}/tars/clips-{{000008..000009}}.tar".replace("08..", "09.."), tmp_path)
    with pytest.raises(FetchError, match="manifest.json cannot be read"):
        remote(f"{url}/nothing", tmp_path)


def test_the_cache_stays_within_cache_bytes(stores, server, tmp_path, monkeypatch):
    url, faults = server
    monkeypatch.setattr(file_cache, "GRACE_S", 0)
    two_tars = int(2.4 * (stores / "tars" / "clips-000000.tar").stat().st_size)
    options = dict(cache_bytes=two_tars, shuffle=False, window=8)
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path, **options)
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        assert sorted(torch.cat([b["sample_idx"] for b in batches(stream)]).tolist()) == list(range(COUNT))
    assert faults.count()["clips-000000.tar"] > 1, "it was evicted and downloaded again"
    assert len(list(tmp_path.glob("*/*.tar"))) < 3


@pytest.fixture
def small_cache(stores, monkeypatch) -> int:
    """A cache size of a little more than one tar; files used 0.15 s ago may be evicted."""
    monkeypatch.setattr(file_cache, "GRACE_S", 0.15)
    monkeypatch.setattr(file_cache, "_TOUCH_NS", 0)
    return int(1.2 * (stores / "tars" / "clips-000000.tar").stat().st_size)


@pytest.mark.parametrize("store", ["tars/clips-{000000..000002}.tar", "pack"])
def test_shards_of_a_batch_are_not_evicted_while_another_is_slow(server, tmp_path, small_cache, store):
    url, faults = server
    faults.slow = {f"{kind}-00001.npy": 0.2 for kind in ("frames", "presence", "clips")} | {"clips-000001.tar": 0.3}
    stream = remote(f"{url}/{store}", tmp_path, cache_bytes=small_cache)
    assert keypoint_collate(stream.batch(np.array([0, 30, 50])))["sample_idx"].tolist() == [0, 30, 50]
    assert max(count for name, count in faults.count().items() if name.endswith((".tar", ".npy"))) == 1


def test_a_shard_evicted_by_another_process_is_downloaded_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(file_cache, "GRACE_S", 0)
    url, faults = server
    faults.held = {"clips-000001.tar": Event()}
    stream = remote(f"{url}/tars/clips-{{000000..000002}}.tar", tmp_path)

    def evict() -> None:
        while not faults.count()["clips-000001.tar"]:
            time.sleep(0.01)
        file_cache.FileCache(tmp_path, max_bytes=1).evict()
        faults.held["clips-000001.tar"].set()

    other = Thread(target=evict)
    other.start()
    assert keypoint_collate(stream.batch(np.array([0, 30])))["sample_idx"].tolist() == [0, 30]
    other.join()
    assert faults.count()["clips-000000.tar"] == 2


def test_clips_in_use_are_not_evicted(server, tmp_path, small_cache):
    url, faults = server
    pattern = f"{url}/tars/clips-{{000000..000002}}.tar"
    remote(pattern, tmp_path, fetch="ranges").batch(np.arange(23))
    count = faults.count()["clips-000000.tar"]
    stream = remote(pattern, tmp_path, fetch="ranges", cache_bytes=small_cache)
    for indices in (np.arange(8), np.arange(8, 16), np.arange(16, 24)):
        time.sleep(0.2)
        assert keypoint_collate(stream.batch(indices))["sample_idx"].tolist() == indices.tolist()
    assert faults.count()["clips-000000.tar"] == count, "not downloaded again"


def test_a_remote_folder_of_tars_lists_its_tars(stores, server, tmp_path):
    url, _ = server
    stream = StreamDataset(f"{url}/tars/", PIPELINE, seed=5, window=20, cache_dir=str(tmp_path))
    assert equal(batches(stream), batches(StreamDataset(str(stores / "tars"), PIPELINE, seed=5, window=20, block_size=1024)))
    assert stream.metainfo["classes"] == list(META["classes"])


@pytest.mark.parametrize("store", ["tars", "pack"])
def test_a_folder_may_have_any_name(stores, range_server, tmp_path, store):
    shutil.copytree(stores / store, tmp_path / "served" / "أرقام ١")
    with range_server.serving(tmp_path / "served") as (url, _):
        stream = remote(f"{url}/أرقام ١", tmp_path / "cache", shuffle=False)
        assert equal(batches(stream), batches(StreamDataset(str(stores / store), PIPELINE, seed=5, shuffle=False)))


@pytest.mark.parametrize("store", ["tars", "pack"])
def test_changes_on_the_server_are_noticed_at_the_next_start(range_server, tmp_path, store):
    served = tmp_path / "served"
    served.mkdir()
    with range_server.serving(served) as (url, faults):
        seen = []
        for count in (20, 20, 30):
            if len(seen) != 1:  # nothing changes before the second start
                stores_module.write_stores(served, count, scale=0.5 + count / 100)
            stream = remote(f"{url}/{store}", tmp_path / "cache", shuffle=False)
            seen.append(batches(stream)[0]["inputs"])
            assert len(stream) == count
            if len(seen) == 2:
                assert not [
                    name
                    for name, _ in faults.asked
                    if name.startswith(("clips-0", "frames")) and name[-3:] in ("tar", "npy")
                ]
            faults.asked.clear()
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    faults.asked.clear()


def test_without_a_server_the_cache_is_used(stores, range_server, tmp_path):
    with range_server.serving(stores) as (url, _):
        sources = [f"{url}/tars/clips-{{000000..000002}}.tar", f"{url}/pack"]
        before = [batches(remote(source, tmp_path)) for source in sources]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", urlsplit(url).port))  # without listening, so that no server of another test can
        for source, expected in zip(sources, before, strict=True):
            assert equal(expected, batches(remote(source, tmp_path)))


@pytest.mark.parametrize("fetch", ["whole", "ranges"])
def test_a_flipped_bit_on_the_server_is_detected(stores, range_server, tmp_path, fetch):
    folder = tmp_path / "served"
    folder.mkdir()
    for file in (stores / "tars").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    content = bytearray((folder / "clips-000000.tar").read_bytes())
    content[TarIndex.read(stores / "tars" / "clips-000000.tar.index").clips[2].start + 77] ^= 16
    (folder / "clips-000000.tar").write_bytes(content)
    with range_server.serving(folder) as (url, _):
        stream = remote(f"{url}/clips-000000.tar", tmp_path / "cache", fetch=fetch)
        with pytest.raises((CorruptRecordError, TransformError), match="checksum differs"):
            batches(stream)


def test_a_flipped_bit_in_a_local_tar_is_detected_when_its_clip_is_read(stores, tmp_path):
    for file in (stores / "tars").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = TarDataset(tmp_path, PIPELINE, seed=0)
    offset = data.get_data_info(30)["byte_start"] + 77
    path = tmp_path / "clips-000001.tar"
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[offset] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # silent corruption, as on a disk
    assert data[29]["label"] == 29 % 3
    with pytest.raises(TransformError, match=r"clips-000001.tar: the clip at bytes \d+ to \d+ is not what was written"):
        data[30]
    skipping = TarDataset(tmp_path, PIPELINE, seed=0, on_error="skip")
    assert len(batches(skipping)) == 8
    assert skipping.num_skipped >= 1


def _write_tar(path: Path, mode: str, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def _npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz")])
def test_tars_of_other_projects_can_be_streamed(tmp_path, name, mode):
    members = {}
    for n in range(10):
        members |= {
            f"s{n}.npy": _npy(clip_of(n).astype(np.float64)[..., :3]),
            f"s{n}.cls": str(n % 3).encode(),
            f"s{n}.txt": b"?",
        }
    path = _write_tar(tmp_path / name, mode, members)
    stream = StreamDataset(str(path), PIPELINE, skeleton="hand_42", seed=0, cache_dir=str(tmp_path / "cache"))
    found = {int(i): b["label"][k] for b in batches(stream, batch_size=4) for k, i in enumerate(b["sample_idx"])}
    assert {index: int(label) for index, label in found.items()} == {n: n % 3 for n in range(10)}
    _write_tar(path, mode, {"s0.npy": _npy(clip_of(0)[..., :3])})
    assert len(StreamDataset(str(path), PIPELINE, skeleton="hand_42", cache_dir=str(tmp_path / "cache"))) == 1, (
        "it has changed"
    )
    read = stream.dataset.pipeline.transforms[0]._reader.read(stream.dataset.get_data_info(4), 42)
    assert np.array_equal(read[..., :3], clip_of(4)[..., :3])


def test_tars_need_a_matching_skeleton(tmp_path):
    path = _write_tar(tmp_path / "x.tar", "w", {"a.npy": _npy(clip_of(0))})
    with pytest.raises(ConfigError, match="unknown skeleton of"):
        TarDataset(path, index_cache=None, cache_dir=str(tmp_path / "cache"))
    with pytest.raises(AnnotationError, match="clips of 42 keypoints, but the skeleton has 184"):
        TarDataset(path, skeleton="karsl_184", cache_dir=str(tmp_path / "cache"))


def test_download_has_two_modes(tmp_path):
    with pytest.raises(ConfigError, match="TarDataset: download='none'; expected 'all' or 'on_demand'"):
        TarDataset(tmp_path / "x.tar", skeleton="hand_42", download="none")


def test_a_stream_and_random_access_use_one_index_of_the_same_tars(stores, tmp_path):
    for download in ("on_demand", "all"):
        TarDataset(
            stores / "tars", download=download, cache_dir=str(tmp_path / "cache"), index_cache=str(tmp_path / "index")
        )
    assert len(list((tmp_path / "index").glob("*.idx"))) == 1


def test_a_changed_tar_is_parsed_again(tmp_path):
    path = _write_tar(tmp_path / "x.tar", "w", {"a.npy": _npy(clip_of(0))})
    options = dict(skeleton="hand_42", cache_dir=str(tmp_path / "cache"), index_cache=str(tmp_path / "index"))
    assert len(TarDataset(path, **options)) == 1
    _write_tar(path, "w", {"a.npy": _npy(clip_of(0)), "b.npy": _npy(clip_of(1))})
    assert len(TarDataset(path, **options)) == 2


def test_a_start_reads_the_clips_of_an_index_once_and_a_second_start_not_at_all(stores, server, tmp_path, monkeypatch):
    read, times = TarIndex.read.__func__, []

    def counted(cls, path, **options):
        index = read(cls, path, **options)
        times.append(bool(index.clips))
        return index

    monkeypatch.setattr(TarIndex, "read", classmethod(counted))
    pattern = f"{server[0]}/tars/clips-{{000000..000002}}.tar"
    for source in (pattern, stores / "tars"):
        dataset = TarDataset(source, cache_dir=str(tmp_path / "cache"), index_cache=str(tmp_path / "index"))
        assert sum(times) == 3, "tars"
        dataset.index_inputs()
        assert sum(times) == 3, "a second start reads these, and no more if nothing has changed"
        times.clear()


def test_random_access_to_remote_tars_needs_space_for_all_of_them(stores, server, tmp_path):
    url, _ = server
    pattern = f"{url}/tars/clips-{{000000..000002}}.tar"
    data = TarDataset(pattern, PIPELINE, seed=5, cache_dir=str(tmp_path / "a"))
    assert torch.equal(data[50]["inputs"], TarDataset(stores / "tars", PIPELINE, seed=5)[50]["inputs"])
    with pytest.raises(ConfigError, match="random access has to download all tars, which are larger than cache_bytes=1000"):
        TarDataset(pattern, PIPELINE, cache_dir=str(tmp_path / "b"), cache_bytes=1000)


def test_a_tar_deleted_while_it_is_read_is_named_or_counted(stores, tmp_path):
    for file in (stores / "tars").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    streams = [
        StreamDataset(str(tmp_path), PIPELINE, seed=5, window=8, block_size=1024, shuffle=False, on_error=on_error)
        for on_error in ("raise", "skip")
    ]
    (tmp_path / "clips-000001.tar").unlink()
    with pytest.raises(TransformError, match=r"clips-000001.tar: no such file"):
        batches(streams[0])
    seen = torch.cat([batch["sample_idx"] for batch in batches(streams[1])]).tolist()
    assert len(seen) == COUNT
    assert not set(seen) & set(range(23, 46))
    assert streams[1].num_skipped >= 23


def test_the_default_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert file_cache.FileCache().folder == tmp_path / "karsl" / "shards"


@pytest.mark.parametrize(
    ("store", "damaged_file", "path"),
    [
        ("tars", "clips-000000.tar", "clips-000000.tar"),
        ("tars", "clips-000000.tar.index", "clips-000000.tar"),
        ("tars", "tars.json", ""),
        ("pack", "manifest.json", ""),
        ("pack", "annotations.json", ""),
    ],
)
@pytest.mark.parametrize("how", ["page", "cut"])
def test_a_damaged_download_is_named_by_its_url_and_repeated_at_the_next_start(
    stores, range_server, tmp_path, store, damaged_file, path, how
):
    served = tmp_path / "served"
    shutil.copytree(stores / store, served)
    if damaged_file.endswith(".tar"):
        (served / f"{damaged_file}.index").unlink()  # which would reveal that the tar is truncated
    complete, stat = (served / damaged_file).read_bytes(), (served / damaged_file).stat()
    damaged = b"<html>log in</html>".ljust(len(complete)) if how == "page" else complete[: len(complete) * 2 // 3]
    with range_server.serving(served) as (url, _):
        for content in (damaged, complete):
            (served / damaged_file).write_bytes(content)
            os.utime(served / damaged_file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            if content is complete:
                assert len(batches(remote(f"{url}/{path}", tmp_path / "cache"))) > 1
            else:
                with pytest.raises(KarslError, match=f"^http://[^ ]*/{damaged_file}.* asks the server for it again$"):
                    remote(f"{url}/{path}", tmp_path / "cache")


@pytest.mark.parametrize("path", ["/etc/passwd", "../../frames-00000.npy", "presence-00000.npy", "file:///etc/passwd", 5])
def test_records_of_a_remote_pack_name_its_shards_only(stores, range_server, tmp_path, path):
    shutil.copytree(stores / "pack", tmp_path / "served" / "pack")
    annotations = tmp_path / "served" / "pack" / "annotations.json"
    content = json.loads(annotations.read_text())
    content["data_list"][3]["keypoint_path"] = path
    annotations.write_text(json.dumps(content))
    with (
        range_server.serving(tmp_path / "served") as (url, _),
        pytest.raises(
            AnnotationError, match="annotations.json: a record has keypoint_path=.*, which is no shard of the pack"
        ),
    ):
        remote(f"{url}/pack", tmp_path / "cache")
