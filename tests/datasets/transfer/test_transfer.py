"""Batches cross from worker to parent right, once, and without traces; a batch that is in use never changes."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from mmengine.runner import Runner

from karsl.datasets import transfer
from karsl.datasets.transfer import BufferPool, Lease, SharedBatch, SlotPool, allocate_shared, can_share_with_parent
from karsl.errors import BatchLostError
from tests.datasets.transfer import transfer_cases as cases
from tests.datasets.transfer.transfer_cases import Numbers, is_right, is_shared, loader_of

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no memfd here: batches go torch's way")
CASES = Path(cases.__file__)
SPEC = {"inputs": ((2, 3), np.float32), "keypoint_mask": ((2,), np.bool_), "label": ((2,), np.int64)}


def run_case(*args, deadline_s=300):
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(CASES), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=deadline_s,
    )


def shared_batch(pool):
    """As a worker makes it, here in one process."""
    layout, nbytes = transfer._layout(tuple((key, shape, np.dtype(dtype)) for key, (shape, dtype) in SPEC.items()))
    lease, address = pool.acquire(nbytes)
    arrays, tensors = transfer._views(lease.array(), layout)
    for array in arrays.values():
        array[:] = 1
    return SharedBatch(tensors, torch.from_numpy(lease.array()), lease, address)


@pytest.mark.parametrize("persistent", [False, True], ids=["new workers", "persistent workers"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_batches_are_right_and_shared_under_every_start_method(method, persistent):
    loader = loader_of(multiprocessing_context=method, persistent_workers=persistent)
    for _ in range(2):
        batches = list(loader)
        assert all(map(is_right, batches))
        assert all(map(is_shared, batches))
        assert torch.cat([b["sample_idx"] for b in batches]).tolist() == list(range(24))


def test_nothing_is_left_when_a_loader_and_its_batches_are_gone():
    list(loader_of())  # what torch itself leaves on first use
    before = cases.leftovers()
    for persistent in (False, True):
        loader = loader_of(persistent_workers=persistent)
        held = [next(iter(loader)) for _ in range(3)]
        assert len(cases.leftovers()["maps"]) > len(before["maps"])
        del loader, held
    after = cases.leftovers()
    for kind in ("fds", "pipes"):
        assert after.pop(kind) <= before.pop(kind)  # what tests before this one left may be closed meanwhile
    assert all(set(after[what]) <= set(before[what]) for what in before)


def test_a_loop_that_drops_its_batches_stays_on_few_slots():
    loader = loader_of(Numbers(200), persistent_workers=True)
    addresses = {batch["inputs"].data_ptr() for _ in range(4) for batch in loader}
    assert len(addresses) <= 2 * 6, "200 batches of 2 workers: two fetched ahead, one on its way, one in use, one kept"


@pytest.mark.parametrize("frames", [3, 400])
def test_batches_of_a_whole_epoch_can_be_kept(frames):
    """More than all slots hold: the rest goes torch's way."""
    loader = loader_of(Numbers(300, frames), batch_size=2, persistent_workers=True)
    kept = list(loader)
    for batch in loader:
        assert is_right(batch)
    assert all(map(is_right, kept))
    assert 0 < sum(map(is_shared, kept)) < len(kept)


KEEPERS = {
    "a view": lambda x: x.view(-1),
    "a slice": lambda x: x[1:2, :, 3],
    "a transposed view": lambda x: x.T,
    "a numpy array": lambda x: x.numpy(),
    "a slice of a numpy array": lambda x: x.numpy()[:, 1],
    "a memoryview": lambda x: memoryview(x.numpy()),
    "the storage": lambda x: x.untyped_storage(),
    "a tensor with the same storage": lambda x: torch.empty(0).set_(x.untyped_storage()),
    "a detached tensor": lambda x: x.detach(),
    "a tensor by dlpack": lambda x: torch.from_dlpack(x),
    "an iterator over rows": lambda x: iter(x),
    "what autograd saved": lambda x: (x * torch.ones(1, requires_grad=True)).sum(),
}


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_a_part_of_a_batch_keeps_its_memory(keep):
    loader = loader_of(persistent_workers=True)
    kept, first = [], []
    for batch in loader:
        kept.append(keep(batch["inputs"]))
        first.append(batch["inputs"].data_ptr())
    del batch
    assert len(set(first)) == len(first)
    later = {batch["inputs"].data_ptr() for _ in range(3) for batch in loader}
    assert not later & set(first), "memory that is held is not used again"


