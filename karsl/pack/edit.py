"""Edit the records of a pack: remove clips without rewriting shards, and merge new records with existing ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from xxhash import xxh3_64_hexdigest

from karsl.errors import AnnotationError, DataErrors, PackError, did_you_mean
from karsl.io.annotations import MANIFEST, parse_annotations, write_annotations
from karsl.io.atomic import disk_full_errors, exclusive_lock
from karsl.io.pack_reader import ANNOTATIONS, sibling_filename
from karsl.pack.manifest import PACK_KEYS, FileStat, Manifest, Shard
from karsl.pack.transaction import Staging, recover

_CLASS_KEYS = ("classes", "classes_ar")


def remove_clips(folder: str | Path, clip_ids: Sequence[str]) -> Manifest:
    """Remove the records of some clips from a pack and return its new manifest; the frames stay in the shards.

    Classes stay, even those without clips. Processes that have the pack open continue to read it as it was.

    Raises:
        PackError: If there is no pack, another process is writing it, or no clip would be left.
        DataErrors: If some clips are not in the pack.
    """
    out = Path(folder).resolve()
    with exclusive_lock(out):
        recover(out)
        before = Manifest.read(out, known_only=True)
        metainfo, records = parse_annotations(out / ANNOTATIONS, required=PACK_KEYS)
        removed = set(clip_ids)
        known, hint = [r["clip_id"] for r in records], "its annotations.json lists them"
        if unknown := sorted(removed - set(known)):
            raise DataErrors(str(out), [f"no clip {name!r}{did_you_mean(name, known, hint)}" for name in unknown])
        remaining = [r for r in records if r["clip_id"] not in removed]
        if not remaining:
            raise PackError(f"no clip of {out} would be left; delete the folder instead")
        removed_records = [r for r in records if r["clip_id"] in removed]
        shards = tuple(_mark_removed(out, shard, removed_records) for shard in before.shards)
        staging = Staging(out, xxh3_64_hexdigest(json.dumps([before.annotations.xxh3, sorted(removed)]).encode()))
        with disk_full_errors(out):
            write_annotations(staging.folder / ANNOTATIONS, metainfo, remaining)
            after = replace(before, shards=shards, annotations=FileStat.from_path(staging.folder / ANNOTATIONS))
            after.write(staging.folder / MANIFEST)
        staging.commit([])
        return after


def _mark_removed(out: Path, shard: Shard, records: list[dict]) -> Shard:
    starts = [r["frame_start"] for r in records if r["keypoint_path"] == shard.frames]
    if not starts:
        return shard
    clips = np.load(out / sibling_filename(shard.frames, "clips"), allow_pickle=False)
    indices = np.searchsorted(clips[:, 0], np.array(starts, np.uint64)).tolist()
    return replace(shard, removed=tuple(sorted({*shard.removed, *indices})))


@dataclass(frozen=True)
class MergeResult:
    """Records of a pack and of a source with common classes.

    Attributes:
        metainfo: Metainfo of both.
        existing: Records of the pack, with their new labels.
        added: Records of the source that the pack does not have, with their new labels.
        duplicates: Number of records of the source that the pack has.
    """

    metainfo: dict
    existing: list[dict]
    added: list[dict]
    duplicates: int


def merge_records(pack: Path | None, metainfo: dict, records: Sequence[dict]) -> MergeResult:
    """Merge metainfo and records of a source with those in the folder of a pack, which is None for a new pack.

    Raises:
        DataErrors: If clips have no frames, share a `clip_id`, or have another length in the pack.
        AnnotationError: If labels have no class names, or two classes have one name.
    """
    names = Counter(r["clip_id"] for r in records)
    problems = [f"two clips are called {name!r}; rename one" for name, count in names.items() if count > 1]
    problems += [f"clip {r['clip_id']!r} has no frames; remove it" for r in records if r["num_frames"] < 1]
    if problems:
        raise DataErrors("the source", problems)
    if pack is None:
        return MergeResult(metainfo, [], list(records), 0)
    pack_metainfo, existing = parse_annotations(pack / ANNOTATIONS, required=PACK_KEYS)
    lengths = {r["clip_id"]: r["num_frames"] for r in existing}
    added = [r for r in records if r["clip_id"] not in lengths]
    duplicates = [r for r in records if r["clip_id"] in lengths]
    problems = [
        f"clip {r['clip_id']!r} has num_frames={lengths[r['clip_id']]}, in the source {r['num_frames']}; --remove it first"
        for r in duplicates
        if lengths[r["clip_id"]] != r["num_frames"]
    ]
    if problems:
        raise DataErrors(str(pack), problems)
    if not added:
        return MergeResult(pack_metainfo, existing, [], len(duplicates))
    return _merge_labels(pack_metainfo, existing, metainfo, added, len(duplicates))


def _merge_labels(
    pack_metainfo: dict, existing: list[dict], source_metainfo: dict, added: list[dict], duplicates: int
) -> MergeResult:
    key = "signs" if pack_metainfo.get("signs") and source_metainfo.get("signs") else "classes"
    pack_classes = _class_names(pack_metainfo, key, "the pack")
    source_classes = _class_names(source_metainfo, key, "the source")
    names = list(dict.fromkeys((*pack_classes, *source_classes)))
    names = sorted(names) if key == "signs" else names
    label = {name: i for i, name in enumerate(names)}
    merged: dict = {**pack_metainfo, key: names}
    for name_key in _CLASS_KEYS:
        if name_key != key and name_key in pack_metainfo:
            known = dict(zip(source_classes, source_metainfo.get(name_key, source_classes), strict=True))
            known |= dict(zip(pack_classes, pack_metainfo[name_key], strict=True))
            merged[name_key] = [str(known[name]) for name in names]
    if key != "signs" and len(names) > len(pack_classes):
        merged.pop("signs", None)  # the classes of the source have none
    return MergeResult(
        merged,
        [{**r, "label": _merged_label(r, pack_classes, label, key, "the pack")} for r in existing],
        [{**r, "label": _merged_label(r, source_classes, label, key, "the source")} for r in added],
        duplicates,
    )


def _class_names(metainfo: dict, key: str, owner: str) -> list:
    """Return the names by which classes are merged; each is required and unique."""
    names = metainfo.get(key)
    if not names:
        raise AnnotationError(
            f"adding clips needs named classes; metainfo of {owner} has no {key!r}, only {sorted(metainfo)}"
        )
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise AnnotationError(
            f"two classes of {owner} are called {twice!r} and would be merged; rename one, or give pack and source 'signs'"
        )
    return list(names)


def _merged_label(record: dict, classes: list, label: dict, key: str, owner: str) -> int:
    """Return the label of a record among the merged classes, found by its sign, else by its class."""
    sign, old = record.get("sign") if key == "signs" else None, record.get("label")
    if sign is not None and sign in label:
        return label[sign]
    if sign is None and isinstance(old, (int, np.integer)) and 0 <= old < len(classes):
        return label[classes[old]]
    described = ", ".join(f"{name} {record[name]!r}" for name in ("sign", "label") if name in record) or "no label"
    known = f"{len(classes)} {key}, {classes[0]!r} to {classes[-1]!r}"
    raise AnnotationError(f"clip {record['clip_id']!r} of {owner} has {described}, expected one of {known}; correct it")
