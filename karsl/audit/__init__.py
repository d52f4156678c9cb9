"""Checks of the soundness of a corpus."""