def test_the_other_tensors_of_a_batch_keep_its_memory_too():
    loader = loader_of(persistent_workers=True)
    kept = [(batch["label"], batch["sample_idx"]) for batch in loader]
    for _ in range(3):
        list(loader)
    assert torch.cat([ids for _, ids in kept]).tolist() == list(range(24))
    assert all((label == ids % 7).all() for label, ids in kept)


def test_a_batch_that_a_child_process_holds_is_not_overwritten():
    batches = iter(loader_of(Numbers(80), persistent_workers=True))
    next(batches)
    held = next(batches)
    to_child, from_parent = os.pipe()[::-1]
    child = os.fork()
    if child == 0:
        os.close(to_child)
        os.read(from_parent, 1)  # until the other end is closed
        os._exit(0 if is_right(held) and held["sample_idx"][0] == 4 else 1)
    try:
        del held
        assert all(map(is_right, batches))
    finally:
        os.close(to_child)
        os.close(from_parent)
        status = os.waitpid(child, 0)[1]
    assert status == 0


def test_a_batch_that_a_child_process_drops_is_still_ours():
    batches = iter(loader_of(Numbers(80), persistent_workers=True))
    held = [next(batches), next(batches)]
    child = os.fork()
    if child == 0:
        held.clear()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert all(map(is_right, batches))
    assert [b["sample_idx"][0] for b in held if is_right(b)] == [0, 4]


class Forking(Numbers):
    """Its worker has children that make batches too."""

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        child = os.fork()
        if child == 0:
            del batch
            own = super().__getitems__([7] * len(indices))
            os._exit(0 if own.address.pid == os.getpid() else 1)
        if os.waitpid(child, 0)[1] != 0:
            raise ValueError("the child used the slots of its parent")
        return batch


def test_a_process_that_a_worker_forks_has_slots_of_its_own():
    assert all(map(is_right, loader_of(Forking())))


def test_two_loaders_at_once():
    first, second = loader_of(Numbers(40)), loader_of(Numbers(40, frames=50), multiprocessing_context="fork")
    kept = [pair for _ in range(2) for pair in zip(first, second, strict=True)]
    assert all(is_right(a) and is_right(b) and is_shared(a) and is_shared(b) for a, b in kept)


def test_batches_received_in_a_thread_as_by_torch_pin_memory():
    kept = []
    thread = threading.Thread(target=lambda: kept.extend(loader_of(persistent_workers=True)))
    thread.start()
    thread.join(300)
    assert len(kept) == 6
    assert all(map(is_right, kept))
    assert all(map(is_shared, kept))


def test_pinned_batches_are_right():
    if not torch.accelerator.is_available():
        pytest.skip("torch pins memory only with an accelerator")
    batches = list(loader_of(pin_memory=True, persistent_workers=True))
    assert all(is_right(b) and b["inputs"].is_pinned() for b in batches)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loader_in_a_process_of_its_own(method):
    done = run_case("epochs", method)
    assert done.returncode == 0, done.stderr


def test_mmengines_runner_builds_such_a_loader():
    loader = Runner.build_dataloader(
        dict(
            dataset=Numbers(),
            batch_size=4,
            num_workers=2,
            persistent_workers=True,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=cases.same,
        ),
        seed=3,
    )
    batches = list(loader)
    assert all(is_right(b) and is_shared(b) for b in batches)


def change(batch):
    """A user's collate function around ours."""
    inputs = batch.pop("inputs")
    extra = {"head": inputs[:2], "turned": inputs.transpose(1, 2), "double": inputs * 2, "names": ["a"], "empty": inputs[:0]}
    return [SharedBatch({**batch, **extra, "inputs": inputs}, batch.memory, batch.lease, batch.address), "and more"]


def test_a_batch_may_be_changed_on_the_way():
    for batch, text in loader_of(collate_fn=change):
        assert text == "and more"
        assert list(batch)[-1] == "inputs"
        assert is_right(batch)
        assert torch.equal(batch["head"], batch["inputs"][:2])
        assert torch.equal(batch["turned"], batch["inputs"].transpose(1, 2))
        assert torch.equal(batch["double"], batch["inputs"] * 2)
        assert (batch["names"], tuple(batch["empty"].shape)) == (["a"], (0, 3, 5, 4))


