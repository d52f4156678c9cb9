"""Batches in one compiled pass: steps of a pipeline are noted for N clips at once and done together."""
