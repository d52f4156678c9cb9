"""Synthetic data and laws for tests, the demo, and the tests of people who extend karsl."""

from karsl.testing.synthetic import make_corpus

__all__ = ["make_corpus"]
