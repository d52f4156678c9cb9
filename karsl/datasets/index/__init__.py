"""Serialized records of a dataset: one file, written once per node and mapped by every process."""
