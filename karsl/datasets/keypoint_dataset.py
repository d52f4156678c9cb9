"""`KeypointDataset`: clips of keypoints that are listed by an annotation file."""

from __future__ import annotations

import copy
import logging
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset, force_full_init
from mmengine.logging import print_log

from karsl.checks import check_int
from karsl.datasets.batching import compiled
from karsl.datasets.index.cache import open_or_build, private_dir
from karsl.datasets.index.fingerprint import dataset_fingerprint, source_hash, undeclared_method
from karsl.datasets.index.indices import Indices, resolve_indices
from karsl.datasets.index.record_list import RecordList, SharedArray
from karsl.datasets.listing import ParsedRecords, list_arrays
from karsl.datasets.pipeline import Pipeline, output_channels, output_skeleton
from karsl.datasets.records import (
    INDEX_COLUMNS,
    check_labels,
    data_warnings,
    drain,
    filter_records,
    join_prefixes,
    load_annotations,
    locate_filter_files,
    merge_metainfo,
    parse_records,
    summarize,
    unmatched_values,
)
from karsl.datasets.refetch import sample_or_another
from karsl.datasets.state import EpochState, SkipCounter, ensure_initialized
from karsl.datasets.table import make_frame, make_table
from karsl.errors import AnnotationError, ConfigError, pluralize
from karsl.io.annotations import check_records
from karsl.io.array_layout import ArrayLayout
from karsl.io.readahead import FileRanges
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton

if TYPE_CHECKING:
    from karsl.datasets.batching.segment import BatchPipeline, BatchSegment

CACHED_ATTRIBUTES = ("metainfo", "summary", "unmatched_filters", "skipped_problems")
"""Results of parsing that are stored with the records."""

_PARSING_METHODS = ("load_data_list", "parse_data_info", "filter_data")
_SAMPLE_METHODS = frozenset({"prepare_data", "initial_results", "__getitem__", "get_data_info"})


