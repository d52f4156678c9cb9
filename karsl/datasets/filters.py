"""Filters of records: the keys of `filter_cfg`, and a summary of the records that remain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from karsl.errors import ConfigError, DatasetNotFoundError, did_you_mean, pluralize

_MAX_LISTED = 8


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
    return {value} if isinstance(value, (str, int)) else set(value)


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
        return lambda record: self.normalize(record.get(self.field)) in allowed

    def unmatched(self, key: str, value: Any, records: Sequence[Mapping]) -> str:
        """Return the allowed values that no record has, as text; empty if there are none or they are not reported."""
        if self.report is None:
            return ""
        allowed = {self.normalize(v) for v in self.values(value)}
        missing = sorted(allowed - {self.normalize(v) for v in {r.get(self.field) for r in records}})
        if not missing:
            return ""
        if self.report == "names":
            return f"{key} {', '.join(map(str, missing))}"
        examples = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
        return f"{len(missing)} of {len(allowed)} {self.field}s ({examples})"


class _MinFrames(Filter):
    """The filter `min_frames`."""

    def __call__(self, value: int) -> Callable[[dict], bool]:
        if not isinstance(value, int) or value < 0:
            raise ConfigError(f"filter_cfg: min_frames={value!r}; expected a number of frames")
        return lambda record: record.get(self.field, 0) >= value


FILTERS: dict[str, Filter] = {
    "signers": Filter("signer", normalize_signer, report="names"),
    "split": Filter("split", report="names"),
    "min_frames": _MinFrames("num_frames"),
    "labels": Filter("label"),
    "signs": Filter("sign", report="count"),
}
"""Filters by key of `filter_cfg`. A dataset module may add its own, as `karsl.datasets.karsl` adds `subset`."""


def filter_records(records: list[dict], filter_cfg: Mapping | None, *, source: str) -> list[dict]:
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
    for key, value in (filter_cfg or {}).items():
        if key not in FILTERS:
            hint = did_you_mean(key, FILTERS, f"known: {', '.join(FILTERS)}")
            raise ConfigError(f"filter_cfg has no key {key!r}{hint}")
        if value is None:
            continue
        passed = list(filter(FILTERS[key](value), records))
        if records and not passed:
            raise DatasetNotFoundError(f"no records in {source} for {key} {value!r}; {_available(records, key)}")
        records = passed
    return records


def _available(records: Sequence[Mapping], key: str) -> str:
    field = FILTERS[key].field
    if key == "min_frames":
        return f"the longest has {max(r[field] for r in records)} frames"
    found = sorted({str(r.get(field)) for r in records})
    return f"it has {field} {_listed(found)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")


def unmatched_values(records: Sequence[Mapping], filter_cfg: Mapping | None) -> str:
    """Return the values of `filter_cfg` that no filtered record has, as text; empty if each has one.

    Example:
        >>> unmatched_values([{"signer": "01", "sign": 71}], {"signers": ("01", 3), "signs": range(71, 80)})
        'signers 03 and 8 of 9 signs (72, 73, 74, ...)'
    """
    values = {key: value for key, value in (filter_cfg or {}).items() if value is not None}
    texts = [FILTERS[key].unmatched(key, values[key], records) for key in FILTERS if key in values]
    return " and ".join(filter(None, texts))


def summarize(records: Sequence[Mapping]) -> str:
    """Return the number of clips and signs, and the signers, as text.

    Example:
        >>> summarize([{"sign": 3, "signer": "01"}, {"sign": 3, "signer": "02"}])
        '2 clips, 1 sign, signers 01, 02'
    """
    texts = [pluralize(len(records), "clip")]
    signs = {str(r["sign"]) for r in records if "sign" in r}
    signers = sorted({str(r["signer"]) for r in records if "signer" in r})
    texts += [pluralize(len(signs), "sign")] if signs else []
    texts += [f"signers {_listed(signers)}"] if signers else []
    return ", ".join(texts)
