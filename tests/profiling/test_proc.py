"""The page map distinguishes a private copy from a shared page exactly."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import sys

import numpy as np
import pytest

from karsl.datasets.index.record_list import RecordList
from karsl.profiling.proc import PAGE_BYTES, PageCount, count_addresses, count_area, mapped_areas, read_memory, record_pages

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="page maps are Linux's")
PAGES = 64
NUM_RECORDS = 200_000  # so many that pages which they share with objects of other tests are few


class Holder:
    """A dataset with the attributes that record_pages reads."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Child:
    """A forked process that runs `work`, reports it, and waits to be inspected."""

    def __init__(self, work):
        read_end, write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            work()
            os.write(write_end, b"!")
            signal.pause()
            os._exit(0)
        assert os.read(read_end, 1) == b"!"
        os.close(read_end)
        os.close(write_end)

    def __enter__(self):
        return self.pid

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture(autouse=True)
def _no_collector():
    """A collection writes into the head of every record, here or in a child, and with that copies its page."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def pages():
    memory = mmap.mmap(-1, PAGES * PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    array = np.frombuffer(memory, np.uint8)
    array[:] = 1
    return array


def address(array) -> int:
    return array.__array_interface__["data"][0]


def test_pages_that_a_child_only_reads_stay_shared(pages):
    with Child(lambda: pages.sum()) as pid:
        assert count_area(pid, address(pages), pages.size) == PageCount(PAGES, PAGES, 0)


def test_exactly_the_pages_that_a_child_writes_are_copies(pages):
    def write_three():
        pages[[0, 10 * PAGE_BYTES, 11 * PAGE_BYTES + 5]] = 2

    with Child(write_three) as pid:
        assert count_area(pid, address(pages), pages.size) == PageCount(PAGES, PAGES, 3)
        addresses = address(pages) + np.array([0, 8, PAGE_BYTES, 10 * PAGE_BYTES])
        assert count_addresses(pid, addresses) == PageCount(3, 3, 2)


def test_pages_of_a_file_are_never_copies(tmp_path):
    path = tmp_path / "a.idx"
    records = RecordList.build(({"clip_id": f"clip {i}"} for i in range(NUM_RECORDS)), path=path)
    (pages,) = record_pages(Holder(index=records))
    assert (pages.kind, pages.num_bytes) == ("index", path.stat().st_size)
    with Child(lambda: sum(len(r) for r in records)) as pid:
        count = pages.count(pid)
        assert (count.total, count.private) == (-(-path.stat().st_size // PAGE_BYTES), 0)
        assert count.present > 0.9 * count.total
        assert len(mapped_areas(pid, path.stat().st_ino, str(path))) == 1


def test_memory_of_the_run_is_found_as_a_file_is():
    records = RecordList.build({"clip_id": f"clip {i}"} for i in range(2000))
    (pages,) = record_pages(Holder(index=records))
    count = pages.count(os.getpid())
    assert count.total == count.present
    assert count.private == 0


def test_python_records_are_copied_by_reading_them():
    dataset = Holder(data_list=[{"clip_id": str(i), "points": [i]} for i in range(NUM_RECORDS)])
    (pages,) = record_pages(dataset)
    assert pages.kind == "list"
    with Child(lambda: None) as pid:
        untouched = pages.count(pid).private_ratio
    with Child(lambda: [record["clip_id"] for record in dataset.data_list]) as pid:
        read = pages.count(pid).private_ratio
    assert untouched < 0.1
    assert read == 1.0


def test_finding_the_pages_of_records_touches_none():
    dataset = Holder(data_list=[{"clip_id": str(i)} for i in range(NUM_RECORDS)])
    (pages,) = record_pages(dataset)
    with Child(lambda: record_pages(dataset)) as pid:
        assert pages.count(pid).private_ratio < 0.1


def test_a_numpy_buffer_is_found_through_wrappers():
    inner = Holder(data_bytes=np.ones(10 * PAGE_BYTES, np.uint8), data_list=[])
    wrapped = Holder(datasets=[Holder(dataset=inner), Holder(dataset=inner)])
    (pages,) = record_pages(wrapped)
    assert (pages.kind, pages.num_bytes) == ("buffer", 10 * PAGE_BYTES)
    assert pages.count(os.getpid()).total in (10, 11)


def test_a_dataset_that_keeps_nothing_has_no_pages():
    assert record_pages(Holder()) == []


def test_sizes_of_a_process_agree_with_each_other():
    memory = read_memory(os.getpid())
    assert memory.rss == memory.uss + memory.shared
    assert memory.uss <= memory.pss <= memory.rss
    assert memory.pss_anon + memory.pss_shmem <= memory.pss


def test_a_process_that_ended_has_no_memory():
    with Child(lambda: None) as pid:
        assert read_memory(pid).rss > 0
    assert read_memory(pid) is None
    assert count_area(pid, 0, PAGE_BYTES) is None
    assert count_addresses(pid, np.array([0])) is None
