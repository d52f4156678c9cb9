"""karsl-stream: the shards of a pack as a stream."""

from karsl.analysis.bench.stream_ways import SHARDS as WAY

__all__ = ["WAY"]
