"""A pack as a stream's source, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.base import KeypointDataset
from karsl.storage.packed import ANNOTATIONS
from karsl.storage.remote import RemoteError, is_remote
from karsl.storage.remote_cache import FileCache


def open_pack(
    folder: str, pipeline: Sequence, *, cache: FileCache, options: dict[str, Any]
) -> tuple[KeypointDataset, Callable[[str, np.ndarray], None] | None]:
    """The dataset of a pack, and what has a shard of it here, None for a pack on this machine.

    Args:
        folder: Path or URL.
        pipeline: Transforms.
        cache: For a pack elsewhere.
        options: Of `KeypointDataset`.

    Raises:
        RemoteError: Its annotations cannot be had.
    """
    ann_file: str = ANNOTATIONS
    root, bring = folder, None
    if is_remote(folder):
        url = folder.rstrip("/")
        ann_file = str(cache.get(f"{url}/{ANNOTATIONS}"))
        root, bring = str(Path(ann_file).parent), partial(bring_shard, cache, url)
    dataset = KeypointDataset(
        Path(ann_file).name, data_root=root, data_prefix={"keypoint_path": ""}, pipeline=pipeline, **options
    )
    return dataset, bring


def bring_shard(cache: FileCache, url: str, path: str, places: np.ndarray) -> None:
    """Have the files of one shard here: frames, presence, and checksums if the pack has them.

    Args:
        cache: Where they come to lie.
        url: Of the pack.
        path: Of the frames, in the cache.
        places: Of the clips that are to be read; a shard comes whole.

    Raises:
        RemoteError: One cannot be had.
    """
    name = Path(path).name
    for kind in ("presence", "clips"):
        try:
            cache.get(f"{url}/{name.replace('frames', kind, 1)}")
        except RemoteError:
            if kind == "presence":
                raise
    cache.get(f"{url}/{name}")
