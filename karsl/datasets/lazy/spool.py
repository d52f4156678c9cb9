"""Finished items on their way to a file: one clip and one record each, whole or not there."""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError
from karsl.io.atomic import atomic_path

_PLAN = "plan.json"


class Spool:
    """A folder of items by their place; any number of processes may add to it.

    Args:
        folder: Made if absent.
        plan: What makes the items; a folder of another plan is refused. None, unknown, begins anew.

    Raises:
        ConfigError: The folder holds items of another plan.
    """

    def __init__(self, folder: Path, plan: str | None) -> None:
        self.folder = folder
        written = folder / _PLAN
        found = json.loads(written.read_text(encoding="utf-8")) if written.is_file() else plan
        if folder.exists() and None in (found, plan):
            shutil.rmtree(folder)
        elif found != plan:
            raise ConfigError(f"{folder} holds items of another recorded dataset; remove it, or save under another name")
        with atomic_path(written) as part:
            part.write_text(json.dumps(plan), encoding="utf-8")

    def add(self, place: int, clip: np.ndarray, record: dict) -> None:
        """Keep an item, unless it is here."""
        if self.has(place):
            return
        with atomic_path(self._path(place, "npy")) as part:
            np.save(part, clip, allow_pickle=False)
        with atomic_path(self._path(place, "json")) as part:  # last: it says that the item is whole
            part.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")

    def has(self, place: int) -> bool:
        """Whether an item is here."""
        return self._path(place, "json").exists()

    @cached_property
    def records(self) -> list[dict]:
        """Of all items here, in order of their places; each with its place under `spooled`."""
        files = sorted(path for path in self.folder.rglob("*.json") if path.name != _PLAN)
        records = [json.loads(path.read_text(encoding="utf-8")) | {"spooled": int(path.stem)} for path in files]
        return _named_apart(records)

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record."""
        return np.load(self._path(record["spooled"], "npy"), allow_pickle=False)

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)

    def _path(self, place: int, suffix: str) -> Path:
        return self.folder / f"{place // 1000:06d}" / f"{place:010d}.{suffix}"


def _named_apart(records: list[dict]) -> list[dict]:
    """A clip that was used twice is two clips."""
    seen: dict[Any, int] = {}
    for record in records:
        name = record["clip_id"]
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            record["clip_id"] = f"{name}#{seen[name]}"
    return records
