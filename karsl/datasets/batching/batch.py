"""stub of owner batching, over fused"""
from __future__ import annotations

from karsl.datasets.fused.batching import batch_of, part_of


class _View:
    def __init__(self, pipeline, skeleton, records, indices, rng_keys, initial_results=None, get_sample=None):
        self.pipeline, self.skeleton, self.rng_keys = pipeline, skeleton, rng_keys
        self.serialize_data = not isinstance(records, list)
        self.data_list = self.index = records
        self.initial_results, self.get_sample = initial_results, get_sample

    def column(self, name):
        return self.index.column(name)

    def clip_records(self, indices):
        return [{**self.index[i], "skeleton": self.skeleton} for i in indices.tolist()]

    def sample_keys(self, indices):
        return self.rng_keys

    def __getitem__(self, index):
        return self.get_sample(index)


def make_batch(pipeline, skeleton, records, indices, *, rng_keys, initial_results, get_sample, column=None):
    return batch_of(_View(pipeline, skeleton, records, indices, rng_keys, initial_results, get_sample), indices)


def make_segment(pipeline, skeleton, records, indices, *, rng_keys, rows=None, column=None):
    return part_of(_View(pipeline, skeleton, records, indices, rng_keys), indices, keys=rng_keys, at=rows)
