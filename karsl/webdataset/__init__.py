"""Tars as WebDataset lays clips in them: written, listed, indexed so that they can be mapped, brought from elsewhere."""
