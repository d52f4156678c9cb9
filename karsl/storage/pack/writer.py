"""Make a pack, or add to one: planned, parallel, resumed after a kill, all or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import ConfigError, PackError
from karsl.io.sources import ClipSource, public_record
from karsl.storage.annotation import write_annotation
from karsl.storage.pack.base import Base, begin
from karsl.storage.pack.manifest import FileFacts, Manifest
from karsl.storage.pack.merge import Merge, merged
from karsl.storage.pack.plan import ShardPlan, plan_shards
from karsl.storage.pack.pool import Answer, Read, write_blocks
from karsl.storage.pack.run import PackRun
from karsl.storage.pack.shard import KINDS, Block
from karsl.storage.pack.staging import Staging, finish_interrupted, only_writer, told_when_full
from karsl.storage.packed import ANNOTATIONS, MANIFEST, frames_name

WriteBlocks = Callable[[Iterator[tuple[Any, Block]], Read], Iterator[tuple[Any, Answer]]]
SHARD_BYTES = 1 << 30


@dataclass(frozen=True)
class Packed:
    """What was done.

    Attributes:
        annotations: To be given as `ann_file`, with `data_root` its folder.
        added: Clips that were packed now.
        present: Clips of the source that were in the pack before.
        kept_shards: That an earlier, interrupted run had finished.
        manifest: Of the pack as it is now.
    """

    annotations: Path
    added: int
    present: int
    kept_shards: int
    manifest: Manifest


def pack_clips(
    source: ClipSource,
    out: str | Path,
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    workers: int = 0,
    mode: str = "new",
    tell: Callable[[int, int], None] | None = None,
    pool: WriteBlocks | None = None,
) -> Packed:
    """Write the clips of a source to a pack; what an interrupted run of the same call had finished is kept.

    Args:
        source: Clips in the order they are to lie in. An interrupted run goes on only where its `stamp` is the same, and
            begins anew where that is empty, as with clips that are made in Python.
        out: Folder of the pack.
        dtype: `'float16'` halves the bytes, `'float32'` keeps every bit; None is what the pack has, or float16.
        shard_bytes: Of frames in one file, at most; 0 is one file for all.
        workers: Processes, each of which imports the main module; 0 reads and writes here.
        mode: `'new'` refuses a folder that holds a pack, `'replace'` makes it anew, `'append'` adds the clips whose
            `clip_id` it does not have.
        tell: Called with clips done and clips in all.
        pool: Writes blocks in another way than `write_blocks` with `workers`, on a cluster say; see `karsl.remote.packing`.

    Raises:
        PackError: The pack is there or is not there, its folder holds files of others, another process writes it, or the
            disk is full.
        ConfigError: Options that do not fit each other or the pack.
        KarslError: A clip that cannot be read or does not fit; nothing of the pack has changed.
    """
    out = Path(out).resolve()
    if mode not in ("new", "replace", "append") or shard_bytes < 0 or workers < 0:
        raise ConfigError(f"mode={mode!r}, shard_bytes={shard_bytes}, workers={workers}: no such way to write a pack")
    with only_writer(out):
        finish_interrupted(out)
        base = begin(out, mode, source.skeleton, dtype)
        merge = merged(out if mode == "append" else None, source.metainfo, source.records)
        if merge.new:
            write = pool or partial(write_blocks, workers=workers)
            return _carry_out(source, out, base, merge, shard_bytes, write, tell or _silent)
        if mode == "append":
            return Packed(out / ANNOTATIONS, 0, merge.present, 0, base.manifest)
        raise PackError(f"the source has no clips, so {out} is not made")


def _carry_out(
    source: ClipSource,
    out: Path,
    base: Base,
    merge: Merge,
    shard_bytes: int,
    write: WriteBlocks,
    tell: Callable[[int, int], None],
) -> Packed:
    """Plan, write what is missing, and move it in."""
    row_bytes = source.skeleton.num_keypoints * 4 * KINDS[base.manifest.dtype].itemsize
    lengths = np.array([r["num_frames"] for r in merge.new], np.int64)
    shards = plan_shards(lengths, row_bytes=row_bytes, shard_bytes=shard_bytes, first_number=base.first_number)
    keeps = bool(source.fingerprint)
    with told_when_full(out, kept=keeps):
        staging = Staging(out, _fingerprint(source.fingerprint, base, merge, shards), keeps=keeps)
        kept = len(staging.done)
        try:
            run = PackRun(source, base.manifest, staging, shards, merge.new, tell)
            for name, answer in write(run.blocks(), source.read_stored):
                run.note(name, answer)
            manifest = _list(source, base, merge, shards, staging)
        except BaseException:
            staging.discard()
            raise
        staging.finish(base.obsolete)
    return Packed(out / ANNOTATIONS, len(merge.new), merge.present, kept, manifest)


def _list(source: ClipSource, base: Base, merge: Merge, shards: list[ShardPlan], staging: Staging) -> Manifest:
    """Write annotations and manifest of the pack that it will be."""
    located = [*merge.old, *_located(merge.new, shards, source.public_record)]
    path = write_annotation(staging.folder / ANNOTATIONS, merge.metainfo, located)
    added = [staging.done[frames_name(shard.number)] for shard in shards]
    manifest = replace(base.manifest.with_shards(added), annotations=FileFacts.of(path))
    manifest.write(staging.folder / MANIFEST)
    return manifest


def _silent(done: int, total: int) -> None:
    return None


def _located(records: list[dict], shards: list[ShardPlan], facts: Callable[[dict], Mapping]) -> Iterator[dict]:
    for shard in shards:
        for record, start in zip(records[shard.first : shard.end], shard.starts.tolist(), strict=True):
            yield {**facts(record), "keypoint_path": frames_name(shard.number), "frame_start": start}


def _fingerprint(stamp: str, base: Base, merge: Merge, shards: list[ShardPlan]) -> str:
    """Of everything that shapes the files; a new one each time where the source cannot tell whether it is the same."""
    ends = [(shard.number, shard.end) for shard in shards]
    manifest = base.manifest
    parts = [manifest.dtype, manifest.parts, manifest.annotations.xxh3, merge.metainfo, ends, base.obsolete]
    parts += [[public_record(r) for r in merge.new], stamp or uuid4().hex]
    return xxh3_64_hexdigest(json.dumps(parts, sort_keys=True, default=str).encode())
