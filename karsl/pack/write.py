"""Write a pack or append to one: planned, parallel, resumed after a kill, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, PackError
from karsl.io.annotations import MANIFEST, write_annotations
from karsl.io.atomic import disk_full_errors, exclusive_lock
from karsl.io.pack_reader import ANNOTATIONS, list_shards, shard_filename
from karsl.io.sources import ClipSource, FunctionSource, public_record
from karsl.pack.build import BlockResult, PackRun, Read, ShardPlan, plan_shards, write_blocks
from karsl.pack.edit import MergeResult, merge_records
from karsl.pack.encode import DTYPES, Block
from karsl.pack.manifest import FileStat, Manifest
from karsl.pack.transaction import STAGING_FOLDER, Staging, recover
from karsl.skeletons import Skeleton

Write = Callable[[Iterator[tuple[Any, Block]], Read], Iterator[tuple[Any, BlockResult]]]
SHARD_BYTES = 1 << 30


@dataclass(frozen=True)
class PackResult:
    """Result of `pack_clips`.

    Attributes:
        annotations: Annotation file; its folder is the `data_root`.
        added: Number of clips written.
        duplicates: Number of clips of the source that were in the pack before.
        reused_shards: Number of shards that an interrupted run had finished.
        manifest: Manifest of the pack.
    """

    annotations: Path
    added: int
    duplicates: int
    reused_shards: int
    manifest: Manifest


def pack_clips(
    source: ClipSource,
    out: str | Path,
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    workers: int = 0,
    mode: str = "new",
    progress: Callable[[int, int], None] | None = None,
    pool: Write | None = None,
) -> PackResult:
    """Write the clips of a source to a pack, reusing the shards that an interrupted run of the same call has finished.

    Args:
        source: Clips in the order of the pack. An interrupted run is resumed only if the source has the same `fingerprint`,
            and starts again if that is empty, as for clips made in Python.
        out: Folder of the pack.
        dtype: `'float16'` halves the size, `'float32'` is exact; None is that of the pack, or float16.
        shard_bytes: Maximum bytes of frames per file; 0 writes one file.
        workers: Number of processes, each of which imports the main module; 0 uses this process.
        mode: `'new'` rejects a folder that contains a pack, `'replace'` writes it again, `'append'` adds the clips whose
            `clip_id` it does not have.
        progress: Called with the number of clips done and in total.
        pool: Replacement of `write_blocks`, on a cluster for example.

    Raises:
        PackError: If the pack exists or does not exist, contrary to `mode`, the folder contains other files, another
            process is writing it, or the disk is full.
        ConfigError: If options do not fit each other or the pack.
        KarslError: If a clip cannot be read or does not fit; the pack is unchanged then.
    """
    out = Path(out).resolve()
    if mode not in ("new", "replace", "append") or shard_bytes < 0 or workers < 0:
        raise ConfigError(
            f"mode={mode!r}, shard_bytes={shard_bytes}, workers={workers} of a pack; expected mode 'new', 'replace' or "
            "'append', and no negative number"
        )
    with exclusive_lock(out):
        recover(out)
        target = _open_target(out, mode, source.skeleton, dtype)
        merge = merge_records(out if mode == "append" else None, source.metainfo, source.records)
        if merge.added:
            write = pool or partial(write_blocks, workers=workers)
            return _write_shards(source, out, target, merge, shard_bytes, write, progress or (lambda done, total: None))
        if mode == "append":
            return PackResult(out / ANNOTATIONS, 0, merge.duplicates, 0, target.manifest)
        raise PackError(f"the source has no clips, so {out} is not made")


def pack_records(
    folder: str | Path, metainfo: dict, records: list[dict], read_clip: Read, *, skeleton: Skeleton, **options: Any
) -> Path:
    """Write a pack of some records, replacing the pack in `folder`, and return the path of its annotation file.

    Args:
        folder: Folder of the pack, the `data_root` of a dataset.
        metainfo: Metainfo of the annotation file.
        records: Records in the order of the pack; `num_frames` of each is correct.
        read_clip: Returns the canonical clip of a record.
        skeleton, options: Skeleton of the clips, and options of `pack_clips`.
    """
    source = FunctionSource(metainfo, skeleton, records, read_clip)
    return pack_clips(source, folder, **{"mode": "replace", **options}).annotations


def write_clips(
    folder: str | Path, clips: Iterable[np.ndarray], lengths: np.ndarray, *, skeleton: Skeleton, dtype: str = "float16"
) -> Path:
    """Write clips without records to one shard, replacing the pack in `folder`, and return the path of its frames.

    Args:
        folder: Folder of the pack, created if absent.
        clips: Canonical clips, float32 (T, V, 4), in order.
        lengths: T of each.
        skeleton, dtype: See `pack_clips`.
    """
    clips = iter(clips)
    records = [{"clip_id": str(n), "label": 0, "num_frames": int(t)} for n, t in enumerate(lengths)]
    metainfo = {"classes": ("clip",), "skeleton": skeleton.name}
    pack_records(folder, metainfo, records, lambda _: next(clips), skeleton=skeleton, dtype=dtype, shard_bytes=0)
    return list_shards(folder)[-1]


@dataclass(frozen=True)
class _Target:
    """State of the output folder before writing.

    Attributes:
        manifest: Manifest whose shards stay; without shards for a new or replaced pack.
        first_number: Number of the first new shard.
        obsolete: Names of files to remove at the end.
    """

    manifest: Manifest
    first_number: int = 0
    obsolete: tuple[str, ...] = ()


def _open_target(out: Path, mode: str, skeleton: Skeleton, dtype: str | None) -> _Target:
    """Check that the folder of a pack allows `mode`, and that skeleton and dtype are those of a pack to append to."""
    before = _read_target(out, mode)
    dtype = dtype or (before.dtype if before and mode == "append" else "float16")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype={dtype!r} of a pack; expected 'float16' or 'float32'")
    manifest = Manifest.create(skeleton, dtype)
    if before is None:
        return _Target(manifest)
    if mode == "replace":
        return _Target(manifest, before.next_number, tuple(before.files()))
    if before.parts != manifest.parts:
        raise ConfigError(f"{out} has skeleton {before.skeleton!r}, the source {manifest.skeleton!r}; convert it first")
    if before.dtype != dtype:
        raise ConfigError(f"{out} holds {before.dtype}, not {dtype}; leave --dtype out, or pack both again")
    return _Target(before, before.next_number)


def _read_target(out: Path, mode: str) -> Manifest | None:
    if out.is_file():
        raise PackError(f"{out} is a file; a pack is a folder, choose another name")
    if mode != "append" and not (out / MANIFEST).is_file():
        # files of others would be read as files of the pack, or be replaced by them
        others = sorted(entry.name for entry in out.iterdir() if entry.name != STAGING_FOLDER) if out.is_dir() else []
        if others:
            raise PackError(
                f"{out} contains files that do not belong to a pack, e.g. {others[0]!r}; choose an empty or new folder"
            )
        return None
    if mode == "new":
        raise PackError(f"{out} holds a pack; add clips to it with --append, or write it again with --replace")
    return Manifest.read(out, known_only=mode == "append")


def _write_shards(
    source: ClipSource,
    out: Path,
    target: _Target,
    merge: MergeResult,
    shard_bytes: int,
    write: Write,
    progress: Callable[[int, int], None],
) -> PackResult:
    """Plan the shards, write those that are not finished, and commit."""
    row_bytes = source.skeleton.num_keypoints * 4 * DTYPES[target.manifest.dtype].itemsize
    lengths = np.array([r["num_frames"] for r in merge.added], np.int64)
    shards = plan_shards(lengths, row_bytes=row_bytes, shard_bytes=shard_bytes, first_number=target.first_number)
    resumable = bool(source.fingerprint)
    with disk_full_errors(out, resumable=resumable):
        staging = Staging(out, _plan_fingerprint(source.fingerprint, target, merge, shards), resumable=resumable)
        reused = len(staging.done)
        try:
            run = PackRun(source, target.manifest, staging, shards, merge.added, progress)
            for key, result in write(run.blocks(), source.read_stored):
                run.add_result(key, result)
            manifest = _write_metadata(source, target, merge, shards, staging)
        except BaseException:
            staging.rollback()
            raise
        staging.commit(target.obsolete)
    return PackResult(out / ANNOTATIONS, len(merge.added), merge.duplicates, reused, manifest)


def _write_metadata(
    source: ClipSource, target: _Target, merge: MergeResult, shards: list[ShardPlan], staging: Staging
) -> Manifest:
    """Write the annotations and the manifest of the new pack."""
    records = [*merge.existing, *_locate_records(merge.added, shards, source.public_record)]
    path = write_annotations(staging.folder / ANNOTATIONS, merge.metainfo, records)
    added = [staging.done[shard_filename(shard.number)] for shard in shards]
    manifest = replace(target.manifest, shards=(*target.manifest.shards, *added), annotations=FileStat.from_path(path))
    manifest.write(staging.folder / MANIFEST)
    return manifest


def _locate_records(records: list[dict], shards: list[ShardPlan], to_public: Callable[[dict], Mapping]) -> Iterator[dict]:
    for shard in shards:
        for record, start in zip(records[shard.first : shard.end], shard.starts.tolist(), strict=True):
            yield {**to_public(record), "keypoint_path": shard_filename(shard.number), "frame_start": start}


def _plan_fingerprint(source: str, target: _Target, merge: MergeResult, shards: list[ShardPlan]) -> str:
    """Return a fingerprint of everything that determines the files; a random one if that of the source is empty."""
    ends = [(shard.number, shard.end) for shard in shards]
    manifest = target.manifest
    values = [manifest.dtype, manifest.parts, manifest.annotations.xxh3, merge.metainfo, ends, target.obsolete]
    values += [[public_record(r) for r in merge.added], source or uuid4().hex]
    return xxh3_64_hexdigest(json.dumps(values, sort_keys=True, default=str).encode())
