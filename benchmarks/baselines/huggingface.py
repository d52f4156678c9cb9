"""Hugging Face datasets: memory-mapped Arrow files; clips as bytes, several times as fast as its array features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips
from benchmarks.task import CHANNELS, NUM_KEYPOINTS, ReadClip


class HuggingFace(RandomAccessCandidate):
    """Table with one binary column."""

    name = "huggingface"
    libraries = ("datasets",)

    def write(self, clips: Clips, folder: Path) -> None:
        from datasets import Features, Value
        from datasets.arrow_writer import ArrowWriter

        with ArrowWriter(path=str(folder / "clips.arrow"), features=Features(clip=Value("binary"))) as writer:
            for clip in clips:
                writer.write({"clip": np.ascontiguousarray(clip).tobytes()})
            writer.finalize()

    def open_reader(self, folder: Path) -> ReadClip:
        from datasets import Dataset

        table = Dataset.from_file(str(folder / "clips.arrow"))

        def read(index: int) -> np.ndarray:
            return np.frombuffer(table[index]["clip"], np.float32).reshape(-1, NUM_KEYPOINTS, CHANNELS)

        return read


CANDIDATE = HuggingFace()
