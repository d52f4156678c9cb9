"""Memory and start-up probes.

`MemoryHook` is in `karsl.analysis.memory.hook`: MMEngine's hooks import OpenCV, which no process of a probe should carry.
"""

from karsl.analysis.memory.probe import probe
from karsl.analysis.memory.samples import Case, Point, ProcessSample, Series

__all__ = ["Case", "Point", "ProcessSample", "Series", "probe"]
