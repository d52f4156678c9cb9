"""Synthetic corpora and Hypothesis strategies, for the demo and for tests of karsl and its extensions."""

from karsl.testing.corpus import make_corpus

__all__ = ["make_corpus"]
