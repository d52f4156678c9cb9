"""Readings of all rounds, their medians and ratios."""

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
    """One way's readings.

    Attributes:
        role: `'peer'`, `'ours'`, `'part'` of ours, or `'limit'`.
        prepare_s: Seconds that writing its files took.
        disk_bytes: Of its files.
        readings: Case to one reading a round.
    """

    role: str
    prepare_s: float
    disk_bytes: int
    readings: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, readings: Sequence[Figures]) -> None:
        """Keep a round's readings."""
        for reading in readings:
            self.readings.setdefault(reading.case, []).append(reading)

    def median(self, case: str, what: str = "clips_s") -> float | None:
        """Median over rounds of `clips_s`, `first_batch_s` or `pss_bytes`; None where it was not measured."""
        values = [getattr(reading, what) for reading in self.readings.get(case, ())]
        return median(values) if values and None not in values else None

    @property
    def best(self) -> float:
        """The most clips a second of any case."""
        return max(rate for case in self.readings if (rate := self.median(case)) is not None)


@dataclass
class Result:
    """All ways' readings, and those that gave none.

    Attributes:
        plan: What was measured.
        ways: By name, in the order of the table.
        skipped: Name to the reason: its library is absent.
        failed: Name to the error.
        stages: Stage of our own batches to microseconds a clip, in process.
    """

    plan: dict
    ways: dict[str, CandidateResult] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def cases(self) -> list[str]:
        """Cases that were measured, in the order of the plan."""
        return list(dict.fromkeys(case for way in self.ways.values() for case in way.readings))

    def of_role(self, role: str) -> dict[str, CandidateResult]:
        """The ways of a role."""
        return {name: way for name, way in self.ways.items() if way.role == role}

    def fastest(self, role: str, case: str | None = None) -> tuple[str, float] | None:
        """Name and rate of the fastest of a role in a case, or in its best case; None without one."""
        rates = {n: w.best if case is None else w.median(case) for n, w in self.of_role(role).items()}
        known = {name: rate for name, rate in rates.items() if rate is not None}
        return max(known.items(), key=lambda item: item[1]) if known else None

    def ratios(self) -> list[tuple[str, float]]:
        """Ours against the best peer, the archives and the limit: what is compared, and how many times as fast ours is."""
        found = []
        for case in self.cases:
            ours = self.fastest("ours", case)
            # with workers ours is held against the best that a peer reaches in any way
            peer = self.fastest("peer", case if case == IN_PROCESS else None)
            if ours and peer:
                found.append((f"{ours[0]} / {peer[0]}, {case}", ours[1] / peer[1]))
        found += [(what, ratio) for what, ratio in self._streams() if what not in dict(found)]
        ours, limit = self.fastest("ours", IN_PROCESS), self.fastest("memcpy", IN_PROCESS)
        archives = self.ways["npz-per-sign"].median(IN_PROCESS) if "npz-per-sign" in self.ways else None
        if ours and archives:
            found.append((f"{ours[0]} / npz-per-sign, {IN_PROCESS}", ours[1] / archives))
        if limit:
            parts = {name: way.median(IN_PROCESS) for name, way in self.of_role("part").items()}
            rates = {**parts, **({ours[0]: ours[1]} if ours else {})}
            found += [(f"{name} / limit, {IN_PROCESS}", rate / limit[1]) for name, rate in rates.items() if rate]
        return found

    def _streams(self) -> list[tuple[str, float]]:
        """Streams and mapped tars against WebDataset's own loader, case by case."""
        peer, found = self.ways.get("webdataset"), []
        for name in STREAMS:
            for case in self.cases if peer and name in self.ways else ():
                ours, theirs = self.ways[name].median(case), peer.median(case) if peer else None
                if ours and theirs:
                    found.append((f"{name} / webdataset, {case}", ours / theirs))
        return found

    def to_json(self) -> dict:
        """Every reading, its medians, and what it ran on."""
        ways = {
            name: {**asdict(way), "median_clips_s": {case: way.median(case) for case in way.readings}}
            for name, way in self.ways.items()
        }
        return {
            "machine": machine(),
            "plan": self.plan,
            "ways": ways,
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
    """What figures depend on: processors, system, versions."""
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
