"""Records of array files that are listed, for a dataset without an annotation file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmengine.logging import print_log
from xxhash import xxh3_64_hexdigest

from karsl.datasets.index.cache import private_dir
from karsl.datasets.records import parse_records
from karsl.errors import DataErrors
from karsl.formats.arrays import ArrayScan, scan_arrays
from karsl.io.array_layout import ArrayLayout
from karsl.skeletons import Skeleton


def list_arrays(
    root: str,
    *,
    layout: ArrayLayout | None,
    skeleton: Skeleton | None,
    pattern: str | Sequence[str] | None,
    labels: str | None,
    index_cache: str | None,
    skip_problems: bool,
) -> ArrayScan:
    """List the clips in the array files of a folder, and log what was assumed.

    Args:
        root: Folder.
        layout, skeleton, pattern, labels: See `scan_arrays`; nothing is guessed.
        index_cache: Folder of index files, see `KeypointDataset`.
        skip_problems: Leave out files that cannot be used. False raises an error.

    Raises:
        DataErrors: If files cannot be used and are not skipped, or none can be used.
        KarslError: See `scan_arrays`.
    """
    cache = private_dir(index_cache)
    scan = scan_arrays(
        root,
        layout=layout,
        skeleton=skeleton,
        pattern=pattern,
        labels=labels,
        allow_guess=False,
        index_file=cache and cache / f"{xxh3_64_hexdigest(os.fsencode(os.path.abspath(root)))}.arrays",
    )
    if scan.problems and not (skip_problems and scan.records):
        raise DataErrors(f"data_root={root!r}", scan.problems)
    for note in scan.notes:
        print_log(f"{root}: {note}", logger="current", level=logging.INFO)
    return scan


class ParsedRecords(Sequence[dict]):
    """Records that are made and parsed when they are read, so that a million of them are never in memory at once.

    Args:
        raw: Raw records.
        parse: Returns the record of a raw record.
    """

    def __init__(self, raw: Sequence[dict], parse: Callable[[dict], dict | list[dict]]) -> None:
        self.raw, self.parse = raw, parse

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(parse_records(self.raw[index], self.parse))
        return next(parse_records([self.raw[index]], self.parse))

    def __iter__(self) -> Iterator[dict]:
        return parse_records(self.raw, self.parse)
