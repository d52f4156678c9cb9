"""MMEngine's BaseDataset for clips: the same contract, its failing edges mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.fileio import join_path

from karsl.datasets.batched import batching_module
from karsl.datasets.epoch import EpochState, check_whole
from karsl.datasets.filters import keep_records
from karsl.datasets.pipeline import Pipeline, output_channels, output_skeleton
from karsl.datasets.sampled import SampledDataset
from karsl.datasets.skipping import SkipReport
from karsl.datasets.subset import Indices
from karsl.errors import AnnotationError, ConfigError
from karsl.io.annotations import check_labels, load_annotations, merge_metainfo
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton, get_skeleton


@DATASETS.register_module()
class KeypointDataset(SampledDataset):
    """Clips of keypoints listed by an annotation file in OpenMMLab's format.

    A record needs `keypoint_path` for LoadKeypoints, of an archive also `keypoint_key`, of a pack `frame_start` and
    `num_frames` (see `karsl.io.reader.ClipReader`), and `label` to train; `clip_id`, `split`, `signer` and `num_frames`
    serve filters and messages. Everything that MMEngine's BaseDataset promises holds.

    Args:
        ann_file: `{"metainfo": {...}, "data_list": [...]}` as json, relative to `data_root`.
        metainfo: Takes precedence over the class's METAINFO, which does so over the annotation file's. A string that
            is the path of a text file stands for its lines.
        data_root: Joined before a relative `ann_file` and relative prefixes.
        data_prefix: Record key to the folder that is joined before its value.
        filter_cfg: Keys `split signers min_frames labels signs subset`; see `karsl.datasets.filters`.
        indices: Keep a part after filtering: int, slice, sequence or array.
        serialize_data: Keep records in one buffer that worker processes share, instead of a list.
        pipeline: Transforms, as configs or callables.
        test_mode: Forbids that a pipeline gives None; draws, if any, are those of seed 0 and epoch 0.
        lazy_init: Only metainfo is set until `full_init()`.
        max_refetch: How many other clips to try in training when the pipeline gives None.
        skeleton: What the keypoints on disk are: a name, a Skeleton, or a dict as `get_skeleton` takes it. Goes before
            metainfo's `skeleton`, and stands there by its name.
        on_error: `'raise'`, or `'skip'` to replace a clip that cannot be read by another in training; each is
            counted and reported, see `num_skipped`.
        seed: Makes draws a function of (seed, epoch, sample) at once; None waits for `set_epoch`, and draws fresh
            numbers until then.
        index_cache: Folder of index files; `'auto'` is the user's cache folder, None keeps the index in shared memory of
            this run. A start whose inputs did not change parses nothing.

    Raises:
        KarslError: With one sentence, for anything that is wrong with the input.

    Example:
        >>> import json, tempfile
        >>> ann = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
        >>> data_list = [{"keypoint_path": f"{i}.npz", "keypoint_key": "a", "label": i} for i in range(3)]
        >>> json.dump({"metainfo": {"classes": ["a", "b", "c"]}, "data_list": data_list}, ann); ann.close()
        >>> dataset = KeypointDataset(ann.name, data_root="data")
        >>> len(dataset), dataset.get_data_info(-1)["keypoint_path"], dataset.get_subset([2, 0]).get_cat_ids(0)
        (3, 'data/2.npz', [2])
    """

    METAINFO: dict = {}

    def __init__(
        self,
        ann_file: str | None = "",
        metainfo: Mapping | Config | None = None,
        data_root: str | None = "",
        data_prefix: dict = {"keypoint_path": ""},  # noqa: B006 - copied below, as in MMEngine
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
        index_cache: str | None = "auto",
    ) -> None:
        if on_error not in ("raise", "skip"):
            raise ConfigError(f"{type(self).__name__}: on_error={on_error!r}; expected 'raise' or 'skip'")
        if not isinstance(filter_cfg, (Mapping, Config, NoneType)):
            raise ConfigError(f"{type(self).__name__}: filter_cfg={filter_cfg!r}; expected a dict, e.g. dict(split='train')")
        check_whole(type(self).__name__, max_refetch=max_refetch)
        self.on_error, self.index_cache = on_error, index_cache
        self._skeleton = _chosen_skeleton(skeleton, metainfo)
        self._epoch_state = EpochState(0 if test_mode and seed is None else seed)
        self._skips = SkipReport()
        super().__init__(
            ann_file=os.fspath(ann_file) if ann_file is not None else None,
            metainfo=metainfo,
            data_root=os.fspath(data_root) if data_root is not None else None,
            data_prefix=data_prefix,
            filter_cfg=filter_cfg,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=[],
            test_mode=test_mode,
            lazy_init=True,
            max_refetch=max_refetch,
        )
        self._given_metainfo = frozenset(metainfo or ())
        if self._skeleton is not None:
            self._metainfo["skeleton"] = self._skeleton.name
        self.pipeline = Pipeline(pipeline)
        if self.pipeline.transforms:
            compiled()  # before workers are forked, so that they share its pages
        if not lazy_init:
            self.full_init()

    def load_data_list(self) -> list[dict]:
        """Read the annotation file, complete metainfo from it and parse every record.

        Raises:
            FileNotFoundError: There is no such file.
            TypeError: No `ann_file`, or its content is not a dict, or a record parses to something else.
            AnnotationError: A key of the format is missing, or the file is not readable.
        """
        annotations = load_annotations(self.ann_file, owner=type(self).__name__)
        for key, value in annotations["metainfo"].items():
            self._metainfo.setdefault(key, value)
        return list(self._parsed(annotations["data_list"]))

    def _parsed(self, raw_records: Sequence[dict]) -> Iterator[dict]:
        for place, raw in enumerate(raw_records):
            parsed = self.parse_data_info(raw)
            for record in parsed if isinstance(parsed, list) else [parsed]:
                if not isinstance(record, dict):
                    raise TypeError(f"parse_data_info gave {type(record)} for record {place}; expected dict or list of dict")
                if "frame_start" in record:
                    record["pack"] = record["keypoint_path"]
                if isinstance(label := record.get("label"), (str, float, np.number)) and _is_whole(label):
                    record["label"] = int(label)
                yield record

    def parse_data_info(self, raw_data_info: dict) -> dict | list[dict]:
        """Join every prefix before its key.

        Raises:
            AnnotationError: The record lacks the key of a prefix.
        """
        for key, prefix in self.data_prefix.items():
            if key not in raw_data_info:
                raise AnnotationError(
                    f"{self.ann_file}: a record has no {key!r}, which data_prefix names; it has {sorted(raw_data_info)}"
                )
            raw_data_info[key] = self._join(prefix, raw_data_info[key])
        return raw_data_info

    @staticmethod
    @lru_cache(maxsize=1024)
    def _join(prefix: str, path: str) -> str:
        return join_path(prefix, path) if "://" in prefix else os.path.join(prefix, path)

    def filter_data(self) -> list[dict]:
        """The records that `filter_cfg` keeps."""
        return keep_records(self.data_list, self.filter_cfg, source=self._source())

    def _parse(self) -> list[dict]:
        records = super()._parse()
        check_labels(records, self._metainfo.get("classes"), source=self._source())
        return records

    def _source(self) -> str:
        return f"ann_file={self.ann_file!r}" if self.ann_file else f"data_root={self.data_root!r}"

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | Config | None = None) -> dict:
        return merge_metainfo(cls.METAINFO, metainfo)

    @property
    def skeleton(self) -> Skeleton | None:
        """What the keypoints are: the argument, else metainfo's `skeleton`, else None."""
        named = self._metainfo.get("skeleton")
        return self._skeleton or (None if named is None else get_skeleton(named))

    @property
    def output_skeleton(self) -> Skeleton | None:
        """What the keypoints are at the end of the pipeline, as far as its steps say, see `KeypointTransform`."""
        return None if self.skeleton is None else output_skeleton(self.pipeline, self.skeleton)

    @property
    def output_channels(self) -> int:
        """C at the end of the pipeline, as far as its steps say."""
        return output_channels(self.pipeline)

    def get_cat_ids(self, idx: int) -> list[int]:
        """`[label]` of a record, which ClassBalancedDataset asks for."""
        if self.serialize_data and self._fully_initialized and "label" in self._index.columns:
            return [int(self.column("label")[idx])]
        return [int(self.get_data_info(idx)["label"])]


def _chosen_skeleton(given: str | Mapping | Skeleton | None, metainfo: Mapping | Config | None) -> Skeleton | None:
    """The argument, or metainfo's where that is more than a name; a name in metainfo is looked up when it is needed."""
    if given is None and isinstance(metainfo, (Mapping, Config)):
        given = metainfo.get("skeleton")
        given = None if isinstance(given, str) else given
    return None if given is None else get_skeleton(given)


def _is_whole(label: Any) -> bool:
    """Whether a label is a number in other clothes: 3.0, as pandas writes it, or '3'."""
    return label.isdecimal() if isinstance(label, str) else float(label).is_integer()
