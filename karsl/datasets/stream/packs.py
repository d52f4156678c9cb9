"""A pack as a stream's source, here or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.stream.bring import Elsewhere
from karsl.errors import CorruptRecordError, KarslError
from karsl.storage.fetch.cache import FileCache
from karsl.storage.fetch.download import is_remote
from karsl.storage.pack.manifest import FileFacts, Manifest
from karsl.storage.packed import ANNOTATIONS, MANIFEST, beside


def open_pack(
    folder: str, pipeline: Sequence, *, cache: FileCache, options: dict[str, Any]
) -> tuple[KeypointDataset, Elsewhere | None]:
    """The dataset of a pack, and what brings its shards here, None for a pack on this machine.

    Args:
        folder: Path or URL.
        pipeline: Transforms.
        cache: For a pack elsewhere.
        options: Of `KeypointDataset`.

    Raises:
        FetchError: Its manifest or annotations cannot be had.
    """
    root, files = folder, None
    if is_remote(folder):
        url = folder.rstrip("/")
        facts = _refresh(cache, url)
        root = str(cache.path(f"{url}/{MANIFEST}").parent)
        files = Elsewhere(partial(bring_shard, cache, url, facts), cache)
    with cache.reading(f"{folder.rstrip('/')}/{ANNOTATIONS}"):
        options = {"data_root": root, "data_prefix": {"keypoint_path": ""}, **options}
        dataset = KeypointDataset(ANNOTATIONS, pipeline=pipeline, **options)
    return dataset, files


def bring_shard(cache: FileCache, url: str, facts: Mapping[str, FileFacts], path: str, places: np.ndarray) -> None:
    """Have the files of one shard here: frames, presence and checksums.

    Args:
        cache: Where they come to lie.
        url: Of the pack.
        facts: Of its files, by name.
        path: Of the frames, in the cache.
        places: Of the clips that are to be read; a shard comes whole.

    Raises:
        FetchError: One cannot be had.
        CorruptRecordError: What came is not what the manifest says.
    """
    frames = Path(path).name
    for name in (beside(frames, "presence"), beside(frames, "clips"), frames):
        if name in facts:
            cache.get(f"{url}/{name}", check=partial(_check, f"{url}/{name}", facts[name]))


def _refresh(cache: FileCache, url: str) -> dict[str, FileFacts]:
    """Facts of the pack's files as it is now; files of an earlier state of it are removed here."""
    folder, before = cache.path(f"{url}/{MANIFEST}").parent, {}
    with suppress(KarslError, FileNotFoundError):
        before = _facts(folder)
    cache.fresh(f"{url}/{MANIFEST}")
    with cache.reading(f"{url}/{MANIFEST}"):
        now = _facts(folder)
    for name, facts in before.items():
        if now.get(name) != facts:
            cache.drop(f"{url}/{name}")
    cache.fresh(f"{url}/{ANNOTATIONS}")
    return now


def _facts(folder: Path) -> dict[str, FileFacts]:
    return {name: facts for _, name, facts in Manifest.read(folder).files()}


def _check(url: str, facts: FileFacts, part: Path) -> None:
    if FileFacts.of(part) != facts:
        raise CorruptRecordError(
            f"{url}: what came is not what the manifest says, the checksum differs; copy the pack to the server again"
        )
