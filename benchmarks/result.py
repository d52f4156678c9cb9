"""Readings of all rounds, with medians and ratios."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.measurement import Figures

IN_PROCESS = "in process"
STREAMS = ("karsl-stream", "karsl-stream-tars", "karsl-tars")
_PACKAGES = (
    *("torch", "numpy", "numba", "mmengine", "mmengine-lite", "onedl-mmengine"),
    *("webdataset", "mosaicml-streaming", "litdata", "datasets", "lmdb", "h5py"),
)


@dataclass
class CandidateResult:
    """Readings of one candidate.

    Attributes:
        role: `'baseline'`, `'karsl'`, `'part'` or `'limit'`, see `Candidate`.
        prepare_s: Seconds spent writing its files.
        disk_bytes: Size of its files in bytes.
        readings: One reading per round, by name of the case.
    """

    role: str
    prepare_s: float
    disk_bytes: int
    readings: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, readings: Sequence[Figures]) -> None:
        """Add the readings of a round."""
        for reading in readings:
            self.readings.setdefault(reading.case, []).append(reading)

    def median(self, case: str, attribute: str = "clips_s") -> float | None:
        """Return the median over rounds of an attribute of `Figures`; None if it was not measured."""
        values = [getattr(reading, attribute) for reading in self.readings.get(case, ())]
        return median(values) if values and None not in values else None

    @property
    def best(self) -> float:
        """Clips per second of the fastest case."""
        return max(rate for case in self.readings if (rate := self.median(case)) is not None)


@dataclass
class Result:
    """Readings of all candidates.

    Attributes:
        plan: Settings of the run.
        candidates: Readings by name, in the order of the table.
        skipped: Reasons by name of candidates that cannot run here.
        failed: Errors by name of candidates that failed.
        stages: Microseconds per clip by stage of `karsl`, without workers.
    """

    plan: dict
    candidates: dict[str, CandidateResult] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def cases(self) -> list[str]:
        """Measured cases, in the order of the plan."""
        return list(dict.fromkeys(case for candidate in self.candidates.values() for case in candidate.readings))

    def with_role(self, role: str) -> dict[str, CandidateResult]:
        """Return the candidates with a role."""
        return {name: candidate for name, candidate in self.candidates.items() if candidate.role == role}

    def fastest(self, role: str, case: str | None = None) -> tuple[str, float] | None:
        """Return name and rate of the fastest candidate with a role in one case, or in any case; None if there is none."""
        rates = {n: w.best if case is None else w.median(case) for n, w in self.with_role(role).items()}
        known = {name: rate for name, rate in rates.items() if rate is not None}
        return max(known.items(), key=lambda item: item[1]) if known else None

    def ratios(self) -> list[tuple[str, float]]:
        """Return label and value of the ratios of karsl to the best baseline, to archives and to the limit."""
        found = []
        for case in self.cases:
            karsl = self.fastest("karsl", case)
            # with workers, compared to the best case of any baseline
            baseline = self.fastest("baseline", case if case == IN_PROCESS else None)
            if karsl and baseline:
                found.append((f"{karsl[0]} / {baseline[0]}, {case}", karsl[1] / baseline[1]))
        found += [(label, ratio) for label, ratio in self._stream_ratios() if label not in dict(found)]
        karsl, limit = self.fastest("karsl", IN_PROCESS), self.fastest("limit", IN_PROCESS)
        archives = self.candidates["npz-per-sign"].median(IN_PROCESS) if "npz-per-sign" in self.candidates else None
        if karsl and archives:
            found.append((f"{karsl[0]} / npz-per-sign, {IN_PROCESS}", karsl[1] / archives))
        if limit:
            parts = {name: candidate.median(IN_PROCESS) for name, candidate in self.with_role("part").items()}
            rates = {**parts, **({karsl[0]: karsl[1]} if karsl else {})}
            found += [(f"{name} / limit, {IN_PROCESS}", rate / limit[1]) for name, rate in rates.items() if rate]
        return found

    def _stream_ratios(self) -> list[tuple[str, float]]:
        """Return the ratios of streams and mapped tars to WebDataset's own loader in each case."""
        baseline, found = self.candidates.get("webdataset"), []
        for name in STREAMS:
            for case in self.cases if baseline and name in self.candidates else ():
                rate, reference = self.candidates[name].median(case), baseline.median(case) if baseline else None
                if rate and reference:
                    found.append((f"{name} / webdataset, {case}", rate / reference))
        return found

    def to_json(self) -> dict:
        """Return all readings, medians and ratios, and a description of the machine."""
        candidates = {
            name: {**asdict(candidate), "median_clips_s": {case: candidate.median(case) for case in candidate.readings}}
            for name, candidate in self.candidates.items()
        }
        return {
            "machine": machine(),
            "plan": self.plan,
            "candidates": candidates,
            "ratios": dict(self.ratios()),
            "skipped": self.skipped,
            "failed": self.failed,
            "stages_us": self.stages,
        }

    def write(self, path: Path) -> None:
        """Write `to_json` to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


def machine() -> dict:
    """Describe the machine: processors, system, versions of packages."""
    packages = {name: found for name in _PACKAGES if (found := _version(name))}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": load,
        "packages": packages,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
