"""Memory of a loader's processes, and throughput of a loader.

`MemoryHook` is imported from `karsl.profiling.hook`: MMEngine's hooks import OpenCV, which would enlarge every measured
process.
"""

from karsl.profiling.probe import probe
from karsl.profiling.results import Case, Point, ProcessSample, Series
from karsl.profiling.throughput import Throughput, measure

__all__ = ["Case", "Point", "ProcessSample", "Series", "Throughput", "measure", "probe"]