class Repeating(Numbers):
    """Returns its first batch each time, whatever else it makes."""

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        self.batch = getattr(self, "batch", batch)
        return self.batch


def test_a_batch_that_a_worker_sends_again_is_copied():
    found = [(is_right(b), b["sample_idx"].tolist()) for b in loader_of(Repeating(80), workers=1)]
    assert found == [(True, [0, 1, 2, 3])] * 20


class Keeping(Numbers):
    """Looks at its first batch again, which was sent long ago."""

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        self.first = getattr(self, "first", batch)
        if self.first["sample_idx"].tolist() != [0, 1, 2, 3]:
            raise ValueError("the batch was overwritten")
        return batch


def test_a_batch_that_its_worker_keeps_is_not_overwritten():
    assert all(map(is_right, loader_of(Keeping(80), workers=1)))


class Failing(Numbers):
    """Gives up in the middle of every other batch."""

    def __getitems__(self, indices):
        batch = super().__getitems__(indices)
        if indices[0] % 8:
            raise ValueError(f"clip {indices[0]} is broken")
        return batch


def test_an_error_in_a_worker_frees_the_slot():
    batches = iter(loader_of(Failing(800), workers=1))
    addresses, errors = set(), 0
    for _ in range(200):
        try:
            addresses.add(next(batches)["inputs"].data_ptr())
        except ValueError:
            errors += 1
    assert errors == 100
    assert len(addresses) <= 6


@pytest.mark.parametrize("why", ["asked for", "no /proc or no permission", "batches larger than the bound"])
def test_batches_go_torch_way_where_ours_is_not_possible(why, monkeypatch):
    if why == "asked for":
        monkeypatch.setenv("KARSL_BATCH_TRANSFER", "torch")
    elif why == "batches larger than the bound":
        monkeypatch.setattr(transfer, "SlotPool", partial(SlotPool, max_bytes=4096))
    else:
        monkeypatch.setattr(transfer, "can_share_with_parent", lambda: False)
    batches = list(loader_of())
    assert all(map(is_right, batches))
    assert not any(map(is_shared, batches))
    assert len({b["inputs"].untyped_storage().data_ptr() for b in batches}) == 6


def test_a_process_without_parent_does_not_count_on_being_reached():
    assert can_share_with_parent() is False


def size_of_message(batch):
    return torch.tensor(len(ForkingPickler.dumps(batch)))


def test_a_message_is_small():
    assert max(loader_of(collate_fn=size_of_message)) < 420


def test_a_message_is_received_once():
    pool = SlotPool()
    message = bytes(ForkingPickler.dumps(shared_batch(pool)))
    batch = pickle.loads(message)
    assert batch["inputs"].tolist() == [[1, 1, 1], [1, 1, 1]]
    with pytest.raises(BatchLostError, match="received twice"):
        pickle.loads(message)


def test_a_late_message_does_not_take_the_batch_that_followed():
    pool = SlotPool()
    first = shared_batch(pool)
    message = bytes(ForkingPickler.dumps(first))
    del first
    pickle.loads(message)
    second = shared_batch(pool)
    with pytest.raises(BatchLostError):
        pickle.loads(message)
    assert second["label"].tolist() == [1, 1]


def test_a_batch_of_a_dead_worker_is_reported():
    child = psutil.Popen([sys.executable, "-c", ""])
    child.wait()
    batch = shared_batch(SlotPool())
    batch.address = batch.address._replace(pid=child.pid)
    message = bytes(ForkingPickler.dumps(batch))
    with pytest.raises(BatchLostError, match=f"worker {child.pid} cannot be reached"):
        pickle.loads(message)


def test_a_foreign_file_is_never_opened(tmp_path):
    pool = SlotPool()
    batch = shared_batch(pool)
    with open(tmp_path / "other", "w+b") as other:
        batch.address = batch.address._replace(fd=other.fileno(), inode=1)
        message = bytes(ForkingPickler.dumps(batch))
        with pytest.raises(BatchLostError, match="another file"):
            pickle.loads(message)
    assert (tmp_path / "other").read_bytes() == b""