@DATASETS.register_module()
class KeypointDataset(BaseDataset):
    """Clips of keypoints that are listed by an annotation file in OpenMMLab's format.

    A record needs `keypoint_path` for LoadKeypoints, for an archive also `keypoint_key`, for a pack also `frame_start` and
    `num_frames` (see `karsl.io.reader.ClipReader`), and `label` for training. `clip_id`, `split`, `signer` and
    `num_frames` are used by filters and messages. The contract is that of MMEngine's BaseDataset.

    Args:
        ann_file: `{"metainfo": {...}, "data_list": [...]}` as json, relative to `data_root`.
        metainfo: Overrides the class's METAINFO, which overrides the annotation file's. A string that is the path of a
            text file is replaced by its lines.
        data_root: Joined before a relative `ann_file` and relative prefixes.
        data_prefix: Record key to the folder that is joined before its value.
        filter_cfg: Keys `split signers min_frames labels signs subset exclude split_file part`; see
            `karsl.datasets.records.FILTERS`. A split file, or a file of clips to exclude, is relative to `data_root` or, if
            it is not there, to the current folder.
        indices: Subset to keep after filtering: int, slice, sequence or array.
        serialize_data: Store records in one buffer that worker processes share, instead of a list.
        pipeline: Transforms, as configs or callables.
        test_mode: Every clip must give a sample. Random numbers, if any, are those of seed 0 and epoch 0.
        lazy_init: Set only the metainfo until `full_init()`.
        max_refetch: Maximum number of other clips to try in training if the pipeline returns None.
        skeleton: Keypoints of the files: a name, a Skeleton, or a dict as for `get_skeleton`. Overrides the metainfo's
            `skeleton`, which becomes its name.
        on_error: `'raise'`, or `'skip'` to replace a clip that cannot be read by another in training; each is counted and
            logged, see `num_skipped`.
        seed: Makes random numbers a function of (seed, epoch, sample) at once. None waits for `set_epoch`, and draws from
            fresh entropy until then.
        layout: What the numbers of array files are: a skeleton name, columns, or a dict, see
            `karsl.io.array_layout.ArrayLayout`. Overrides the metainfo's `layout`. Without `ann_file`, the array
            files in `data_root` are listed; then this or `skeleton` is required.
        pattern: Files in `data_root` to list, a glob pattern or a regular expression, see
            `karsl.formats.arrays.scan_arrays`.
        labels: Where labels of listed files are: `'folder'`, `'file'`, `'none'`, or a csv, json or npy file. None takes what
            there is.
        index_cache: Folder of index files; `'auto'` is the user's cache folder, None keeps the index in shared memory of
            this run. If the inputs did not change, nothing is parsed.

    Attributes:
        index: The serialized records after `full_init`; absent with `serialize_data=False`.
        summary: Number of clips and signs, and the signers, as text; empty before `full_init` and for a subset.
        unmatched_filters: Values of `filter_cfg` that no clip has, as text.
        skipped_problems: One sentence per problem of the data that was skipped.

    Raises:
        KarslError: If an input is invalid.

    Example:
        >>> import json, tempfile
        >>> ann = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
        >>> data_list = [{"keypoint_path": f"{i}.npz", "keypoint_key": "a", "label": i} for i in range(3)]
        >>> json.dump({"metainfo": {"classes": ["a", "b", "c"]}, "data_list": data_list}, ann); ann.close()
        >>> dataset = KeypointDataset(ann.name, data_root="data")
        >>> len(dataset), dataset.get_data_info(-1)["keypoint_path"], dataset.get_subset([2, 0]).get_cat_ids(0)
        (3, 'data/2.npz', [2])
        >>> stack = os.path.join(tempfile.mkdtemp(), "stack.npy")
        >>> np.save(stack, np.zeros((5, 30, 126), np.float32))
        >>> len(KeypointDataset(data_root=os.path.dirname(stack), layout="lh:21x3, rh:21x3"))
        5
    """

    METAINFO: dict = {}
    UNCACHED_ATTRIBUTES = frozenset(CACHED_ATTRIBUTES) | frozenset(
        ("pipeline", "data_list", "max_refetch", "serialize_data", "index_cache", "index", "_epoch_state", "skips")
    )
    """Attributes that do not shape the records. A subclass adds its own."""
    summary: str = ""
    unmatched_filters: str = ""
    skipped_problems: tuple[str, ...] = ()
    _metainfo: dict
    _fully_initialized: bool
    index: RecordList
    data_bytes = SharedArray("All records one after the other, uint8, read-only, shared by all processes of the node.")
    data_address = SharedArray("End of each record in `data_bytes`, int64 (n,).")

    def __init__(
        self,
        ann_file: str | None = "",
        metainfo: Mapping | Config | None = None,
        data_root: str | None = "",
        data_prefix: dict = {"keypoint_path": ""},  # noqa: B006 - copied by MMEngine
        filter_cfg: dict | None = None,
        indices: Indices | None = None,
        serialize_data: bool = True,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        max_refetch: int = 1000,
        *,
        skeleton: str | Mapping | Skeleton | None = None,
        on_error: str = "raise",
        seed: int | None = None,
        layout: str | Mapping | ArrayLayout | None = None,
        pattern: str | None = None,
        labels: str | None = None,
        index_cache: str | None = "auto",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"{type(self).__name__}: on_error={on_error!r}; expected 'raise' or 'skip'")
        if filter_cfg is not None and not isinstance(filter_cfg, (Mapping, Config)):
            raise ConfigError(f"{type(self).__name__}: filter_cfg={filter_cfg!r}; expected a dict, e.g. dict(split='train')")
        check_int(type(self).__name__, max_refetch=max_refetch)
        self.on_error, self.index_cache = on_error, index_cache
        if skeleton is None and isinstance(metainfo, (Mapping, Config)) and not isinstance(metainfo.get("skeleton"), str):
            skeleton = metainfo.get("skeleton")  # more than a name, which is looked up when it is used
        self._layout = None if layout is None else ArrayLayout.parse(layout)
        self.pattern, self.labels = pattern, None if labels is None else os.fspath(labels)
        if skeleton is None and self._layout is not None:
            skeleton = self._layout.skeleton
        self._skeleton = None if skeleton is None else get_skeleton(skeleton)
        self._epoch_state = EpochState(0 if test_mode and seed is None else seed)
        self.skips = SkipCounter()
        ann_file, data_root = (None if path is None else os.fspath(path) for path in (ann_file, data_root))
        super().__init__(
            ann_file, metainfo, data_root, data_prefix, locate_filter_files(filter_cfg, data_root), indices, serialize_data,
            pipeline=[], test_mode=test_mode, lazy_init=True, max_refetch=max_refetch,
        )  # fmt: skip
        self._metainfo_keys = frozenset(metainfo or ())
        if self._skeleton is not None:
            self._metainfo["skeleton"] = self._skeleton.name
        self.pipeline = Pipeline(pipeline)
        if self.pipeline.transforms:
            compiled()  # imported before workers are forked, so that they share its pages
        if not lazy_init:
            self.full_init()

    # ---- records ----

    def full_init(self) -> None:
        """Load, filter, apply `indices` and serialize, once, or map the index of an earlier start."""
        if self._fully_initialized:
            return
        if self.serialize_data:
            self.index, meta = open_or_build(
                self._input_fingerprint(),
                lambda: (drain(self._parse()), {name: getattr(self, name) for name in CACHED_ATTRIBUTES}),
                columns=INDEX_COLUMNS,
                cache=self.index_cache,
            )
            self._metainfo, self.summary, self.unmatched_filters, self.skipped_problems = (
                meta[name] for name in CACHED_ATTRIBUTES
            )
            self.data_list = []
        else:
            self.data_list = list(self._parse())
        self._fully_initialized = True
        self._check_layout()
        for text in data_warnings(self.unmatched_filters, self.skipped_problems):  # even if another process parsed
            print_log(f"{self.ann_file or self.data_root}: {text}", logger="current", level=logging.WARNING)

    def _check_layout(self) -> None:
        layout, skeleton = self.layout, self.skeleton
        if layout is not None and skeleton is not None and layout.skeleton != skeleton:
            raise ConfigError(
                f"{self._source()}: layout of skeleton {layout.skeleton.name!r}, but skeleton={skeleton.name!r}; leave out "
                "the skeleton, and map keypoints with the transform SelectKeypoints"
            )

    def _parse(self) -> Sequence[dict]:
        self.data_list = self.load_data_list()  # type: ignore[assignment]  # MMEngine annotates a list
        if isinstance(self.data_list, list):  # others are made when they are read, of values that were checked
            check_records(self.data_list, self._source())
        self.data_list = self.filter_data()  # type: ignore[assignment]
        records = self.data_list if self._indices is None else self._get_unserialized_subset(self._indices)
        self.summary = summarize(records)
        check_labels(records, self._metainfo.get("classes"), source=self._source())
        return records

    def _input_fingerprint(self) -> str | None:
        """Return the fingerprint of everything that shapes the records, None if it is unknown."""
        if self.index_cache is None or "://" in (self.ann_file or ""):
            return None  # a remote file may change unnoticed
        if method := undeclared_method(type(self), _PARSING_METHODS, "index_inputs"):
            text = f"{method} may read any file, so the index is kept for this run only; return the files in index_inputs()"
            print_log(text, logger="current", level=logging.INFO)
            return None
        code = source_hash(type(self), _PARSING_METHODS)
        state = {name: value for name, value in vars(self).items() if name not in self.UNCACHED_ATTRIBUTES}
        return dataset_fingerprint(code, state, self.index_inputs(), stat_cache=private_dir(self.index_cache))

    def index_inputs(self) -> list[str]:
        """Return the files and folders that shape the records, besides those that attributes name.

        A subclass that overrides `load_data_list`, `parse_data_info` or `filter_data` overrides this too, if only with
        `return []`. Without it, a later start parses again.
        """
        root = self._array_root()
        return [] if root is None else [root]

    def load_data_list(self) -> Sequence[dict]:
        """Read the annotation file, or list array files; complete the metainfo and parse every record.

        Raises:
            AnnotationError, FileNotFoundError, TypeError: See `load_annotations` and `parse_records`.
            KarslError: See `scan_arrays`.
        """
        root = self._array_root()
        if root is not None:
            records = ParsedRecords(self._list_arrays(root), self.parse_data_info)
            return records if type(self).parse_data_info is KeypointDataset.parse_data_info else list(records)
        annotations = load_annotations(self.ann_file, owner=type(self).__name__)
        for key, value in annotations["metainfo"].items():
            self._metainfo.setdefault(key, value)
        if (layout := self.layout) is not None:
            self._metainfo.setdefault("skeleton", describe_skeleton(layout.skeleton))
        return list(parse_records(annotations["data_list"], self.parse_data_info))

    def _array_root(self) -> str | None:
        """Return the folder of array files to list; None if there is an annotation file."""
        return None if self.ann_file else self.data_prefix.get("keypoint_path") or None

    def _list_arrays(self, root: str) -> Sequence[dict]:
        """Return a record per clip in array files, and complete the metainfo."""
        options = dict(pattern=self.pattern, labels=self.labels, index_cache=self.index_cache)
        scan = list_arrays(
            root, layout=self._layout, skeleton=self._skeleton, skip_problems=self.on_error == "skip", **options
        )
        self.skipped_problems = scan.problems
        for key, value in scan.metainfo.items():
            self._metainfo.setdefault(key, value)
        return scan.records

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Join every prefix before its key. AnnotationError if the record lacks the key."""
        return join_prefixes(raw_data_info, self.data_prefix, where=self.ann_file)

    def filter_data(self) -> Sequence[dict]:
        """Return the records that pass `filter_cfg`, and set `unmatched_filters`."""
        records = filter_records(self.data_list, self.filter_cfg, source=self._source())
        self.unmatched_filters = unmatched_values(records, self.filter_cfg, self.data_list)
        return records

    def _source(self) -> str:
        return f"ann_file={self.ann_file!r}" if self.ann_file else f"data_root={self.data_root!r}"

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | Config | None = None) -> dict:
        return merge_metainfo(cls.METAINFO, metainfo)

    @property
    def skeleton(self) -> Skeleton | None:
        """Keypoints of the files: the argument, else the metainfo's `skeleton`, else None."""
        if self._skeleton is None and (name := self._metainfo.get("skeleton")) is not None:
            if not self._fully_initialized:  # the annotation file may name another one
                return get_skeleton(name)
            self._skeleton = get_skeleton(name)
        return self._skeleton

    @property
    def layout(self) -> ArrayLayout | None:
        """Layout of array files: the argument, else the metainfo's `layout`, else None."""
        if self._layout is None and (config := self._metainfo.get("layout")) is not None:
            layout = ArrayLayout.parse(config)
            if not self._fully_initialized:  # the annotation file may have another one
                return layout
            self._layout = layout
        return self._layout

    @property
    def _stored_records(self) -> RecordList | list[dict]:
        return self.index if self.serialize_data else self.data_list

    def column(self, name: str) -> np.ndarray:
        """Return one number per record, (n,), read-only. KeyError if it is not stored, see `RecordList.column`."""
        return self.index.column(name)

    @force_full_init
    def to_arrow(self, columns: Sequence[str] | None = None) -> Any:
        """Return the records as `pyarrow.Table`, one row per record, with the name of the class as `gloss`.

        Args:
            columns: Columns to return. None returns every key of the records. Columns of the index, such as `label` and
                `num_frames`, are read without decoding records.

        Raises:
            ConfigError: If no record has one of the columns.
            MissingExtraError: If pyarrow is not installed.
        """
        classes = self._metainfo.get("classes")
        return make_table(self._stored_records, classes if isinstance(classes, (list, tuple)) else (), columns)

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """Return the records as `pandas.DataFrame`, see `to_arrow`. MissingExtraError without pandas or pyarrow."""
        return make_frame(lambda: self.to_arrow(columns))

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return a private copy of one record, with `sample_idx`. IndexError if `idx` is not in [-n, n)."""
        try:
            record = self.index[idx] if self.serialize_data else copy.deepcopy(self.data_list[idx])
        except IndexError:
            raise IndexError(f"index {idx} is out of range for a dataset of {pluralize(len(self), 'record')}") from None
        index = idx if type(idx) is int else operator.index(idx)
        record["sample_idx"] = index if index >= 0 else index + len(self)
        return record

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return `[label]` of a record, for MMEngine's ClassBalancedDataset."""
        if self.serialize_data and self._fully_initialized and "label" in self.index.columns:
            return [int(self.column("label")[idx])]
        record = self.get_data_info(idx)
        if "label" not in record:
            raise AnnotationError(
                f"{self._source()}: clip {record.get('clip_id', idx)!r} has no 'label', which is needed here"
            )
        return [int(record["label"])]

    def __repr__(self) -> str:
        source = f"{type(self).__name__}({self._source()})"
        if not self._fully_initialized:
            return f"{source}: not initialized"
        classes = self._metainfo.get("classes")
        counts = [pluralize(len(self), "clip"), *([pluralize(len(classes), "class")] if classes else [])]
        return f"{source}: {', '.join([*counts, *([self.skeleton.name] if self.skeleton else [])])}"

    @force_full_init
    def __len__(self) -> int:
        return len(self._stored_records)

    def file_ranges(self, indices: np.ndarray) -> list[FileRanges]:
        """Return the byte ranges of clips in packs and mapped files, given indices int64 (N,) in [0, n)."""
        if not (self._fully_initialized and self.serialize_data):
            return []
        return self.index.file_ranges(indices, 0 if self.skeleton is None else self.skeleton.num_keypoints)

    @force_full_init
    def get_subset_(self, indices: Indices) -> None:
        """Reduce this dataset to some records: int (first n, last -n), slice, sequence or array; pages stay shared."""
        if self.serialize_data:
            self.index = self.index.select(indices)
        else:
            self.data_list = self._get_unserialized_subset(indices)
        self.summary = ""

    @force_full_init
    def get_subset(self, indices: Indices) -> KeypointDataset:
        """Return a dataset of some records, on the same pages, with its own pipeline, metainfo and epoch."""
        subset = self._copy_without_annotation({})  # MMEngine's default argument is shared by all calls
        subset.data_list = self.data_list
        subset.get_subset_(indices)
        subset.data_list = copy.deepcopy(subset.data_list)
        return subset

    def with_pipeline(self, pipeline: Sequence[dict | Callable]) -> KeypointDataset:
        """Return a dataset of the same records with another pipeline, its own epoch and its own count of skipped clips."""
        self.full_init()
        other = copy.copy(self)
        other.pipeline, other.skips, other._epoch_state = Pipeline(pipeline), SkipCounter(), copy.deepcopy(self._epoch_state)
        return other

    def _get_unserialized_subset(self, indices: Indices) -> list[dict]:
        return [self.data_list[i] for i in resolve_indices(indices, len(self.data_list))]

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Move `data_list` into the buffer, for subclasses that override `full_init` in MMEngine's way."""
        self.index = RecordList.build(self.data_list, columns=INDEX_COLUMNS)
        self.data_list = []
        return self.index.data_bytes, self.index.data_address

    # ---- samples and batches ----

    def __getitem__(self, idx: int) -> Any:
        """Return the sample at `idx`, or in training that of another clip, see `sample_or_another`."""
        ensure_initialized(self)
        return sample_or_another(self, idx)

    def prepare_data(self, idx: int) -> Any:
        """Return the record at `idx` after the pipeline, None if the pipeline returns None."""
        return self.pipeline(self.initial_results(idx))

    def initial_results(self, index: int, rng_key: np.uint64 | None = None) -> dict:
        """Return the input of the pipeline: the record, a random key, by default that of the sample, the skeleton."""
        results = self.get_data_info(index)
        if getattr(self.pipeline, "transforms", True):
            results["sample_key"] = self._epoch_state.key(results["sample_idx"]) if rng_key is None else rng_key
            if self.skeleton is not None:
                results["skeleton"] = self.skeleton
            if self.layout is not None:
                results["layout"] = self.layout
        return results

    def get_sample(self, idx: int, *, rng_key: np.uint64) -> Any:
        """Return the record at `idx` after the pipeline, augmented by a random key other than its own."""
        return self.pipeline({**self.initial_results(idx, rng_key), "sample_key": rng_key})

    @force_full_init
    def stages(self, idx: int) -> list[tuple[str, Any]]:
        """Return the record and the results after each transform, see `Pipeline.stages`."""
        return self.pipeline.stages(self.initial_results(idx))

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch of the random numbers; running workers see it. `seed` is used if the dataset has none yet."""
        self._epoch_state.set_epoch(epoch, seed=seed)

    def sample_keys(self, indices: np.ndarray) -> np.ndarray:
        """Return the random keys of some samples, uint64 (N,)."""
        return self._epoch_state.keys(indices)

    @property
    def num_skipped(self) -> int:
        """Clips replaced by others so far, over all workers."""
        return self.skips.count

    @property
    def output_skeleton(self) -> Skeleton | None:
        """Keypoints after the pipeline, as far as its transforms declare them, see `KeypointTransform`."""
        return None if self.skeleton is None else output_skeleton(self.pipeline, self.skeleton)

    @property
    def output_channels(self) -> int:
        """C after the pipeline, as far as its transforms declare it."""
        return output_channels(self.pipeline)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return N samples, for PyTorch's DataLoader; `keypoint_collate` accepts them as one finished batch.

        The transforms that support batching run in one compiled pass, equal to `dataset[i]` within 1e-6. Without numba, or
        if a subclass overrides how a sample is made, samples are made one by one.
        """
        array, length = np.array(indices), len(self)
        if array.dtype != np.int64 or array.ndim != 1:
            array = np.array([operator.index(i) for i in indices], np.int64)
        is_valid = bool(len(array))
        if is_valid and array.view(np.uint64).max() >= length:  # one is negative, or outside
            array = np.where(array < 0, array + length, array)
            is_valid = array.min() >= 0 and array.max() < length
        pipeline, skeleton = self._batch_pipeline() if is_valid else None, self.skeleton
        batching = None if pipeline is None else compiled()  # an index alone does without numba's 100 MiB
        if pipeline is None or batching is None or skeleton is None:
            return [self[i] for i in indices]
        keys = self.sample_keys(array)  # now, not when the batch is collated
        make_segment = partial(pipeline.segment, skeleton, self._stored_records, array, rng_keys=keys, layout=self.layout)
        functions = {"initial_results": self.initial_results, "get_sample": self.__getitem__}
        return batching.make_batch(array, make_segment, pipeline=self.pipeline, **functions)

    def batch_segment(
        self, indices: np.ndarray, *, rng_keys: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> BatchSegment | None:
        """Return clips as a segment of a batch, None if samples must be made one by one; see `BatchPipeline.segment`."""
        pipeline, skeleton = self._batch_pipeline(), self.skeleton
        if pipeline is None or skeleton is None:
            return None
        keys = self.sample_keys(indices) if rng_keys is None else rng_keys
        return pipeline.segment(skeleton, self._stored_records, indices, rng_keys=keys, rows=rows, layout=self.layout)

    def _batch_pipeline(self) -> BatchPipeline | None:
        """Return the transforms divided for batches, None if samples must be made one by one."""
        overridden = any(getattr(type(self), name) is not getattr(KeypointDataset, name) for name in _SAMPLE_METHODS)
        if overridden or not _SAMPLE_METHODS.isdisjoint(vars(self)) or type(self.pipeline) is not Pipeline:
            return None
        batching = None if self.skeleton is None else compiled()
        return None if batching is None else batching.BatchPipeline.from_transforms(self.pipeline.transforms)
