"""Error of the benchmark."""

from karsl.errors import KarslError


class BenchError(KarslError, RuntimeError):
    """A candidate returned wrong data or did not finish."""
