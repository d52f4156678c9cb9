"""Take clips out of a pack without writing its shards again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import DataErrors, PackError, did_you_mean
from karsl.storage.annotation import read_annotation, write_annotation
from karsl.storage.pack.manifest import FileFacts, Manifest, Shard
from karsl.storage.pack.staging import Staging, finish_interrupted, only_writer, told_when_full
from karsl.storage.packed import ANNOTATIONS, MANIFEST, beside


def remove_clips(folder: str | Path, clip_ids: Sequence[str]) -> Manifest:
    """Drop the records of some clips and mark them in the manifest; their frames stay in the shards.

    Classes stay as they are, also those that lose their last clip. Who has the pack open goes on with what it has.

    Args:
        folder: Of the pack.
        clip_ids: Of the clips.

    Returns:
        The manifest of the pack as it is now.

    Raises:
        PackError: No pack, or another process writes it, or nothing would be left.
        DataErrors: Clips that are not in it.
    """
    out = Path(folder).resolve()
    with only_writer(out):
        finish_interrupted(out)
        before = Manifest.read(out)
        metainfo, records = read_annotation(out / ANNOTATIONS)
        gone = set(clip_ids)
        _check_known(out, gone, [r["clip_id"] for r in records])
        left = [r for r in records if r["clip_id"] not in gone]
        if not left:
            raise PackError(f"all {len(records)} clips of {out} would be removed; delete the folder instead")
        marked = [_marked(out, shard, [r for r in records if r["clip_id"] in gone]) for shard in before.shards]
        plan = xxh3_64_hexdigest(json.dumps([before.annotations.xxh3, sorted(gone)]).encode())
        staging = Staging(out, plan)
        with told_when_full(out):
            write_annotation(staging.folder / ANNOTATIONS, metainfo, left)
            after = replace(before, shards=tuple(marked), annotations=FileFacts.of(staging.folder / ANNOTATIONS))
            after.write(staging.folder / MANIFEST)
        staging.finish([])
        return after


def _check_known(out: Path, gone: set[str], known: list[str]) -> None:
    problems = []
    for name in sorted(gone - set(known)):
        problems.append(f"no clip {name!r}{did_you_mean(name, known, 'its annotations.json lists them')}")
    if problems:
        raise DataErrors(str(out), problems)


def _marked(out: Path, shard: Shard, records: list[dict]) -> Shard:
    starts = [r["frame_start"] for r in records if r["keypoint_path"] == shard.frames]
    if not starts:
        return shard
    clips = np.load(out / beside(shard.frames, "clips"), allow_pickle=False)
    places = np.searchsorted(clips[:, 0], np.array(starts, np.uint64)).tolist()
    return replace(shard, removed=tuple(sorted({*shard.removed, *places})))
