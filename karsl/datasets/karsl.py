"""KArSL, from its folders or from an annotation file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from karsl.datasets.base import KeypointDataset
from karsl.datasets.filters import keep_records
from karsl.datasets.index.folder import private_folder
from karsl.errors import AnnotationError, ConfigError
from karsl.io import class_metainfo, find_label_table, read_label_table
from karsl.io.labels import LabelTable
from karsl.registry import DATASETS
from karsl.skeletons import get_skeleton
from karsl.storage.scan import scan_npz_folders

_SIGN_KEYS = ("signs", "subset")


@DATASETS.register_module()
class KArSLDataset(KeypointDataset):
    """KArSL, KFUPM Arabic Sign Language: isolated signs as MediaPipe keypoints.

    What: 502 signs (numbers, letters, health, verbs, family, ...), 3 signers, nominally 50 clips each: 75,300; copies
        differ, so nothing here counts on it. 15-116 frames a clip.
    Format: `<data_root>/<signer>-<split>/<sign>.npz`, one array (T, 184, 4) a clip: x, y, z, visibility of 6 arm points,
        136 face points, right hand, left hand. Missing parts are zeros. Or one file a clip:
        `<signer>-<split>/<sign>/<clip>.npz`, `.npy` or `.pt`. A pack is read with `ann_file='annotations.json'`.
    Classes: the signs of the corpus, ascending, relabelled 0..K-1; `filter_cfg` with `signs` or `subset` makes those the
        classes, whatever signer or split is chosen. Glosses come from a label sheet if there is one.
    Splits: the shipped folders `train` and `test` share signers and sessions. To test on an unseen signer, train on
        `split='train'` of two signers and test on all clips of the third. There is no official validation split.
    Citation: Sidig, Luqman, Mahmoud, Mohandes, KArSL: Arabic Sign Language Database, ACM TALLIP 20(1), art. 14, 2021,
        https://doi.org/10.1145/3423420. No licence is stated; the data is not part of this package.

    Args:
        ann_file: As `karsl prepare` or `karsl pack` writes it. Empty: `data_root` is scanned, which reads headers only, and
            those of files that changed since the last scan.
        data_root: See Format.
        filter_cfg: `split`, `signers`, `signs`, `subset` ('karsl100', 'karsl190', 'karsl502'), `min_frames`.
        label_sheet: csv, xlsx or json, relative to `data_root`; default is one of the usual names found there.
        kwargs: As for KeypointDataset. The skeleton is that of the annotation file, where none is given.

    Raises:
        DatasetNotFoundError: No such folder, or a filter leaves nothing.
        DataProblems: Files that a scan cannot use, all at once; with `on_error='skip'` they are left out, see `left_out`.
    """

    METAINFO = {"dataset_name": "karsl", "skeleton": "karsl_184"}

    def __init__(
        self,
        ann_file: str | None = "",
        metainfo: Mapping | None = None,
        data_root: str | None = "",
        *args: Any,
        label_sheet: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.label_sheet = label_sheet
        super().__init__(ann_file, metainfo, data_root, *args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Every clip of the annotation file, or of the folders."""
        if self.ann_file:
            return self._listed()
        root = self.data_prefix.get("keypoint_path")
        if not root:
            raise ConfigError(
                "KArSLDataset needs data_root, the folder that holds '01-train/0001.npz', or ann_file; "
                "see 'karsl prepare --help'"
            )
        sheet = self._sheet()
        skeleton = self.skeleton or get_skeleton("karsl_184")
        scan = scan_npz_folders(root, skeleton=skeleton, label_table=sheet, cache_dir=private_folder(self.index_cache))
        if scan.problems and (self.on_error == "raise" or not scan.records):
            raise scan.error(root, f"data_root={root!r}")
        self.left_out = tuple(scan.problems)
        for key, value in class_metainfo(scan.signs, sheet).items():
            self._metainfo.setdefault(key, value)
        return list(self._parsed(scan.records))

    def _listed(self) -> list[dict]:
        """What the annotation file says; of its own points it knows more than the class, which has KArSL's usual ones."""
        said = self._skeleton is not None or "skeleton" in self._given_metainfo
        usual = None if said else self._metainfo.pop("skeleton", None)
        records = super().load_data_list()
        if usual is not None and self._metainfo.get("skeleton") is None:
            self._metainfo["skeleton"] = usual
        return records

    def index_inputs(self) -> list[str]:
        """The folders of the clips, when there is no annotation file, and the label sheet."""
        if self.ann_file:
            return []
        sheet = self._sheet_path()
        return [path for path in (self.data_prefix.get("keypoint_path"), sheet and str(sheet)) if path]

    def filter_data(self) -> list[dict]:
        """The records that `filter_cfg` keeps, labelled 0..K-1 by the signs that `signs` or `subset` leave."""
        chosen = {k: v for k, v in (self.filter_cfg or {}).items() if k in _SIGN_KEYS}
        rest = {k: v for k, v in (self.filter_cfg or {}).items() if k not in _SIGN_KEYS}
        if not all("sign" in r for r in self.data_list):
            return super().filter_data()  # a corpus without SignIDs keeps the labels it came with
        self._choose_classes(chosen)
        label = {sign: i for i, sign in enumerate(self._metainfo["signs"])}
        records = keep_records(self.data_list, chosen, source=self._source())
        strangers = sorted({r["sign"] for r in records} - label.keys())
        if strangers:
            raise AnnotationError(
                f"{self._source()}: records of signs {strangers[:5]} but metainfo 'signs' has {len(label)} others; "
                "run 'karsl prepare' again"
            )
        labelled = [{**r, "label": label[r["sign"]]} for r in records]
        return keep_records(labelled, rest, source=self._source())

    def _choose_classes(self, chosen: Mapping) -> None:
        """Cut metainfo's signs and glosses down to the chosen signs."""
        signs = tuple(self._metainfo.get("signs") or sorted({r["sign"] for r in self.data_list}))
        kept = keep_records([{"sign": s, "place": i} for i, s in enumerate(signs)], chosen, source=self._source())
        places = [entry["place"] for entry in kept]
        for key in ("classes", "classes_ar"):
            names: Sequence[str] | None = self._metainfo.get(key)
            if names is None or (key in self._given_metainfo and len(names) == len(places)):
                continue
            if len(names) != len(signs):
                raise ConfigError(f"metainfo {key!r} has {len(names)} names for {len(places)} signs; give one a sign")
            self._metainfo[key] = tuple(names[p] for p in places)
        self._metainfo["signs"] = tuple(signs[p] for p in places)

    def _sheet(self) -> LabelTable | None:
        path = self._sheet_path()
        return read_label_table(path) if path else None

    def _sheet_path(self) -> Path | None:
        root = Path(self.data_root or ".")
        return root / self.label_sheet if self.label_sheet else find_label_table(root)
