"""The compiled loop of the way `limit`; apart, since it imports numba."""

from __future__ import annotations

from numba import njit

from karsl.datasets.batching.simd import half_to_float


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def copy_clips(frames, offsets, numbers, out):
    """Read every frame of each clip and write every frame of the batch; a short clip's frames repeat.

    Args:
        frames: uint16 (F, V, C), bits of float16.
        offsets: int64 (all clips + 1,).
        numbers: int64 (N,), which clips.
        out: float32 (N, L, V, C).
    """
    length = out.shape[1]
    for n in range(numbers.size):
        start, size = offsets[numbers[n]], offsets[numbers[n] + 1] - offsets[numbers[n]]
        steps = max(size, length)
        for step in range(steps):  # of a long clip some frames are overwritten, in cache
            source = frames[start + step * size // steps].reshape(-1)
            target = out[n, step * length // steps].reshape(-1)
            for j in range(target.size):
                target[j] = half_to_float(source[j])
