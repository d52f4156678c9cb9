"""Remote files: entire, in ranges, after server faults, and in a bounded cache."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import socket
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from xxhash import xxh3_64_intdigest

from karsl.errors import CorruptRecordError, FetchError, MissingExtraError
from karsl.io import remote_cache
from karsl.io.remote import Retry, download, merge_ranges, read_ranges
from karsl.io.remote_cache import FileCache, Span, fetch_ranges_sparse
from tests.io import range_server

QUICK = Retry(attempts=3, wait_s=0.001)
CONTENT = bytes(range(256)) * 4000  # a megabyte


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bin").write_bytes(CONTENT)
    os.utime(folder / "a.bin", (1, 1))  # what is written later has another time, however coarse the clock
    with range_server.serving(folder) as (url, faults):
        yield f"{url}/a.bin", faults, folder


def test_a_file_is_downloaded_completely(server, tmp_path):
    url, faults, _ = server
    assert download(url, tmp_path / "part", retry=QUICK) == len(CONTENT)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert faults.asked == [("a.bin", "")]


def test_a_dropped_connection_resumes_where_it_stopped(server, tmp_path):
    url, faults, _ = server
    faults.cut_after["a.bin"] = [1000, 500_000, 0]
    download(url, tmp_path / "part", retry=QUICK)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert [span for _, span in faults.asked] == ["", "bytes=1000-", "bytes=501000-", "bytes=501000-"]


def test_a_later_run_resumes_what_an_earlier_one_left(server, tmp_path):
    url, faults, _ = server
    faults.cut_after["a.bin"] = [4000, 0, 0, 0, 0, 0]
    with pytest.raises(FetchError, match=r"a.bin: stopped at byte 4000 \(.*\); start again to resume from there"):
        download(url, tmp_path / "part", retry=QUICK)
    faults.cut_after.clear()
    faults.asked.clear()
    download(url, tmp_path / "part", retry=QUICK)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert faults.asked == [("a.bin", "bytes=4000-")]


def test_a_file_that_changed_meanwhile_is_read_from_its_beginning(server, tmp_path):
    url, faults, folder = server
    faults.cut_after["a.bin"] = [4000, 0, 0, 0]
    with pytest.raises(FetchError):
        download(url, tmp_path / "part", retry=QUICK)
    faults.cut_after.clear()
    (folder / "a.bin").write_bytes(CONTENT[::-1])
    download(url, tmp_path / "part", retry=QUICK)
    assert (tmp_path / "part").read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_is_read_from_the_beginning_again(server, tmp_path):
    url, faults, _ = server
    faults.no_ranges, faults.cut_after["a.bin"] = True, [70_000]
    download(url, tmp_path / "part", retry=QUICK)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_answers_of_500_are_asked_again_and_404_is_not(server, tmp_path):
    url, faults, _ = server
    faults.statuses["a.bin"] = [500, 503]
    assert download(url, tmp_path / "part", retry=QUICK) == len(CONTENT)
    faults.asked.clear()
    with pytest.raises(FetchError, match="the server answered 404"):
        download(url.replace("a.bin", "b.bin"), tmp_path / "other", retry=QUICK)
    assert faults.count() == {"b.bin": 1}
    faults.statuses["a.bin"] = [500] * 9
    with pytest.raises(FetchError, match=r"stopped at byte 0 \(the server answered 500 .*on_error='skip'"):
        download(url, tmp_path / "third", retry=QUICK)


def test_redirects_without_end_are_one_line(server, tmp_path):
    url, faults, _ = server
    faults.statuses["a.bin"] = [302] * 100
    with pytest.raises(FetchError, match=r"^[^\n]*a.bin: stopped at byte 0 \(the server answered 302 [^\n]*loop[^\n]*$"):
        download(url, tmp_path / "part", retry=QUICK)


@pytest.mark.parametrize("name", ["أرقام/١ ٢.bin", "my clips/a b.bin", "100%.bin", "a+b;c=d@e.bin"])
def test_names_in_any_script_are_asked_for_as_http_writes_them(server, tmp_path, name):
    url, faults, folder = server
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(CONTENT)
    url = url.replace("a.bin", name)
    for n, given in enumerate((url, f"{url.replace(name, quote(name))}?key=ق%20x")):
        download(given, tmp_path / f"{n}", retry=QUICK)
        assert (tmp_path / f"{n}").read_bytes() == CONTENT
    assert read_ranges(url, [(3, 9)], retry=QUICK) == [CONTENT[3:9]]
    assert len(faults.asked) == 3


def test_no_server_at_all_is_one_error(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(FetchError, match="stopped at byte 0"):
            download(f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin", tmp_path / "part", retry=QUICK)


def test_ranges_are_fetched_together(server):
    url, faults, _ = server
    ranges = [(500_000, 500_010), (0, 10), (30, 50), (500_020, 500_040)]
    assert read_ranges(url, ranges, retry=QUICK) == [CONTENT[a:b] for a, b in ranges]
    assert sorted(span for _, span in faults.asked) == ["bytes=0-49", "bytes=500000-500039"]
    faults.statuses["a.bin"] = [500]
    assert read_ranges(url, ranges, retry=QUICK) == [CONTENT[a:b] for a, b in ranges]
    assert merge_ranges([]) == []


def test_a_server_without_ranges_sends_the_file_once_with_one_warning(server, tmp_path, caplog):
    url, faults, _ = server
    faults.no_ranges = True
    remote_cache._warn_without_ranges.cache_clear()  # ports are reused
    spans = [Span(at, at + 10, xxh3_64_intdigest(CONTENT[at : at + 10])) for at in range(0, len(CONTENT) - 10, 66_000)]
    assert fetch_ranges_sparse(url, tmp_path / "a.clips", len(CONTENT), spans[:15], retry=QUICK) == 15
    assert (tmp_path / "a.clips").read_bytes() == CONTENT
    assert [span for _, span in faults.asked].count("") == 1
    assert len(faults.asked) <= 4 + 1, "only what four threads had begun, and the entire file"
    assert fetch_ranges_sparse(url, tmp_path / "a.clips", len(CONTENT), spans, retry=QUICK) == 0
    fetch_ranges_sparse(url, tmp_path / "b.clips", len(CONTENT), spans, retry=QUICK)
    assert len([r for r in caplog.records if "has no byte ranges" in r.message]) == 1


@pytest.mark.parametrize("lacking", [(), ("pread", "pwrite", "preadv")])
def test_ranges_are_written_at_their_offsets(server, tmp_path, monkeypatch, lacking):
    for name in lacking:  # as on Windows
        monkeypatch.delattr(os, name)
    spans = [Span(at, at + 10, xxh3_64_intdigest(CONTENT[at : at + 10])) for at in (500, 300_000)]
    for fetched in (2, 0):
        assert fetch_ranges_sparse(server[0], tmp_path / "a.clips", len(CONTENT), spans, retry=QUICK) == fetched
    content = (tmp_path / "a.clips").read_bytes()
    assert content == b"".join(
        [bytes(500), CONTENT[500:510], bytes(299_490), CONTENT[300_000:300_010], bytes(len(CONTENT) - 300_010)]
    )


@pytest.mark.parametrize("span", [(-1, 5), (5, 5), (9, 5), (0, len(CONTENT) + 1), (0, 1 << 62)])
def test_a_range_outside_the_file_is_not_requested(server, tmp_path, monkeypatch, span):
    url, faults, _ = server
    with pytest.raises(CorruptRecordError, match="a.bin: bytes .* are no clip in a file of 1,024,000 bytes"):
        fetch_ranges_sparse(url, tmp_path / "a.clips", len(CONTENT), [Span(*span, 0)], retry=QUICK)
    monkeypatch.setattr(os, "ftruncate", lambda fd, size: os.stat("/absent"))
    with pytest.raises(FetchError, match="no room for a file of 4,611,686,018,427,387,904 bytes .*; is its index right"):
        fetch_ranges_sparse(url, tmp_path / "b.clips", 1 << 62, [Span(0, 5, 0)], retry=QUICK)
    assert faults.asked == []


def test_the_known_size_of_a_file_bounds_its_download(server, tmp_path):
    url, _, _ = server
    cache = FileCache(tmp_path / "cache", retry=QUICK)
    with pytest.raises(FetchError, match="declares 1,024,000 bytes, more than 1,023,999"):
        cache.get(url, size=len(CONTENT) - 1)
    assert cache.get(url, size=len(CONTENT)).read_bytes() == CONTENT


def test_other_schemes_are_fsspecs(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/karsl/a.bin", CONTENT)
    (tmp_path / "part").write_bytes(CONTENT[:100])
    assert download("memory://karsl/a.bin", tmp_path / "part", retry=QUICK) == len(CONTENT)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert read_ranges("memory://karsl/a.bin", [(5, 9)], retry=QUICK) == [CONTENT[5:9]]


@pytest.mark.parametrize(
    "scheme",
    [pytest.param("s3", marks=pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs")), "qq"],
)
def test_a_scheme_without_its_package_is_one_sentence(scheme):
    pytest.importorskip("fsspec")
    with pytest.raises(
        MissingExtraError,
        match=f"^{scheme}://bucket/x: fsspec reports '.*as s3fs for s3://, gcsfs for gs:// and huggingface_hub for hf://$",
    ):
        read_ranges(f"{scheme}://bucket/x", [(0, 4)])


def test_the_cache_downloads_once_and_evicts_the_least_recently_used(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_cache, "GRACE_S", 0)
    url, faults, folder = server
    for name in "bcd":
        (folder / f"{name}.bin").write_bytes(CONTENT)
    cache = FileCache(tmp_path / "cache", max_bytes=int(2.5 * len(CONTENT)), retry=QUICK)
    for name in "abab":
        assert cache.get(url.replace("a.bin", f"{name}.bin")).read_bytes() == CONTENT
    assert faults.count() == {"a.bin": 1, "b.bin": 1}
    for name, age_s in (("a", 20), ("b", 10)):
        path = cache.path(url.replace("a.bin", f"{name}.bin"))
        os.utime(path, (time.time() - age_s, path.stat().st_mtime))  # one tick of a coarse clock may hold all of it
    cache.get(url.replace("a.bin", "c.bin"))
    assert [cache.path(url.replace("a.bin", f"{n}.bin")).exists() for n in "abc"] == [False, True, True]
    monkeypatch.setattr(remote_cache, "GRACE_S", 60)
    cache.get(url)
    assert cache.path(url.replace("a.bin", "b.bin")).exists(), "it was used a moment ago"
    assert cache.get("/here/it/is.tar") == Path("/here/it/is.tar")


def test_a_file_that_cannot_be_removed_stays_until_later(server, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_cache, "GRACE_S", -1)
    url, _, _ = server
    cache = FileCache(tmp_path / "cache", max_bytes=1, retry=QUICK)
    path = cache.get(url)
    (path.parent / "b.bin").mkdir()  # as a file that is mapped, on Windows
    cache.evict()
    assert (path.exists(), (path.parent / "b.bin").exists()) == (False, True)
    with pytest.raises(FetchError, match="b.bin cannot be removed"):
        cache.drop(url.replace("a.bin", "b.bin"))


def _get(folder: str, url: str) -> None:
    FileCache(folder, retry=QUICK).get(url)


def test_processes_that_need_one_file_download_it_once(server, tmp_path):
    url, faults, _ = server
    workers = [multiprocessing.get_context("fork").Process(target=_get, args=(str(tmp_path / "c"), url)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(300)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert faults.count() == {"a.bin": 1}


def test_a_download_that_fails_its_check_is_not_cached(server, tmp_path):
    url, faults, _ = server
    cache = FileCache(tmp_path / "cache", retry=QUICK)

    def refuse(part: Path) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        cache.get(url, check=refuse)
    assert not cache.path(url).exists()
    assert cache.get(url).read_bytes() == CONTENT
