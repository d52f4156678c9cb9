"""What a stream reads: a dataset with random access, and how its files come here."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.pipeline import Pipeline
from karsl.datasets.state import SkipCounter
from karsl.datasets.stream.bring import Elsewhere
from karsl.datasets.stream.packs import open_pack
from karsl.datasets.stream.tars import TarDataset
from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.registry import DATASETS
from karsl.storage.fetch.cache import FileCache
from karsl.storage.fetch.download import is_remote
from karsl.storage.tar.names import expand_braces, is_tar_name, tars_of
from karsl.storage.tar.shards import told_by


def open_source(
    source: Any, pipeline: Sequence | None, *, cache_dir: str | None, cache_bytes: int, options: dict[str, Any]
) -> tuple[KeypointDataset, Elsewhere | None]:
    """The dataset of a stream, and what brings its files here; None where all are.

    Args:
        source: See `StreamDataset`.
        pipeline: Transforms; None leaves those of the source.
        cache_dir, cache_bytes: See `StreamDataset`.
        options: Of the dataset.

    Raises:
        ConfigError: `source` is none of these, or has options that it does not take.
        DatasetNotFoundError: Nothing lies there.
    """
    if isinstance(source, Mapping):
        twice = sorted(key for key, value in options.items() if key in source and source[key] != value)
        if twice:
            raise ConfigError(
                f"StreamDataset: {', '.join(twice)} differs from that of the source's config; give only one of them"
            )
        dataset = DATASETS.build({**source, **options, **({} if pipeline is None else {"pipeline": pipeline})})
    elif isinstance(source, (str, Path)) or (isinstance(source, Sequence) and source):
        names = [str(s).removeprefix("file://") for s in ([source] if isinstance(source, (str, Path)) else source)]
        cache = FileCache(cache_dir, max_bytes=cache_bytes)
        names = _listed(names, cache)
        if _is_pack(names):
            return open_pack(names[0], pipeline or (), cache=cache, options=options)
        dataset = TarDataset(
            _tars(names), pipeline or (), cache_dir=cache_dir, cache_bytes=cache_bytes, bring=False, **options
        )
    else:
        dataset = source
        if isinstance(dataset, Sequence) or not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise ConfigError(
                f"StreamDataset: source={source!r}; expected a path, a URL, a config or a dataset with a length"
            )
        unused = sorted(set(options) - {"seed"})
        if unused and {key: options[key] for key in unused} != {"on_error": getattr(dataset, "on_error", None)}:
            raise ConfigError(f"StreamDataset: give {', '.join(unused)} to the {type(dataset).__name__} itself")
        if pipeline is not None:
            dataset = _with_pipeline(dataset, pipeline)
    if hasattr(dataset, "full_init"):
        dataset.full_init()
    brings = isinstance(dataset, TarDataset) and dataset.brings_shards
    return dataset, Elsewhere(dataset.bring_shard, dataset.cache) if brings else None


def _with_pipeline(dataset: Any, pipeline: Sequence) -> KeypointDataset:
    """A dataset of the same clips, with transforms, epoch and skipped clips of its own; the index is one."""
    if not isinstance(dataset, KeypointDataset):
        raise ConfigError(
            f"StreamDataset: a {type(dataset).__name__} takes no pipeline; put the steps above it with MapDataset"
        )
    dataset.full_init()
    own = copy.copy(dataset)
    own.pipeline, own._epoch_state, own._skip_counter = (
        Pipeline(pipeline),
        copy.deepcopy(dataset._epoch_state),
        SkipCounter(),
    )
    return own


def _listed(names: list[str], cache: FileCache) -> list[str]:
    """The tars of a folder elsewhere, which only its `tars.json` can name; other names as they are."""
    if len(names) > 1 or not is_remote(names[0]) or is_tar_name(names[0]) or "{" in names[0]:
        return names
    folder = names[0].rstrip("/")
    return [f"{folder}/{name}" for name in told_by(folder, cache).get("tars", ())] or names


def _is_pack(names: list[str]) -> bool:
    """Whether the one name is that of a folder with a pack; elsewhere, of a folder at all."""
    if len(names) > 1 or "{" in names[0] or "*" in names[0]:
        return False
    if is_remote(names[0]):
        return not is_tar_name(names[0])
    return (Path(names[0]) / "annotations.json").is_file()


def _tars(names: list[str]) -> list[str]:
    for name in (n for pattern in names for n in expand_braces(pattern)):
        if not is_remote(name) and Path(name).is_dir() and not tars_of(Path(name)):
            raise DatasetNotFoundError(f"{name} holds neither tars nor a pack; see 'karsl pack --help'")
    return names
