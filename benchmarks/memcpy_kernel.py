"""Compiled loop of the candidate `limit`, in its own module because it imports numba."""

from __future__ import annotations

from numba import njit

from karsl.datasets.batching.simd import half_to_float


@njit(nogil=True, cache=True, boundscheck=False, error_model="numpy")
def copy_clips(frames, offsets, indices, out):
    """Read every frame of each clip and write every frame of the batch; frames of a short clip repeat.

    Args:
        frames: uint16 (F, V, C), bits of float16.
        offsets: int64 (all clips + 1,).
        indices: int64 (N,), indices of the clips.
        out: float32 (N, L, V, C).
    """
    length = out.shape[1]
    for n in range(indices.size):
        start, size = offsets[indices[n]], offsets[indices[n] + 1] - offsets[indices[n]]
        steps = max(size, length)
        for step in range(steps):  # some frames of a long clip overwrite others, which are still in the cache
            source = frames[start + step * size // steps].reshape(-1)
            target = out[n, step * length // steps].reshape(-1)
            for j in range(target.size):
                target[j] = half_to_float(source[j])
