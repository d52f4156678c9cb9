"""Records of clips: load an annotation file, parse raw records, check and filter them."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import yaml  # required by MMEngine
from mmengine.config import Config
from mmengine.fileio import get_text, join_path, list_from_file
from mmengine.logging import print_log

from karsl.datasets.splits import read_split
from karsl.errors import AnnotationError, AnnotationTypeError, ConfigError, DatasetNotFoundError, did_you_mean, pluralize
from karsl.io.annotations import check_class_count, check_pack_version, join_folder, shorten, split_annotation
from karsl.io.yaml_files import load_yaml
from karsl.schema import parse_json, whole_number

INDEX_COLUMNS = {
    "label": "int64",
    "num_frames": "int64",
    "pack": "category",
    "frame_start": "int64",  # in a shard of a pack
    "byte_start": "int64",  # in a mapped file, as are the next three
    "dtype": "category",
    "xxh3": "uint64",
    "raw": "category",
    "fps": "optional",
}
"""Record keys that are stored as columns too, with their dtype."""
_PARSERS = {".json": parse_json, ".yaml": load_yaml, ".yml": load_yaml}  # none of them can run code
_MAX_LISTED = 8
_MAX_VALUES = 10_000_000
_NAME_KEYS = ("skeleton", "dataset_name")  # always names, even if a file of that name exists


def load_annotations(ann_file: str | None, *, owner: str) -> dict:
    """Load an annotation file for a dataset.

    Args:
        ann_file: Path or URL supported by MMEngine's file clients, `.json`, `.yaml` or `.yml`.
        owner: Name of the dataset class, for the error without a path.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If no path is given or the content is not a dict.
        AnnotationError: If the suffix is not supported, the text cannot be parsed or the content has another format.
        PackError: If it is that of a pack of another version.
    """
    if not ann_file:
        raise TypeError(f"{owner} needs ann_file; 'karsl prepare DATA_ROOT' writes one")
    parse = _PARSERS.get(PurePath(ann_file).suffix.lower())
    if parse is None:
        raise AnnotationError(
            f"{ann_file}: an annotation is read from .json, .yaml or .yml; other formats, pickle above all, can run code; "
            "write it as json"
        )
    check_pack_version(os.path.dirname(ann_file))
    try:
        content = parse(get_text(ann_file))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise AnnotationError(f"{ann_file}: not readable ({error}); write it again with 'karsl prepare'") from error
    if not isinstance(content, dict):  # MMEngine raises a TypeError, too
        raise AnnotationTypeError(f"{ann_file}: an annotation file contains a dict, this one a {type(content).__name__}")
    split_annotation(content, ann_file)
    return content


def merge_metainfo(base: Mapping, override: Mapping | Config | None) -> dict:
    """Override the metainfo of a dataset class with that of a constructor.

    Args:
        base: METAINFO of the class; copied.
        override: Values of the constructor. A string that is the path of a readable text file is replaced by the lines of
            the file, except for `skeleton` and `dataset_name`.

    Raises:
        TypeError: If `override` is not a mapping.
    """
    merged = copy.deepcopy(dict(base))
    if override is None:
        return merged
    if not isinstance(override, (Mapping, Config)):
        raise TypeError(f"metainfo should be a Mapping or Config, but got {type(override)}")
    for key, value in override.items():
        merged[key] = _read_lines(key, value) if isinstance(value, str) and key not in _NAME_KEYS else value
    return merged


def _read_lines(key: str, text: str) -> str | list[str]:
    try:
        lines = list_from_file(text)
    except (TypeError, ValueError, KeyError, OSError):
        print_log(f"{text} is not a meta file, simply parsed as meta information", logger="current", level=logging.WARNING)
        return text
    print_log(f"metainfo {key!r} is read from the file {text!r}: {pluralize(len(lines), 'line')}", logger="current")
    return lines


def check_labels(records: Sequence[Mapping], classes: object, *, source: str) -> None:
    """Check that every label is an index into `classes`, and without classes that their number is plausible.

    Raises:
        AnnotationError: If a label is out of range.
    """
    if not classes or not isinstance(classes, (list, tuple)):
        return check_class_count([r["label"] for r in records if r.get("label", -1) >= 0], source)
    known = range(len(classes))
    wrong = [r for r in records if "label" in r and r["label"] not in known]
    if wrong:
        first = f"{wrong[0]['label']} of clip {wrong[0].get('clip_id', '?')!r}"
        raise AnnotationError(
            f"{source}: {pluralize(len(wrong), 'clip')} with a label outside 0 to {len(known) - 1}, the first {first}; "
            f"metainfo has {len(known)} 'classes', correct these or the labels"
        )


def data_warnings(unmatched_filters: str, problems: Sequence[str]) -> list[str]:
    """Return what was not found or skipped while records were made, one sentence each."""
    texts = []
    if unmatched_filters:
        texts.append(f"filter_cfg matched no clip for {unmatched_filters}; using the other values")
    if problems:
        texts.append(f"clips are skipped for {pluralize(len(problems), 'problem')}, the first: {problems[0]}")
    return texts


def parse_records(raw_records: Iterable[Any], parse: Callable[[Any], dict | list[dict]]) -> Iterator[dict]:
    """Parse raw records; labels such as 3.0 or '3' become integers, and clips of packs get the column `pack`.

    Args:
        raw_records: Items of an annotation file's data_list.
        parse: Returns the records of one raw record; `parse_data_info` of a dataset.

    Raises:
        TypeError: If `parse` returns something else.
    """
    for number, raw in enumerate(raw_records):
        parsed = parse(raw)
        for record in parsed if isinstance(parsed, list) else [parsed]:
            if not isinstance(record, dict):
                raise TypeError(
                    f"parse_data_info returned {type(record)} for record {number}; expected dict or list of dict"
                )
            record.pop("pack", None)  # a column of the index, not for files to set
            if ("frame_start" in record or "byte_start" in record) and "keypoint_path" in record:
                record["pack"] = record["keypoint_path"]
            if "raw" in record:
                record.pop("xxh3", None)  # of canonical clips
            if isinstance(label := record.get("label"), (str, float, np.number)):
                whole = whole_number(label)
                record["label"] = label if whole is None else whole
            yield record


def join_prefixes(record: dict, prefixes: Mapping[str, str], *, where: str) -> dict:
    """Join every prefix before the value of its key, in place.

    Raises:
        AnnotationError: If the record lacks the key of a prefix.
    """
    for key, prefix in prefixes.items():
        if key not in record:
            raise AnnotationError(f"{where}: a record has no {key!r}, which data_prefix names; it has {sorted(record)}")
        if not isinstance(record[key], str):
            raise AnnotationError(f"{where}: a record has {key}={record[key]!r}; a string is expected")
        record[key] = _join(prefix, record[key])
    return record


def drain(records: Sequence[dict]) -> Iterator[dict]:
    """Yield records, and release those of a list, so that it and its serialized copy are not both in memory at once."""
    if not isinstance(records, list):
        yield from records
        return
    records.reverse()
    while records:
        yield records.pop()


@lru_cache(maxsize=1024)
def _join(prefix: str, path: str) -> str:
    return join_path(prefix, path) if "://" in prefix else join_folder(prefix, path)


# ---- filters ----


def normalize_signer(signer: Any) -> str:
    """Return the name of a signer. All spellings of a number are one signer.

    Example:
        >>> normalize_signer(1), normalize_signer("1"), normalize_signer("01"), normalize_signer("anna")
        ('01', '01', '01', 'anna')
    """
    name = str(signer)
    return f"{int(name):02d}" if name.isdecimal() else name


def _same(value: Any) -> Any:
    return value


def _as_set(value: Any) -> set:
    """Return the allowed values that a config names: one, or several.

    Raises:
        ConfigError: If it is something else, or a range of more values than any corpus has.
    """
    if isinstance(value, (str, int)):
        return {value}
    if not isinstance(value, Collection) or len(value) > _MAX_VALUES or not all(isinstance(v, Hashable) for v in value):
        raise ConfigError(f"filter_cfg: {shorten(value)} is neither a value nor a list of values")
    return set(value)


def _values_of(record: Mapping, field: str) -> Sequence:
    """Return the values of a record; a list in a record, such as the splits of a clip, has several."""
    value = record.get(field)
    return value if isinstance(value, (list, tuple)) else (value,)


@dataclass(frozen=True)
class Filter:
    """A key of `filter_cfg` that lists allowed values of a record key.

    Attributes:
        field: Record key.
        normalize: Makes spellings of one value equal.
        values: Turns the value of `filter_cfg` into the set of allowed values.
        report: How values without a record are reported: `'names'`, `'count'` or None.
    """

    field: str
    normalize: Callable[[Any], Any] = _same
    values: Callable[[Any], set] = _as_set
    report: str | None = None

    def __call__(self, value: Any) -> Callable[[dict], bool]:
        """Return the predicate of records for a value of `filter_cfg`."""
        allowed = {self.normalize(v) for v in self.values(value)}
        return lambda record: any(self.normalize(v) in allowed for v in _values_of(record, self.field))

    def unmatched(self, key: str, value: Any, records: Sequence[Mapping]) -> str:
        """Return the allowed values that no record has, as text; empty if there are none or they are not reported."""
        if self.report is None:
            return ""
        allowed = {self.normalize(v) for v in self.values(value)}
        missing = allowed - {self.normalize(v) for v in {v for r in records for v in _values_of(r, self.field)}}
        if not missing:
            return ""
        if self.report == "names":
            return f"{key} {', '.join(sorted(map(str, missing)))}"
        examples = ", ".join(map(str, sorted(missing)[:3])) + (", ..." if len(missing) > 3 else "")
        return f"{len(missing)} of {len(allowed)} {self.field}s ({examples})"


class _MinFrames(Filter):
    """The filter `min_frames`."""

    def __call__(self, value: int) -> Callable[[dict], bool]:
        if not isinstance(value, int) or value < 0:
            raise ConfigError(f"filter_cfg: min_frames={value!r}; expected a number of frames")

        def is_long(record: dict) -> bool:
            if self.field not in record:
                name = f"clip {record['clip_id']!r}" if "clip_id" in record else "a clip"
                raise ConfigError(
                    f"filter_cfg: min_frames={value} needs {self.field!r} in every record, {name} has none; "
                    "'karsl prepare' counts the frames"
                )
            return record[self.field] >= value

        return is_long


class _SplitFile(Filter):
    """The filter `split_file`, whose value is the path and the value of `part`."""

    def unmatched(self, key: str, value: tuple[str, Any], records: Sequence[Mapping]) -> str:
        text = super().unmatched(key, value, records)
        return text and f"{text} of part {value[1]!r} in {value[0]}"


def _read_parts(value: tuple[str, str | Sequence[str]]) -> set[str]:
    path, parts = value
    if not isinstance(path, (str, Path)):
        raise ConfigError(f"filter_cfg: split_file={path!r}; expected a path")
    return read_split(path).clips_of(sorted(_as_set(parts), key=str))


class _Exclude(Filter):
    """The filter `exclude`, whose value is a list of clips to leave out, or the path of a file with one per line."""

    def __call__(self, value: str | Sequence[str]) -> Callable[[dict], bool]:
        excluded = set(_read_clip_ids(value) if isinstance(value, str) else map(str, _as_set(value)))
        return lambda record: str(record.get(self.field)) not in excluded


def _read_clip_ids(path: str) -> Iterator[str]:
    """Yield the lines of a text file, except for empty ones and for comments, which begin with `# `."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"filter_cfg: no file exclude={path!r}; write it with 'karsl audit --write-exclude'") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"filter_cfg: exclude={path!r} cannot be read ({error}); it is a text file of clip ids") from error
    yield from (line for line in text.split("\n") if line.strip() and not line.startswith("# "))


