"""Memory and start-up probes."""

from karsl.analysis.memory_hook import MemoryHook
from karsl.analysis.probe import ProbeError, probe
from karsl.analysis.samples import Case, Point, ProcessSample, Series

__all__ = ["Case", "MemoryHook", "Point", "ProbeError", "ProcessSample", "Series", "probe"]
