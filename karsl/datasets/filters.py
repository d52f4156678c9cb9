"""Filters of records: the keys of `filter_cfg`, and a summary of the records that remain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from karsl.errors import ConfigError, DatasetNotFoundError, did_you_mean
from karsl.formats.karsl.layout import signs_of_subset

Keep = Callable[[dict], bool]


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


FILTERS: dict[str, Callable[[Any], Keep]] = {
    "split": _by_split,
    "signers": _by_signer,
    "min_frames": _by_length,
    "labels": _by_label,
    "signs": _by_sign,
    "subset": lambda name: _by_sign(signs_of_subset(name)),
}


def keep_records(records: list[dict], filter_cfg: Mapping | None, *, source: str) -> list[dict]:
    """Apply every key of `filter_cfg`; a record stays if all agree.

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
    asked = {key: value for key, value in (filter_cfg or {}).items() if value is not None}
    said = []
    for key, field, called in (("signers", "signer", signer_name), ("split", "split", str)):
        wanted = {called(value) for value in _as_set(asked.get(key, ()))}
        absent = sorted(wanted - {called(name) for name in {r.get(field) for r in kept}}) if wanted else []
        said += [f"{key} {', '.join(absent)}"] if absent else []
    for key, values in (("signs", asked.get("signs")), ("subset", asked.get("subset"))):
        wanted_signs = _as_set(() if values is None else signs_of_subset(values) if key == "subset" else values)
        lacking = sorted(wanted_signs - {r.get("sign") for r in kept}) if wanted_signs else []
        some = ", ".join(map(str, lacking[:3])) + (", ..." if len(lacking) > 3 else "")
        said += [f"{len(lacking)} of {len(wanted_signs)} signs ({some})"] if lacking else []
    return " and ".join(said)


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
