"""Rows of arrays that are not keypoints, such as features or token ids, through the machinery of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karsl.datasets.streaming.arrays import ArrayShards
from karsl.errors import ConfigError, CorruptRecordError, DataErrors, KarslError
from karsl.formats.array_clips import ArrayRecords, ClipArray, apply_groups, is_label_array, strip_suffix
from karsl.formats.array_labels import assign_labels
from karsl.formats.arrays import list_array_files
from karsl.io.array_files import ArrayReader, read_offsets
from karsl.io.file_index import FileIndex, IndexedFile
from karsl.io.npz import Member
from karsl.io.remote import is_remote
from karsl.io.remote_cache import FileCache
from karsl.registry import DATASETS

RAW = "raw"
"""Layout of arrays that are not keypoints."""


class LoadRow:
    """Read the row of a record as the tensor `inputs`; the first step of the pipeline of `ArrayDataset`."""

    def __init__(self) -> None:
        self._reader = ArrayReader()

    def __call__(self, results: dict) -> dict:
        path, key, index = results["keypoint_path"], results.get("keypoint_key"), results.get("keypoint_index")
        reader = self._reader
        row = reader.read(path, key) if index is None else reader.read_clip(path, key, index, results["ndim"])
        return {**results, "inputs": torch.from_numpy(np.array(row))}

    def close(self) -> None:
        """Close all memory maps; they are opened again when a row is read."""
        self._reader.close()


def keep_inputs(results: dict) -> dict:
    """Return `inputs`, `label` and `sample_idx`; the last step of a pipeline without others."""
    return {key: results[key] for key in ("inputs", "label", "sample_idx") if key in results}


@DATASETS.register_module()
class ArrayDataset(ArrayShards):
    """Rows of arrays of any shape and dtype: each row of the first axis is a sample, also of ragged arrays with `lengths`.

    Files, patterns, labels, index, samplers and streams are those of clips, without keypoints and their transforms.
    A folder of `.npy` files is already what a pack is: rows are read in place through memory maps.

    Args:
        data_root: Folder or file, see `ArrayShards`. Remote files are for `StreamDataset(..., layout='raw')`.
        pipeline: Callables or transforms, which receive the record with the tensor `inputs`. Without them a sample has
            `inputs`, `sample_idx` and, if there are labels, `label`.
        stacked: False makes each array one sample, such as the features (T, C) of one video.
        pattern, labels: See `karsl.formats.arrays.scan_arrays`.
        cache: Cache of remote files.
        options: Other arguments of `KeypointDataset`.

    Raises:
        ConfigError: If `data_root` is remote and there is no cache.
        DataErrors: If rows differ in shape or dtype, or files cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "tokens.npy"
        >>> np.save(path, np.arange(12).reshape(4, 3))
        >>> dataset = ArrayDataset(path, labels="none")
        >>> len(dataset), dataset[1]
        (4, {'inputs': tensor([3, 4, 5]), 'sample_idx': 1})
    """

    def __init__(
        self,
        data_root: str | Path | Sequence[str],
        pipeline: Sequence[dict | Callable] = (),
        *,
        stacked: bool = True,
        pattern: str | None = None,
        labels: str | None = None,
        cache: FileCache | None = None,
        **options: Any,
    ) -> None:
        source = [str(data_root)] if isinstance(data_root, (str, Path)) else list(data_root)
        if cache is None and is_remote(source[0]):
            raise ConfigError(f"ArrayDataset: {source[0]} is remote; use StreamDataset({source[0]!r}, layout='raw')")
        self.stacked = stacked
        steps = [LoadRow(), *(pipeline or (keep_inputs,))]
        super().__init__(source, steps, cache=cache or FileCache(), pattern=pattern, labels=labels, **options)
        self.full_init()

    def _list_arrays(self, root: str) -> Sequence[dict]:
        folder, names, _, problems, groups = list_array_files(Path(root), self.pattern)
        files = FileIndex.read(folder, names).files
        problems += [problem for file in files for problem in file.problems]
        arrays: list[ClipArray] = []
        kinds: dict[str, str] = {}
        for file, member in ((owner, member) for owner in files for member in owner.members):
            if is_label_array(strip_suffix(file.name).rpartition("/")[2] if member.key is None else str(member.key)):
                continue
            try:
                array = _to_rows(folder, file, member) if self.stacked else ClipArray(file.name, member.key, None, 1)
            except KarslError as error:
                problems.append(str(error))
                continue
            apply_groups(array, groups.get(file.name, {}))
            arrays.append(array)
            kinds.setdefault(f"{member.dtype} {'ragged' if array.lengths is not None else member.shape[1:]}", file.name)
        if len(kinds) > 1:
            problems.append(f"rows of different kinds, {kinds}; select files of one kind by pattern=")
        if problems and (self.on_error == "raise" or not arrays):
            raise DataErrors(f"data_root={root!r}", problems)
        self.skipped_problems = tuple(problems)
        keys = {file.name: tuple(member.key for member in file.members) for file in files}
        _, found = assign_labels(folder, arrays, labels=self.labels, keys=keys, has_pattern=bool(groups))
        for key, value in {"dataset_name": folder.resolve().name, **found}.items():
            self._metainfo.setdefault(key, value)
        return ArrayRecords(arrays)


def _to_rows(folder: Path, file: IndexedFile, member: Member) -> ClipArray:
    """Return the rows of an array.

    Raises:
        CorruptRecordError: If it has no axis of rows, or lengths that do not fit.
    """
    if not member.shape:
        raise CorruptRecordError(f"{file.name}: a single number and no rows; move it away, or select files by pattern=")
    offsets = read_offsets(folder / file.name, member.key, tuple(other.key for other in file.members))
    if offsets is None:
        return ClipArray(file.name, member.key, member.shape[0], 1, constant={"ndim": len(member.shape) - 1})
    is_joined = offsets[-1] == member.shape[0]
    if not is_joined and len(offsets) - 1 != member.shape[0]:
        raise CorruptRecordError(f"{file.name}: lengths with a sum of {offsets[-1]} for {member.shape}; export them again")
    ndim = len(member.shape) - (not is_joined)
    return ClipArray(file.name, member.key, len(offsets) - 1, 1, lengths=np.diff(offsets), constant={"ndim": ndim})
