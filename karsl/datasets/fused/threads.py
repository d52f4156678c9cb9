"""The compiled pass over a batch, by as many threads as PyTorch uses: one in a loader's worker, all cores elsewhere."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch

from karsl.datasets.fused.kernel import read_clips

_BYTES_A_THREAD = 1 << 20  # of the batch: less is done before a thread wakes up
_MOST = 8  # main memory is busy then
_pool: ThreadPoolExecutor | None = None


def read_clips_threaded(
    like, addresses, lengths, width, positions, counts, rows, groups, order, order_of, runs, affine, hidden, hidden_of,
    hidden_frames, zero, fill, out, mask,
):  # fmt: skip
    """As `read_clips`; each thread writes some of the clips, so the batch is the same for any number of threads."""
    number = min(torch.get_num_threads(), _MOST, len(counts), out.nbytes // _BYTES_A_THREAD)
    if number < 2:
        read_clips(
            like, addresses, lengths, width, positions, counts, rows, groups, order, order_of, runs, affine, hidden,
            hidden_of, hidden_frames, zero, fill, out, mask,
        )  # fmt: skip
        return
    ends = np.concatenate([[0], np.cumsum(counts)])
    edges = np.searchsorted(ends, np.linspace(0, ends[-1], number + 1)).tolist()
    edges[0], edges[-1] = 0, len(counts)

    def some(first: int, last: int) -> None:
        clips, frames = slice(first, last), slice(ends[first], ends[last])
        read_clips(
            like, addresses[clips], lengths[clips], width, positions[frames], counts[clips], rows[clips], groups, order,
            order_of[clips], runs, affine[clips], hidden, hidden_of[clips], hidden_frames[frames], zero, fill, out, mask,
        )  # fmt: skip

    others = [_threads().submit(some, first, last) for first, last in zip(edges[1:-1], edges[2:], strict=True)]
    try:
        some(edges[0], edges[1])
    finally:
        wait(others)  # also when interrupted: nobody writes to the memory of a batch that is given up
    for other in others:
        other.result()


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(_MOST - 1, thread_name_prefix="karsl-pass")
    return _pool


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