FILTERS: dict[str, Filter] = {
    "signers": Filter("signer", normalize_signer, report="names"),
    "split": Filter("split", report="names"),
    "min_frames": _MinFrames("num_frames"),
    "labels": Filter("label"),
    "signs": Filter("sign", report="count"),
    "exclude": _Exclude("clip_id"),
    "split_file": _SplitFile("clip_id", str, values=_read_parts, report="count"),
}
"""Filters by key of `filter_cfg`. A dataset module may add its own, as `karsl.datasets.karsl` adds `subset`."""


def resolve_filters(filter_cfg: Mapping | None) -> dict[str, Any]:
    """Return the filters that are not None, with `part` joined to the value of `split_file`.

    Raises:
        ConfigError: If there is no filter of a name, or `split_file` or `part` is without the other.

    Example:
        >>> resolve_filters({"split_file": "a.json", "part": "train", "split": None, "min_frames": 4})
        {'split_file': ('a.json', 'train'), 'min_frames': 4}
    """
    known = (*FILTERS, "part")
    for key in filter_cfg or {}:
        if key not in known:
            hint = did_you_mean(key, known, f"known: {', '.join(known)}")
            raise ConfigError(f"filter_cfg has no key {key!r}{hint}")
    values = {key: value for key, value in (filter_cfg or {}).items() if value is not None}
    part = values.pop("part", None)
    if (part is None) != ("split_file" not in values):
        have, lacks = ("split_file", "part") if part is None else ("part", "split_file")
        raise ConfigError(f"filter_cfg has {have!r} without {lacks!r}; expected e.g. split_file='loso.json', part='train'")
    if part is not None:
        values["split_file"] = (values["split_file"], part)
    return values