def test_a_lease_ends_with_the_last_tensor_over_its_memory():
    ended = []
    array = Lease(np.zeros(8, np.uint8), ended.append, "now").array()
    tensor = torch.from_numpy(array)[2:4]
    del array
    assert ended == []
    del tensor
    assert ended == ["now"]


def test_a_buffer_is_used_again_when_no_view_of_it_is_left():
    pool = BufferPool()
    first, second = pool.acquire(1000), pool.acquire(1000)
    address, view = first.ctypes.data, first[10:20]
    del first, second
    assert pool.acquire(1000).ctypes.data != address
    del view
    assert pool.acquire(900).ctypes.data == address


def test_a_slot_is_used_again_with_another_generation():
    pool = SlotPool(max_slots=1)
    lease, _ = pool.acquire(1000)
    assert pool.acquire(1000) is None
    del lease
    assert pool.acquire(1000)[1].generation == 2


def test_copies_of_a_batch_are_plain_and_apart():
    batch = shared_batch(SlotPool())
    twin = copy.deepcopy(batch)
    read = pickle.loads(pickle.dumps(batch))
    batch["inputs"].zero_()
    for other in (twin, read):
        assert type(other) is dict
        assert other["inputs"].sum() == 6


def test_a_slot_pool_makes_room_for_batches_of_another_size():
    pool = SlotPool(max_slots=4, max_bytes=1 << 24)
    small = [pool.acquire(5000) for _ in range(4)]
    assert pool.acquire(1 << 20) is None
    del small[:2]
    large = [pool.acquire(1 << 20) for _ in range(2)]
    assert all(large)
    assert pool.acquire(5000) is None
    assert pool.acquire(1 << 25) is None


def test_in_the_main_process_memory_is_used_again_but_never_while_held():
    spec = {"inputs": ((64, 50, 8, 4), np.float32)}
    kept, addresses = [], set()
    for i in range(20):
        arrays, batch = allocate_shared(spec)
        arrays["inputs"][:] = i
        addresses.add(batch["inputs"].data_ptr())
        if i % 5 == 0:
            kept.append(batch["inputs"][3:4].numpy())
        del arrays, batch
    assert [float(x.max()) for x in kept] == [float(x.min()) for x in kept] == [0, 5, 10, 15]
    assert len(addresses) <= 6


def test_workers_that_inherit_held_batches_do_not_free_them():
    first = loader_of(persistent_workers=True)
    kept = list(first)
    second = list(loader_of())
    for _ in range(2):
        list(first)
    assert all(map(is_right, kept))
    assert all(map(is_right, second))


class Mapped(Numbers):
    """Reports how much of the shared memory its worker has mapped, and uses none."""

    def __getitems__(self, indices):
        return [len(cases.mapped())]


def test_new_workers_do_not_hold_the_memory_of_other_workers():
    gc.collect()  # errors of tests before this one may hold a batch
    first = loader_of(persistent_workers=True)
    list(first)
    assert cases.mapped() != []
    assert [found for batch in loader_of(Mapped()) for found in batch] == [0] * 6


@pytest.mark.parametrize(
    ("epochs", "kills"),
    [
        (50, 6),
        pytest.param(
            1000,
            50,
            marks=pytest.mark.skipif(not os.environ.get("KARSL_LONG_TESTS"), reason="a minute; KARSL_LONG_TESTS=1"),
        ),
    ],
)
def test_workers_killed_at_random_leave_nothing_and_no_loader_hangs(epochs, kills):
    done = run_case("kill-workers", epochs, kills, 1, deadline_s=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["right"]
    assert found["deaths"] == kills
    assert found["after"].pop("fds") <= found["before"].pop("fds")  # some of the first loader may be closed by then
    # Torch's handler may raise in what closes a dead worker's pipes, and Python lets go of such an error: seldom.
    assert found["after"].pop("pipes") < found["before"].pop("pipes") + kills
    assert found["after"] == found["before"]


def still_there(pids) -> list[psutil.Process]:
    """Processes may end between one look and the next."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def test_a_killed_parent_leaves_no_worker_and_no_memory():
    done = run_case("kill-self")
    found = json.loads(done.stdout)
    assert found["shared"]
    _, alive = psutil.wait_procs(still_there(found["workers"]), timeout=300)  # they look for their parent every 5 s
    assert alive == []
    assert cases.leftovers(found["workers"])["shm"] == []
