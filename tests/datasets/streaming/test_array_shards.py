"""Streams of array files that karsl did not write, local or from a real HTTP server on loopback."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from karsl.datasets import StreamDataset, keypoint_collate
from karsl.datasets.order import resumable
from karsl.datasets.streaming import arrays as array_shards
from karsl.datasets.streaming.dataset import StreamIterator
from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, FetchError, KarslError
from karsl.io.remote import Retry
from karsl.pack import pack_records
from karsl.skeletons import get_skeleton

SIZES = (9, 4, 13)
COUNT = sum(SIZES)
FRAMES, POINTS = 7, 42
PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=5, jitter=1.0),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackKeypointInputs", with_score=True),
]
SUFFIXES = {"npy": ".npy", "npz": ".npz", "compressed": ".npz", "pt": ".pt", "dict": ".pt"}


def shard_of(number: int, frames: int = FRAMES) -> np.ndarray:
    rng = np.random.default_rng(number)
    shard = rng.random((SIZES[number], frames, POINTS, 4), dtype=np.float32) * 0.8 + 0.1
    shard[:, :, rng.integers(POINTS)] = 0
    return shard


def labels_of(number: int) -> np.ndarray:
    return (np.arange(SIZES[number]) + number) % 3


def write_shard(folder: Path, kind: str, number: int, shard: np.ndarray) -> None:
    path = folder / f"X_{number:04d}{SUFFIXES[kind]}"
    labels = labels_of(number)[: len(shard)]
    if kind == "npy":
        np.save(path, shard)
        np.save(folder / f"y_{number:04d}.npy", labels)
    elif kind == "npz":
        np.savez(path, data=shard, y=labels)
    elif kind == "compressed":
        np.savez_compressed(path, data=shard, y=labels)
    elif kind == "pt":
        torch.save(torch.from_numpy(shard), path)
    else:
        torch.save({"data": torch.from_numpy(shard), "y": torch.from_numpy(labels)}, path)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory) -> Path:
    """A folder per kind of file with three stacks of unequal length, `large` with longer clips; read-only."""
    folder = tmp_path_factory.mktemp("arrays")
    for kind in SUFFIXES:
        (folder / kind).mkdir()
        for number in range(len(SIZES)):
            write_shard(folder / kind, kind, number, shard_of(number, 40))
    return folder


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch):
    monkeypatch.setattr(Retry, "backoff", lambda self, failures: None)


def open_stream(source, kind: str = "npy", **options) -> StreamDataset:
    pattern = {} if "{" in str(source) else {"pattern": f"X_*{SUFFIXES[kind]}"}
    return StreamDataset(source, PIPELINE, **{"layout": "hand_42", "seed": 5, "window": 11, **pattern, **options})


def batches(dataset, *, batch_size=4, workers=0, **options) -> list[dict]:
    return list(DataLoader(dataset, batch_size, num_workers=workers, collate_fn=keypoint_collate, **options))


def equal(one: list[dict], two: list[dict]) -> bool:
    pairs = list(zip(one, two, strict=True))
    return all(a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in pairs)


@pytest.fixture(scope="module")
def expected(arrays, tmp_path_factory) -> list[dict]:
    """Batches of a float32 pack of the same clips."""
    pack = tmp_path_factory.mktemp("packed") / "pack"
    numbers = [(number, row) for number in range(len(SIZES)) for row in range(SIZES[number])]
    records = [{"clip_id": f"{n}-{r}", "label": int(labels_of(n)[r]), "num_frames": 40} for n, r in numbers]
    read = {record["clip_id"]: shard_of(n, 40)[r] for record, (n, r) in zip(records, numbers, strict=True)}
    metainfo = {"classes": ("0", "1", "2"), "skeleton": "hand_42"}
    skeleton = get_skeleton("hand_42")
    pack_records(pack, metainfo, records, lambda record: read[record["clip_id"]], skeleton=skeleton, dtype="float32")
    stream = StreamDataset(str(pack), PIPELINE, seed=5, window=11)
    stream._sizes = np.array(SIZES)
    return batches(stream)


# ---- local files ----


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "dict"])
def test_stacks_give_the_batches_of_a_pack_of_the_same_clips(arrays, expected, kind):
    stream = open_stream(str(arrays / kind), kind)
    assert len(stream) == COUNT
    assert stream._sizes.tolist() == list(SIZES)
    assert equal(batches(stream), expected)


def test_a_folder_alone_a_pattern_and_a_list_of_files_are_the_same_stream(arrays, expected):
    folder = arrays / "npy"
    files = [str(folder / f"X_{number:04d}.npy") for number in range(3)]
    for source in (str(folder), str(folder / "X_*.npy"), str(folder / "X_{0000..0002}.npy"), files, f"file://{folder}"):
        stream = StreamDataset(source, PIPELINE, skeleton="hand_42", seed=5, window=11)
        assert equal(batches(stream), expected)
    assert len(StreamDataset(files[:2], PIPELINE, layout="hand_42")) == sum(SIZES[:2])
    assert len(StreamDataset(files[1], PIPELINE, layout="hand_42")) == SIZES[1]


def test_batches_do_not_depend_on_the_number_of_workers(arrays, expected):
    stream = open_stream(str(arrays / "npy"), batch_size=4)
    assert equal(batches(stream, workers=2), expected)
    assert equal(batches(pickle.loads(pickle.dumps(stream))), expected)


def as_rank(stream: StreamDataset, rank: int, world: int) -> StreamDataset:
    stream._progress[resumable._RANK], stream._progress[resumable._WORLD_SIZE] = rank, world
    stream._update_rank = lambda: None
    return stream


def taken(stream: StreamDataset, workers: int, batch_size: int) -> list[list[int]]:
    """Clips of each batch of a rank, in the order in which a loader returns those of its workers."""
    made = [
        StreamIterator(stream, batch_size=batch_size, num_workers=workers, worker=worker, make=lambda indices: indices)
        for worker in range(workers)
    ]
    spans = [list(worker._spans) for worker in made]
    longest = max(map(len, spans))
    rows = [(made[w], spans[w][n]) for n in range(longest) for w in range(workers) if n < len(spans[w])]
    return [worker._indices(*span).tolist() for worker, span in rows]


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    ranks=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    workers=st.integers(1, 3),
    window=st.integers(1, 20),
    data=st.data(),
)
def test_every_clip_is_read_once_by_all_ranks_and_workers_also_after_a_resume_with_others(
    tmp_path_factory, sizes, ranks, workers, window, data
):
    folder = tmp_path_factory.mktemp("shards")
    for number, size in enumerate(sizes):
        np.save(folder / f"shard_{number:04d}.npy", np.full((size, 2, POINTS, 4), 0.5, np.float32))
    options = dict(layout="hand_42", seed=3, window=window, remainder="uneven", index_cache=None)
    batch_size, (world, new_world) = data.draw(st.integers(1, 4)), ranks

    def streams(count: int) -> list[StreamDataset]:
        made = [StreamDataset(str(folder), PIPELINE, batch_size=batch_size, **options) for _ in range(count)]
        return [as_rank(stream, rank, count) for rank, stream in enumerate(made)]

    first = streams(world)
    read = [taken(stream, workers, batch_size) for stream in first]
    assert sorted(clip for rank in read for batch in rank for clip in batch) == list(range(sum(sizes)))
    alone = [clip for batch in taken(streams(1)[0], 1, batch_size) for clip in batch]
    full_batches = sum(sizes) // (world * batch_size)
    done = data.draw(st.integers(0, full_batches))
    first[0].advance(done * batch_size)
    resumed = streams(new_world)
    for stream in resumed:
        stream.load_state_dict(first[0].state_dict())
    rest = [clip for stream in resumed for batch in taken(stream, workers, batch_size) for clip in batch]
    assert sorted(rest) == sorted(alone[done * batch_size * world :])


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    """What is logged about changes of files."""
    texts: list[str] = []
    monkeypatch.setattr(array_shards, "print_log", lambda text, **options: texts.append(text))
    return texts


def test_a_file_added_between_epochs_is_logged_once(tmp_path, warnings):
    stream = _small_stream(tmp_path)
    stream.set_epoch(1)
    assert not warnings
    np.save(tmp_path / "shard_0009.npy", shard_of(1))
    stream.set_epoch(2)
    stream.set_epoch(3)
    assert len(batches(stream)) == 4
    (text,) = warnings
    assert text.endswith(": 1 file (shard_0009.npy) added since the stream was made; make it again to read them")


@pytest.mark.parametrize("how", ["removed", "replaced"])
@pytest.mark.parametrize("workers", [None, 0])
def test_a_file_removed_or_replaced_between_epochs_raises(tmp_path, how, workers):
    stream = _small_stream(tmp_path)
    path = tmp_path / "shard_0001.npy"
    os.remove(path) if how == "removed" else np.save(path, shard_of(1)[1:])
    with pytest.raises(CorruptRecordError, match=r"1 file \(shard_0001.npy\) removed or replaced since the stream was made"):
        stream.set_epoch(1) if workers is None else batches(stream)


def test_a_file_removed_between_epochs_is_logged_if_clips_may_be_skipped(tmp_path, warnings):
    stream = _small_stream(tmp_path, on_error="skip")
    os.remove(tmp_path / "shard_0001.npy")
    stream.set_epoch(1)
    assert len(torch.cat([batch["sample_idx"] for batch in batches(stream)])) == 13
    assert stream.num_skipped >= SIZES[1]
    assert "shard_0001.npy) removed or replaced" in warnings[0]


def _small_stream(folder: Path, **options) -> StreamDataset:
    for number in range(2):
        np.save(folder / f"shard_{number:04d}.npy", shard_of(number))
    options = {"layout": "hand_42", "seed": 5, "index_cache": None, "batch_size": 4, **options}
    return StreamDataset(str(folder), PIPELINE, pattern="shard_*.npy", **options)


def test_a_folder_without_arrays_or_a_layout_raises(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="contains neither tars nor a pack nor array files"):
        StreamDataset(str(tmp_path), PIPELINE)
    (tmp_path / "karsl" / "01-train").mkdir(parents=True)
    np.savez(tmp_path / "karsl" / "01-train" / "0001.npz", a=shard_of(0)[0])
    with pytest.raises(DatasetNotFoundError, match=r"or pass dict\(type='KArSLDataset', data_root='.*/karsl'\) for the"):
        StreamDataset(str(tmp_path / "karsl"), PIPELINE)
    np.save(tmp_path / "shard.npy", shard_of(0))
    with pytest.raises(ConfigError, match="layout"):
        StreamDataset(str(tmp_path), PIPELINE)
    with pytest.raises(DatasetNotFoundError, match=r"matches pattern='x_\*.npy'"):
        StreamDataset(str(tmp_path), PIPELINE, pattern="x_*.npy", layout="hand_42")


# ---- remote files ----


@pytest.mark.parametrize("kind", list(SUFFIXES))
def test_remote_stacks_give_the_batches_of_local_ones(arrays, range_server, tmp_path, kind):
    local = open_stream(str(arrays / kind), kind, block_size=1024)
    with range_server.serving(arrays / kind) as (url, faults):
        source = [f"{url}/X_{{0000..0002}}{SUFFIXES[kind]}", *([f"{url}/y_{{0000..0002}}.npy"] if kind == "npy" else [])]
        options = dict(batch_size=4, cache_dir=str(tmp_path))
        stream = StreamDataset(source, PIPELINE, layout="hand_42", seed=5, window=11, **options)
        whole = [name for name, span in faults.asked if not span and name.startswith("X")]
        assert len(whole) == (3 if kind == "dict" else 0), "clips are listed by headers"
        assert stream.dataset.metainfo.get("classes") == local.dataset.metainfo.get("classes")
        assert equal(batches(stream, workers=2), batches(local))
        assert sum(not span for name, span in faults.asked if name.startswith("X")) == 3, "each file is downloaded once"
        faults.asked.clear()
        again = StreamDataset(source, PIPELINE, layout="hand_42", seed=5, window=11, **options)
        assert equal(batches(again), batches(local))
        assert len(faults.asked) == len(stream.dataset._copies), "a second start asks for the versions"


def test_a_server_without_ranges_sends_complete_files(arrays, range_server, tmp_path):
    with range_server.serving(arrays / "npy") as (url, faults):
        faults.no_ranges = True
        stream = open_stream(f"{url}/X_{{0000..0002}}.npy", batch_size=4, cache_dir=str(tmp_path), labels="none")
        assert sorted(torch.cat([b["sample_idx"] for b in batches(stream)]).tolist()) == list(range(COUNT))


def write_page(folder: Path) -> None:
    """Write the page of a folder, as servers do; `no.npy` is not in the folder."""
    links = [f'<a href="{path.name}">{path.name}</a>' for path in sorted(folder.iterdir())]
    (folder / "index.html").write_text("\n".join(["<html><a href='../'>up</a>", *links, '<A HREF="/x/.hidden.npy">']))


def test_files_are_found_on_the_page_of_a_folder(arrays, range_server, tmp_path, expected):
    served = tmp_path / "served"
    shutil.copytree(arrays / "npy", served)
    write_page(served)
    with range_server.serving(served) as (url, _):
        stream = open_stream(url, batch_size=4, cache_dir=str(tmp_path / "cache"), block_size=1024)
        assert equal(batches(stream), expected)
        groups = StreamDataset(
            url, PIPELINE, pattern=r"X_(?P<signer>\d+)", layout="hand_42", cache_dir=str(tmp_path / "cache"), labels="none"
        )
        assert {groups.dataset.get_data_info(index)["signer"] for index in range(COUNT)} == {"0000", "0001", "0002"}


def test_a_server_that_lists_nothing_is_named_with_the_remedy(arrays, range_server, tmp_path):
    with range_server.serving(arrays / "npy") as (url, _):
        with pytest.raises(DatasetNotFoundError, match=r"the server lists no file X_\*.npy.*; name the files with braces"):
            open_stream(url, cache_dir=str(tmp_path))
        with pytest.raises(FetchError, match=r"X_0003.npy.*404"):
            open_stream(f"{url}/X_{{0000..0003}}.npy", cache_dir=str(tmp_path))
        with pytest.raises(ConfigError, match="array files in 2 remote folders, .*; make a stream of each"):
            StreamDataset([f"{url}/a/x.npy", f"{url}/b/x.npy"], PIPELINE, layout="hand_42", cache_dir=str(tmp_path))


def test_labels_may_be_a_table_on_the_server(arrays, range_server, tmp_path):
    served = tmp_path / "served"
    shutil.copytree(arrays / "pt", served)
    rows = [f"X_{n:04d}.pt,{r},{'abc'[labels_of(n)[r]]}" for n in range(3) for r in range(SIZES[n])]
    (served / "names.csv").write_text("\n".join(["file,index,label", *rows]))
    with range_server.serving(served) as (url, _):
        stream = open_stream(f"{url}/X_{{0000..0002}}.pt", cache_dir=str(tmp_path / "cache"), labels="names.csv")
        found = {int(i): int(y) for b in batches(stream) for i, y in zip(b["sample_idx"], b["label"], strict=True)}
    assert [found[index] for index in range(COUNT)] == np.concatenate([labels_of(n) for n in range(3)]).tolist()


def test_a_file_that_changed_on_the_server_is_read_again_at_the_next_start(arrays, range_server, tmp_path):
    served = tmp_path / "served"
    shutil.copytree(arrays / "npy", served)
    with range_server.serving(served) as (url, _):
        source = f"{url}/X_{{0000..0002}}.npy"
        options = dict(cache_dir=str(tmp_path / "cache"), labels="none", shuffle=False)
        before = batches(open_stream(source, **options))
        np.save(served / "X_0000.npy", shard_of(0, 40)[::-1])
        np.save(served / "X_0001.npy", shard_of(1, 40)[:3])
        stream = open_stream(source, **options)
        after = batches(stream)
        assert len(stream) == COUNT - 1
        assert not torch.equal(before[0]["inputs"], after[0]["inputs"])
        np.save(served / "X_0001.npy", shard_of(1, 40)[:2])
        stream = open_stream(source, cache_dir=str(tmp_path / "other"), labels="none", shuffle=False)
        np.save(served / "X_0001.npy", shard_of(1, 40)[:3])
        with pytest.raises(CorruptRecordError, match=r"X_0001.npy: the download has \d+ bytes.* it changed on the server"):
            batches(stream)


def test_a_page_in_place_of_a_file_is_named_by_its_url_and_requested_again(arrays, range_server, tmp_path):
    served = tmp_path / "served"
    shutil.copytree(arrays / "npz", served)
    complete, stat = (served / "X_0001.npz").read_bytes(), (served / "X_0001.npz").stat()
    with range_server.serving(served) as (url, _):
        for content in (b"<html>log in</html>".ljust(len(complete)), complete):
            (served / "X_0001.npz").write_bytes(content)
            os.utime(served / "X_0001.npz", ns=(stat.st_atime_ns, stat.st_mtime_ns))
            if content is complete:
                assert len(batches(open_stream(f"{url}/X_{{0000..0002}}.npz", cache_dir=str(tmp_path / "cache")))) == 7
            else:
                with pytest.raises(KarslError, match=r"X_0001.npz: no readable npz archive"):
                    open_stream(f"{url}/X_{{0000..0002}}.npz", cache_dir=str(tmp_path / "cache"))


def test_evicted_copies_of_headers_are_read_again_without_the_files(arrays, range_server, tmp_path):
    with range_server.serving(arrays / "npy") as (url, faults):
        source = f"{url}/X_{{0000..0002}}.npy"
        stream = open_stream(source, cache_dir=str(tmp_path), labels="none")
        before = batches(stream)
        for copy in stream.dataset._copies.values():
            copy.path.unlink()
        faults.asked.clear()
        assert equal(before, batches(open_stream(source, cache_dir=str(tmp_path), labels="none")))
        assert all(span for _, span in faults.asked), "no complete file"


def test_without_a_server_the_cache_is_used(arrays, range_server, tmp_path, caplog):
    with range_server.serving(arrays / "npz") as (url, faults):
        source = f"{url}/X_{{0000..0002}}.npz"
        before = batches(open_stream(source, cache_dir=str(tmp_path)))
        faults.statuses = {f"X_000{n}.npz": [500] * 100 for n in range(3)}
        assert equal(before, batches(open_stream(source, cache_dir=str(tmp_path))))
    assert "the version of an earlier start is used" in caplog.text


def test_an_unavailable_file_raises_or_is_counted(arrays, range_server, tmp_path):
    with range_server.serving(arrays / "npz") as (url, faults):
        source = f"{url}/X_{{0000..0002}}.npz"
        stream = open_stream(source, cache_dir=str(tmp_path), on_error="skip", batch_size=4)
        faults.statuses["X_0001.npz"] = [500] * 1000
        seen = torch.cat([batch["sample_idx"] for batch in batches(stream)]).tolist()
        assert set(seen) == {*range(SIZES[0]), *range(SIZES[0] + SIZES[1], COUNT)}
        assert (len(seen), stream.num_skipped) == (COUNT, SIZES[1])
        faults.statuses.clear()
        strict = open_stream(source, cache_dir=str(tmp_path / "other"), batch_size=4)
        faults.statuses["X_0001.npz"] = [500] * 1000
        with pytest.raises(FetchError, match="X_0001.npz: stopped at byte 0"):
            batches(strict)
