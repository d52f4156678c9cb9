"""Faults in the names and numbers of records: signer and sign in a name, recording times, frame rates."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from karsl.audit.finding import Finding, make_finding

# As in '03_01_0071_(01_12_16_15_53_03)_c': chapter, signer, sign, time.
_NAME = re.compile(r"(?P<chapter>\d\d)_(?P<signer>\d\d)_(?P<sign>\d{4})_\((?P<time>[\d_]+)\)")
_MIN_FPS, _MAX_FPS = 5.0, 121.0


def check_metadata(records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield the faults.

    Args:
        records: Records of the clips.

    Example:
        >>> record = {"clip_id": "01-train/0072/03_02_0071_(01_12_16_15_53_03)_c", "signer": "01", "sign": 72}
        >>> [(finding.kind, finding.details) for finding in check_metadata([record])]
        [('wrong_signer', ('signer 02',)), ('wrong_sign', ('sign 0071',))]
    """
    names = [_NAME.search(_last_name(record)) for record in records]
    for kind, key in (("wrong_signer", "signer"), ("wrong_sign", "sign")):
        wrong = [p for p, name in enumerate(names) if name and _differs(records[p].get(key), name[key])]
        if wrong:
            yield make_finding(kind, wrong, [f"{key} {names[p][key]}" for p in wrong])  # type: ignore[index]
    yield from _repeated_names(names)
    yield from _frame_rates(records)


def _last_name(record: Mapping) -> str:
    """Return the last part of a clip's name, or the name of its file if it has no such name."""
    clip_id = str(record["clip_id"])
    return clip_id if _NAME.search(clip_id) else str(record.get("keypoint_path", ""))


def _differs(value: object, text: str) -> bool:
    return value is not None and str(value).isdecimal() and int(str(value)) != int(text)


def _repeated_names(names: Sequence[re.Match | None]) -> Iterator[Finding]:
    """Yield clips of one signer with the same recording time."""
    keys = [name and (name["signer"], name["time"]) for name in names]
    counts = Counter(keys)
    repeated = [position for position, key in enumerate(keys) if key and counts[key] > 1]
    if repeated:
        yield make_finding("name_twice", repeated)


def _frame_rates(records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield clips with a frame rate that no camera has, or that few clips of the corpus have."""
    rates = [record.get("fps") for record in records]
    known = Counter(round(float(rate)) for rate in rates if isinstance(rate, (int, float)) and math.isfinite(rate))
    rare = {rate for rate, count in known.items() if count < 0.05 * known.total() and len(known) > 1}
    odd = [
        position
        for position, rate in enumerate(rates)
        if rate is not None
        and (not isinstance(rate, (int, float)) or not _MIN_FPS <= rate <= _MAX_FPS or round(rate) in rare)
    ]
    if odd:
        yield make_finding("fps", odd, [f"{rates[position]!r} frames/s" for position in odd])
