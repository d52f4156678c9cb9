"""Comparison of karsl with other libraries on one task, and with the limit of the machine. Run with `python -m benchmarks`.

| module | content |
| --- | --- |
| `task` | the task: sample 50 frames, mirror, move; written once, in numpy, for every baseline |
| `clips` | synthetic clips in KArSL's shape |
| `candidate` | base classes of a candidate, and the list of all; a new one is one file and one line there |
| `candidates/`, `baselines/` | candidates of karsl and of other libraries, one file each |
| `memcpy`, `memcpy_kernel` | the same bytes copied in a compiled loop |
| `dataset_files` | files of each candidate, written once and checked against the source |
| `rounds`, `launch`, `measurement` | interleaved rounds, one process per measurement |
| `result`, `report`, `plot` | medians, ratios, table, JSON, chart |
| `stages` | time per stage of the batches of karsl |
| `index`, `startup` | time of start and access, and time to the first batch |
| `transforms`, `peer_steps` | rate of each transform in a pipeline, and the same steps in numpy |
| `errors` | `BenchError` |
"""

from benchmarks.candidate import Candidate, RandomAccessCandidate, choose_candidates, find_candidates
from benchmarks.measurement import Case
from benchmarks.result import Result
from benchmarks.rounds import Plan, run_plan

__all__ = [
    "Candidate",
    "Case",
    "RandomAccessCandidate",
    "Plan",
    "Result",
    "choose_candidates",
    "find_candidates",
    "run_plan",
]
