"""`KArSLDataset`: KArSL, from its folders or from an annotation file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from karsl.datasets.index.cache import private_dir
from karsl.datasets.index.indices import Indices
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.records import FILTERS, Filter, filter_records, parse_records, unmatched_values
from karsl.errors import AnnotationError, ConfigError, pluralize
from karsl.formats.karsl.layout import signs_of_subset
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.io import class_metainfo, find_label_table, read_label_table
from karsl.io.array_layout import ArrayLayout
from karsl.io.labels import LabelTable
from karsl.registry import DATASETS
from karsl.skeletons import Skeleton, get_skeleton

_SIGN_KEYS = ("signs", "subset")

FILTERS["subset"] = Filter("sign", values=lambda name: set(signs_of_subset(name)), report="count")


@DATASETS.register_module()
class KArSLDataset(KeypointDataset):
    """KArSL, KFUPM Arabic Sign Language: isolated signs as MediaPipe keypoints.

    What: 502 signs (numbers, letters, health, verbs, family, ...), 3 signers, nominally 50 clips each: 75,300; copies
        differ, so this class does not rely on it. 15-116 frames per clip.
    Format: `<data_root>/<signer>-<split>/<sign>.npz`, one array (T, 184, 4) per clip: x, y, z, visibility of 6 arm points,
        136 face points, right hand, left hand. Missing groups are zeros. Or one file per clip:
        `<signer>-<split>/<sign>/<clip>.npz`, `.npy` or `.pt`. A pack is read with `ann_file='annotations.json'`.
    Classes: the signs of the corpus, ascending, relabeled 0..K-1. `filter_cfg` with `signs` or `subset` restricts the
        classes, whatever signer or split is selected. Glosses are read from a label table if there is one.
    Splits: the shipped folders `train` and `test` share signers and sessions. To test on an unseen signer, train on
        `split='train'` of two signers and test on all clips of the third. There is no official validation split.
    Citation: Sidig, Luqman, Mahmoud, Mohandes, KArSL: Arabic Sign Language Database, ACM TALLIP 20(1), art. 14, 2021,
        https://doi.org/10.1145/3423420. No license is stated; the data is not part of this package.

    Args:
        ann_file: Annotation file of `karsl prepare` or `karsl pack`. If empty, `data_root` is scanned, which reads the
            headers of the files that changed since the last scan.
        data_root: Root folder, see Format.
        filter_cfg: `split`, `signers`, `signs`, `subset` ('karsl100', 'karsl190', 'karsl502'), `min_frames`,
            or `split_file` and `part`.
        layout, pattern, labels: As in KeypointDataset. With one of them, array files of any arrangement are listed instead
            of these folders.
        skeleton: As in KeypointDataset. None takes that of the annotation file.
        label_table: csv, xlsx or json file, relative to `data_root`. None searches for the usual names there.

    The other arguments are those of KeypointDataset.

    Raises:
        DatasetNotFoundError: If there is no such folder, or a filter leaves nothing.
        DataErrors: If a scan finds unusable files, all at once. With `on_error='skip'` they are skipped, see
            `skipped_problems`.
    """

    METAINFO = {"dataset_name": "karsl", "skeleton": "karsl_184"}

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
        label_table: str | None = None,
    ) -> None:
        self.label_table = label_table
        super().__init__(
            ann_file, metainfo, data_root, data_prefix, filter_cfg, indices, serialize_data,
            pipeline, test_mode, lazy_init, max_refetch,
            skeleton=skeleton, on_error=on_error, seed=seed,
            layout=layout, pattern=pattern, labels=labels, index_cache=index_cache,
        )  # fmt: skip

    def load_data_list(self) -> Sequence[dict]:
        """Return the records of the annotation file, or of the folders."""
        if self.ann_file:
            return self._load_annotations()
        if self._lists_arrays():
            return super().load_data_list()
        root = self.data_prefix.get("keypoint_path")
        if not root:
            raise ConfigError(
                "KArSLDataset needs data_root, the folder that contains '01-train/0001.npz', or ann_file; "
                "see 'karsl prepare --help'"
            )
        table = self._label_table()
        skeleton = self.skeleton or get_skeleton("karsl_184")
        scan = scan_npz_folders(root, skeleton=skeleton, label_table=table, cache_dir=private_dir(self.index_cache))
        if scan.problems and (self.on_error == "raise" or not scan.records):
            raise scan.error(root, f"data_root={root!r}")
        self.skipped_problems = tuple(scan.problems)
        for note in scan.notes:
            print_log(f"{root}: {note}", logger="current", level=logging.WARNING)
        for key, value in class_metainfo(scan.signs, table).items():
            self._metainfo.setdefault(key, value)
        return list(parse_records(scan.records, self.parse_data_info))

    def _lists_arrays(self) -> bool:
        """Return True if the files in `data_root` have another arrangement than KArSL's folders."""
        return self._layout is not None or self.pattern is not None or self.labels is not None

    def _load_annotations(self) -> Sequence[dict]:
        """Read the annotation file. Its skeleton overrides the class default, but not an argument."""
        requested = self._skeleton is not None or "skeleton" in self._metainfo_keys
        default = None if requested else self._metainfo.pop("skeleton", None)
        records = super().load_data_list()
        if default is not None and self._metainfo.get("skeleton") is None:
            self._metainfo["skeleton"] = default
        return records

    def index_inputs(self) -> list[str]:
        """Return the folder of the clips and the label table, if there is no annotation file."""
        if self.ann_file or self._lists_arrays():
            return super().index_inputs()
        table = self._label_table_path()
        return [path for path in (self.data_prefix.get("keypoint_path"), table and str(table)) if path]

    def filter_data(self) -> Sequence[dict]:
        """Return the records that pass `filter_cfg`, labeled 0..K-1 by the signs that `signs` or `subset` select."""
        if not all("sign" in r for r in self.data_list):
            return super().filter_data()  # a corpus without SignIDs keeps its labels
        by_sign = {k: v for k, v in (self.filter_cfg or {}).items() if k in _SIGN_KEYS}
        others = {k: v for k, v in (self.filter_cfg or {}).items() if k not in _SIGN_KEYS}
        self._select_classes(by_sign)
        labels = {sign: i for i, sign in enumerate(self._metainfo["signs"])}
        records = filter_records(self.data_list, by_sign, source=self._source())
        unknown = sorted({r["sign"] for r in records} - labels.keys())
        if unknown:
            raise AnnotationError(
                f"{self._source()}: records of signs {unknown[:5]} but metainfo 'signs' has {len(labels)} others; "
                "run 'karsl prepare' again"
            )
        labeled = [{**r, "label": labels[r["sign"]]} for r in records]
        records = filter_records(labeled, others, source=self._source())
        self.unmatched_filters = unmatched_values(records, self.filter_cfg, self.data_list)
        return records

    def _select_classes(self, by_sign: Mapping) -> None:
        """Restrict the metainfo's signs and glosses to the selected signs."""
        signs = tuple(self._metainfo.get("signs") or sorted({r["sign"] for r in self.data_list}))
        entries = [{"sign": sign, "number": i} for i, sign in enumerate(signs)]
        selected = [entry["number"] for entry in filter_records(entries, by_sign, source=self._source())]
        for key in ("classes", "classes_ar"):
            names: Sequence[str] | None = self._metainfo.get(key)
            if names is None or (key in self._metainfo_keys and len(names) == len(selected)):
                continue
            if len(names) != len(signs):
                raise ConfigError(
                    f"metainfo {key!r} has {pluralize(len(names), 'name')} for "
                    f"{pluralize(len(selected), 'sign')}; give one per sign"
                )
            self._metainfo[key] = tuple(names[i] for i in selected)
        self._metainfo["signs"] = tuple(signs[i] for i in selected)

    def _label_table(self) -> LabelTable | None:
        path = self._label_table_path()
        return read_label_table(path) if path else None

    def _label_table_path(self) -> Path | None:
        root = Path(self.data_root or ".")
        return root / self.label_table if self.label_table else find_label_table(root)