def locate_filter_files(filter_cfg: Mapping | None, data_root: str | None) -> Mapping | None:
    """Return `filter_cfg` with the paths of its files, `split_file` and `exclude`, below `data_root` if they are there."""
    found = {}
    for key in ("split_file", "exclude"):
        path = (filter_cfg or {}).get(key)
        if isinstance(path, str) and path and Path(inside := join_folder(data_root or "", path)).is_file():
            found[key] = inside
    return {**(filter_cfg or {}), **found} if found else filter_cfg


def check_filter_files(filter_cfg: Mapping, data_root: str | None) -> None:
    """Check the files that `filter_cfg` names, without records.

    Raises:
        KarslError: If a file is missing or not in its format, or a split file has no such part.
    """
    located = locate_filter_files({key: filter_cfg.get(key) for key in ("split_file", "part", "exclude")}, data_root)
    for key, value in resolve_filters(located).items():
        FILTERS[key](value)


def filter_records(records: Sequence[dict], filter_cfg: Mapping | None, *, source: str) -> Sequence[dict]:
    """Return the records that pass every filter.

    Args:
        records: Records to filter; not changed.
        filter_cfg: Value per key of `FILTERS`; None turns a filter off.
        source: Name of the data, for errors.

    Raises:
        ConfigError: If there is no filter of that name.
        DatasetNotFoundError: If a filter leaves no record.

    Example:
        >>> filter_records([{"split": "train"}, {"split": "test"}], {"split": "test"}, source="x")
        [{'split': 'test'}]
    """
    for key, value in resolve_filters(filter_cfg).items():
        passed = list(filter(FILTERS[key](value), records))
        if records and not passed:
            raise DatasetNotFoundError(f"no records in {source} for {key} {value!r}; {_available(records, key)}")
        records = passed
    return records


