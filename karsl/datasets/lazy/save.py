"""Items of a recorded dataset as files: all at once, or as they are used."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.logging import print_log

from karsl.datasets.lazy.identity import CannotTell, items_identity
from karsl.datasets.lazy.spool import Spool
from karsl.datasets.lazy.write import WRITERS
from karsl.errors import ConfigError
from karsl.progress import track
from karsl.skeletons import describe_skeleton
from karsl.storage.convert import Clips

if TYPE_CHECKING:
    from karsl.datasets.lazy.dataset import LazyDataset

MODES = ("now", "training")
_KEPT = ("clip_id", "label", "sign", "signer", "split", "gloss", "fps")


class Saving:
    """One `save_as`; travels to workers as a path.

    Args:
        dataset: Initialised.
        path: To be made.
        form: A name of `WRITERS`.
        mode: One of `MODES`.
        options: Of the writer.

    Raises:
        ConfigError: Another form or mode, `path` is there, or the dataset does not know its skeleton.
    """

    def __init__(self, dataset: LazyDataset, path: str | Path, form: str, mode: str, options: Mapping[str, Any]) -> None:
        self.path, self.form, self.options = Path(path), form, dict(options)
        if form not in WRITERS or mode not in MODES:
            raise ConfigError(
                f"save_as(format={form!r}, mode={mode!r}); expected {', '.join(WRITERS)} and {' or '.join(MODES)}"
            )
        if self.path.exists():
            raise ConfigError(f"save_as: {path} exists; give another name, or remove it first")
        skeleton = dataset.output_skeleton
        if skeleton is None:
            raise ConfigError(
                "save_as: the dataset does not know its skeleton; give skeleton= to the datasets it is made of"
            )
        self.skeleton, self.dataset = skeleton, dataset
        self.metainfo = dataset.metainfo | {"skeleton": describe_skeleton(skeleton)}
        self.spool = _spool_of(dataset, self.path.with_name(f".{self.path.name}.items"))

    def keep(self, place: int, item: Any) -> None:
        """Write an item, unless it was written before.

        Raises:
            ConfigError: It holds no keypoints.
        """
        if not self.spool.has(place):
            facts = {**self.dataset.get_data_info(place), **(item if isinstance(item, dict) else {})}
            record = {key: facts[key] for key in _KEPT if facts.get(key) is not None} | _ids(facts)
            clip = clip_of(item)
            self.spool.add(place, clip, {"clip_id": str(place), **record, "num_frames": len(clip)})

    def finish(self) -> Path:
        """Write the file or folder of all items kept, and let go of them.

        Raises:
            ConfigError: There is none.
        """
        records, total = self.spool.records, len(self.dataset)
        if not records:
            raise ConfigError(f"flush(): no item of {total} was used yet, so {self.path} is not made")
        source = Clips(self.metainfo, self.skeleton, records, self.spool.read)
        WRITERS[self.form](source, self.path, **self.options)
        self.spool.remove()
        if len(records) < total:
            print_log(f"{self.path}: {len(records):,} of {total:,} items; the others were not used", logger="current")
        return self.path


def save_now(saving: Saving) -> Path:
    """Make and write every item that is not yet kept."""
    dataset = saving.dataset
    for place in track(range(len(dataset)), "saving items", interval=16):
        if not saving.spool.has(place):
            saving.keep(place, dataset.get_sample(place))
    return saving.finish()


def clip_of(item: Any) -> np.ndarray:
    """The canonical clip of an item: float32 (T, V, 4), x y z score, zeros where missing.

    Args:
        item: With keypoint and keypoint_score, or packed: inputs, of which a fourth channel is the score, and keypoint_mask.

    Raises:
        ConfigError: It has neither.
    """
    if isinstance(item, Mapping) and "keypoint" in item:
        keypoint, score = np.asarray(item["keypoint"]), np.asarray(item["keypoint_score"])
    elif isinstance(item, Mapping) and "inputs" in item:
        inputs, mask = np.asarray(item["inputs"]), np.asarray(item["keypoint_mask"])
        keypoint, score = inputs[..., :3], inputs[..., 3] * mask if inputs.shape[-1] == 4 else mask.astype(np.float32)
    else:
        raise ConfigError(
            f"save_as: an item has no keypoints, only {sorted(item) if isinstance(item, Mapping) else type(item)}"
        )
    seen = score > 0
    clip = np.zeros((*score.shape, 4), np.float32)
    clip[..., :3] = np.where(seen[..., None], keypoint, 0)
    clip[..., 3] = np.where(seen, score, 0)
    return clip


def _ids(facts: Mapping[str, Any]) -> dict:
    ids = facts.get("gloss_ids")
    return {"gloss_ids": ids.tolist()} if isinstance(ids, torch.Tensor) else {}


def _spool_of(dataset: LazyDataset, folder: Path) -> Spool:
    """The items that an earlier call left, if they are this dataset's for sure."""
    plan = None
    try:
        plan = items_identity(dataset)
    except CannotTell as reason:
        if folder.exists():
            text = f"{folder}: items are made anew, since those left there may be another dataset's: {reason}"
            print_log(text, logger="current", level=logging.WARNING)
    return Spool(folder, plan)
