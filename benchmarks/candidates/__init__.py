"""Candidates of karsl, one file each."""