def _available(records: Sequence[Mapping], key: str) -> str:
    field = FILTERS[key].field
    if key == "min_frames":
        return f"the longest has {pluralize(max(r.get(field, 0) for r in records), 'frame')}"
    found = sorted({str(value) for r in records for value in _values_of(r, field)})
    return f"it has {field} {_listed(found)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")


def unmatched_values(
    records: Sequence[Mapping], filter_cfg: Mapping | None, unfiltered: Sequence[Mapping] | None = None
) -> str:
    """Return the values of `filter_cfg` that no filtered record has, as text; empty if each has one.

    Args:
        records: Records that passed.
        filter_cfg: As for `filter_records`.
        unfiltered: All records; the clips of a split file are compared with these. None stands for `records`.

    Example:
        >>> unmatched_values([{"signer": "01", "sign": 71}], {"signers": ("01", 3), "signs": range(71, 80)})
        'signers 03 and 8 of 9 signs (72, 73, 74, ...)'
    """
    values = resolve_filters(filter_cfg)
    everything = records if unfiltered is None else unfiltered
    texts = [
        FILTERS[key].unmatched(key, values[key], everything if key == "split_file" else records)
        for key in FILTERS
        if key in values
    ]
    return " and ".join(filter(None, texts))


def summarize(records: Sequence[Mapping]) -> str:
    """Return the number of clips and signs, and the signers, as text.

    Example:
        >>> summarize([{"sign": 3, "signer": "01"}, {"sign": 3, "signer": "02"}])
        '2 clips, 1 sign, signers 01, 02'
    """
    texts = [pluralize(len(records), "clip")]
    found = {(str(r["sign"]) if "sign" in r else None, str(r["signer"]) if "signer" in r else None) for r in records}
    signs = {sign for sign, _ in found if sign is not None}
    signers = sorted({signer for _, signer in found if signer is not None})
    texts += [pluralize(len(signs), "sign")] if signs else []
    texts += [f"signers {_listed(signers)}"] if signers else []
    return ", ".join(texts)
