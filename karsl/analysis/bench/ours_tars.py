"""karsl-tars: WebDataset's tars mapped, in random order."""

from karsl.analysis.bench.stream_ways import MAPPED_TARS as WAY

__all__ = ["WAY"]
