"""How fast clips become batches: the ways people use, ours, and the limit of the machine, on one job.

| module | what |
| --- | --- |
| `job` | the job: sample 50 frames, mirror, move; written once, in numpy, for every peer |
| `clips` | synthetic clips in KArSL's shape |
| `ways` | what a way is, and the table of them; a new way is one file and one line there |
| `ours/`, `peers/` | one file a way |
| `limit` | the same bytes copied in a compiled loop |
| `stores` | each way's own files, made once and checked against the source |
| `measure`, `launch`, `one_pass` | rounds of fresh processes |
| `result`, `report`, `plot` | medians, ratios, table, JSON, picture |
| `index`, `opening` | other questions: how long start and access take, and a first batch from nothing |
"""

from karsl.analysis.bench.measure import Plan, run_plan
from karsl.analysis.bench.one_pass import Case
from karsl.analysis.bench.result import Result
from karsl.analysis.bench.ways import MapWay, Way, choose_ways, find_ways

__all__ = ["Case", "MapWay", "Plan", "Result", "Way", "choose_ways", "find_ways", "run_plan"]
