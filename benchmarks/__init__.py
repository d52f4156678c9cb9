"""Comparison of karsl with other libraries on one task, and with the limit of the machine. Run with `python -m benchmarks`.

| module | content |
| --- | --- |
| `task` | the task: sample 50 frames, mirror, move; written once, in numpy, for every baseline |
| `clips` | synthetic clips in KArSL's shape |
| `candidate` | the protocol of a candidate and the table of all; a new one is one file and one line there |
| `candidates/`, `baselines/` | karsl's own and those of other libraries, one file each |
| `memcpy`, `memcpy_kernel` | the same bytes copied in a compiled loop |
| `dataset_files` | files of each candidate, written once and checked against the source |
| `rounds`, `launch`, `measurement` | rounds of new processes |
| `result`, `report`, `plot` | medians, ratios, table, JSON, picture |
| `stages` | time per stage of karsl's own batches |
| `index`, `startup` | time of start and access, and time to the first batch |
"""

from benchmarks.candidate import Candidate, MemoryMapped, choose_candidates, find_candidates
from benchmarks.measurement import Case
from benchmarks.result import Result
from benchmarks.rounds import Plan, run_plan

__all__ = ["Candidate", "Case", "MemoryMapped", "Plan", "Result", "choose_candidates", "find_candidates", "run_plan"]
