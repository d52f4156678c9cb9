"""karsl-stream-tars: WebDataset's tars as a stream."""

from karsl.analysis.bench.stream_ways import STREAMED_TARS as WAY

__all__ = ["WAY"]
