"""Journal of an extraction: one line per finished clip, by which a later run recognizes what is done."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError
from karsl.extract.clip import ExtractedClip
from karsl.extract.videos import VideoList
from karsl.io.atomic import atomic_path

CLIPS, JOURNAL = "clips", "journal.jsonl"


class Journal:
    """Finished clips in an output folder.

    A line is valid while the file of the clip is complete, and its video, the recipe and the skeleton are the same. Lines of
    clips that are not in the source are kept, so that the same call for their source finds them. Other lines are removed.

    Args:
        out: Output folder, which the caller has locked; created if absent.
        source: Clips to extract.
        recipe_id: Name of recipe and skeleton, see `karsl.extract.base.recipe_id`.

    Attributes:
        records: Record of each finished clip of the source, by its id.
        doubts: Clauses about each of them.

    Raises:
        ConfigError: If the folder contains files of another origin.
    """

    def __init__(self, out: Path, source: VideoList, recipe_id: str) -> None:
        self._path, self._out, self._recipe_id = out / JOURNAL, out, recipe_id
        # before the frames are read: a video that changes meanwhile is extracted again by the next run
        self._states = {video.clip_id: _state(source.root / video.path) for video in source.videos}
        self.records: dict[str, dict[str, Any]] = {}
        self.doubts: dict[str, list[str]] = {}
        if not self._path.is_file():
            _check_empty(out)
            out.mkdir(parents=True, exist_ok=True)
        for part in (out / CLIPS).rglob(".*.part.npy"):  # of killed workers
            part.unlink(missing_ok=True)
        lines = [json.dumps(entry) for entry in self._read()]
        with atomic_path(self._path) as temp:
            temp.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def append(self, clip: ExtractedClip) -> None:
        """Add a clip that was written."""
        clip_id = clip.record["clip_id"]
        self.records[clip_id], self.doubts[clip_id] = clip.record, list(clip.doubts)
        entry = {"recipe": self._recipe_id, "state": self._states[clip_id], "bytes": self._size(clip.record)}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**entry, "record": clip.record, "doubts": clip.doubts}) + "\n")

    def _read(self) -> list[dict]:
        """Return the lines to keep, and add those of the source to the finished clips."""
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path.is_file() else []
        kept: dict[str, dict] = {}
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # a line that a kill cut off
                entry = json.loads(line)
                record = entry["record"]
                clip_id, is_complete = record["clip_id"], self._size(record) == entry["bytes"]
                is_current = entry["recipe"] == self._recipe_id and entry["state"] == self._states.get(clip_id)
                if is_complete and clip_id not in self._states:
                    kept[clip_id] = entry
                elif is_complete and is_current:
                    kept[clip_id] = entry
                    self.records[clip_id], self.doubts[clip_id] = record, entry["doubts"]
        return list(kept.values())

    def _size(self, record: dict[str, Any]) -> int:
        state = _state(self._out / record["keypoint_path"])
        return -1 if state is None else state[0]


def _check_empty(out: Path) -> None:
    foreign = sorted(entry.name for entry in out.iterdir()) if out.is_dir() else []
    if out.is_file() or foreign:
        what = f"contains {foreign[0]!r}" if foreign else "is a file"
        raise ConfigError(f"{out} {what}, which no extraction wrote; choose a new or empty folder")


def _state(path: Path) -> list[int] | None:
    """Return size and modification time of a file or folder, None if it is absent."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]
