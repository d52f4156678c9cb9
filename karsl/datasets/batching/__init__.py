"""Batches in one compiled pass: steps of a pipeline are noted for N clips at once and done together. Needs numba.

`batching` takes the clips of a dataset, `pipeline` notes its steps in `pending`, `assembly` writes them with `kernel`.
"""
