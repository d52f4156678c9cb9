"""Which records a dataset keeps: `filter_cfg`, one function a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from karsl.errors import ConfigError, DatasetNotFoundError, did_you_mean
from karsl.formats.karsl.layout import signs_of_subset

Keep = Callable[[dict], bool]


def _as_set(value: Any) -> set:
    return {value} if isinstance(value, (str, int)) else set(value)


def _by_split(value: Any) -> Keep:
    splits = _as_set(value)
    return lambda record: record.get("split") in splits


def _by_signer(value: Any) -> Keep:
    signers = {signer_name(s) for s in _as_set(value)}
    return lambda record: signer_name(record.get("signer")) in signers


def signer_name(signer: Any) -> str:
    """How a signer is called; a number in any spelling is one signer.

    Example:
        >>> signer_name(1), signer_name("1"), signer_name("01"), signer_name("anna")
        ('01', '01', '01', 'anna')
    """
    name = str(signer)
    return f"{int(name):02d}" if name.isdecimal() else name


def _by_length(value: int) -> Keep:
    if not isinstance(value, int) or value < 0:
        raise ConfigError(f"filter_cfg: min_frames={value!r}; expected a number of frames")
    return lambda record: record.get("num_frames", 0) >= value


def _by_label(value: Any) -> Keep:
    labels = _as_set(value)
    return lambda record: record.get("label") in labels


def _by_sign(value: Any) -> Keep:
    signs = _as_set(value)
    return lambda record: record.get("sign") in signs


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
        records: To choose from; not changed.
        filter_cfg: Keys of `FILTERS`; a key that is None does nothing.
        source: Names the data in the error.

    Raises:
        ConfigError: A key that no filter has.
        DatasetNotFoundError: One of the filters leaves nothing.

    Example:
        >>> keep_records([{"split": "train"}, {"split": "test"}], {"split": "test"}, source="x")
        [{'split': 'test'}]
    """
    for key, value in (filter_cfg or {}).items():
        if key not in FILTERS:
            hint = did_you_mean(key, FILTERS, f"known: {', '.join(FILTERS)}")
            raise ConfigError(f"filter_cfg has no key {key!r}{hint}")
        if value is None:
            continue
        keep = FILTERS[key](value)
        kept = [r for r in records if keep(r)]
        if records and not kept:
            field = {"signers": "signer", "signs": "sign", "subset": "sign", "labels": "label"}.get(key, key)
            there = sorted({str(r.get(field)) for r in records})
            some = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
            raise DatasetNotFoundError(
                f"no records in {source} for {key} {value!r}; "
                + (f"the longest has {max(r['num_frames'] for r in records)} frames" if key == "min_frames"
                   else f"it has {field} {some}")
            )  # fmt: skip
        records = kept
    return records


def absent_values(kept: Sequence[Mapping], filter_cfg: Mapping | None) -> str:
    """What `filter_cfg` asks for and no kept record is of, in a few words; empty where every value found some.

    Example:
        >>> absent_values([{"signer": "01", "sign": 71}], {"signers": ("01", 3), "signs": range(71, 80)})
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


def contents_of(records: Sequence[Mapping]) -> str:
    """How many clips of what, in a few words.

    Example:
        >>> contents_of([{"sign": 3, "signer": "01"}, {"sign": 3, "signer": "02"}])
        '2 clips, 1 sign, signers 01, 02'
    """
    said = [counted(len(records), "clip")]
    signs = {str(r["sign"]) for r in records if "sign" in r}
    signers = sorted({str(r["signer"]) for r in records if "signer" in r})
    said += [counted(len(signs), "sign")] if signs else []
    said += [f"signers {', '.join(signers[:8])}" + (", ..." if len(signers) > 8 else "")] if signers else []
    return ", ".join(said)


def counted(number: int, name: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "clip"), counted(2, "clip")
        ('1 clip', '2 clips')
    """
    return f"{number} {name}{'' if number == 1 else 's'}"
