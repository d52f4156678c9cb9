"""Score files of an evaluation: a metric that collects the scores of all clips and writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from karsl.datasets.tree import resolve_leaves, wrapped
from karsl.errors import ConfigError, type_name
from karsl.evaluation.metrics import DumpPredictions
from karsl.evaluation.scores import Scores, write_scores
from karsl.formats.karsl.layout import category_of

_FORMS = (".npz", ".json")


def dump_metric(path: str | Path, dataset: Any, *, checkpoint: str = "") -> BaseMetric:
    """Return the metric that writes the predictions of a test set.

    Args:
        path: File to write: `.npz` for all scores, `.json` for the best classes of each clip.
        dataset: The test set.
        checkpoint: Name and digest of the checkpoint.

    Raises:
        ConfigError: If the suffix is another, or the dataset does not name its clips.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMS:
        raise ConfigError(f"'{path}' is no file for predictions; give a name in .npz (all scores) or .json (to read by eye)")
    if path.suffix.lower() == ".npz":
        metric: BaseMetric = DumpScores(path, dataset, checkpoint=checkpoint)
    else:
        metric = DumpPredictions(path, describe=lambda indices: _describe(dataset, indices))
    metric.dataset_meta = getattr(dataset, "metainfo", None)
    return metric


class DumpScores(BaseMetric):
    """Write the scores of all clips as a score file; adds no metric.

    Args:
        out_file: Path of the `.npz` file.
        dataset: Evaluated dataset; its records name the clips.
        checkpoint: Name and digest of the checkpoint.

    Raises:
        ConfigError: If the dataset has no `get_data_info`.
    """

    default_prefix = "dump"

    def __init__(self, out_file: str | Path, dataset: Any, *, checkpoint: str = "") -> None:
        super().__init__(collect_device="gpu")
        self.out_file, self.dataset, self.checkpoint = Path(out_file), dataset, checkpoint
        if not _names_clips(dataset):
            raise ConfigError(
                f"--dump {out_file}: {type_name(dataset)} has no get_data_info, which names the clips; write a .json file"
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store index, label and scores of each clip."""
        for sample in data_samples:
            label = sample.get("gt_label")
            scores = torch.as_tensor(sample["pred_score"]).float().cpu().numpy()
            self.results.append((sample.get("sample_idx"), -1 if label is None else int(label), scores))

    def compute_metrics(self, results: list[tuple[int | None, int, np.ndarray]]) -> dict:
        """Write the file.

        Raises:
            ConfigError: If the clips cannot be named.
        """
        indices, labels, scores = zip(*results, strict=True)
        records = clip_records(self.dataset, indices)
        write_scores(self.out_file, _scores(records, labels, np.stack(scores), self.dataset.metainfo, self.checkpoint))
        return {}


def _scores(
    records: Sequence[Mapping], labels: Sequence[int], scores: np.ndarray, metainfo: Mapping, checkpoint: str
) -> Scores:
    num_classes = scores.shape[1]
    is_karsl = metainfo.get("dataset_name") == "karsl"

    def per_class(key: str, missing: Any) -> list:
        values = list(metainfo.get(key) or ())
        return values if len(values) == num_classes else [missing(k) for k in range(num_classes)]

    signs = [record.get("sign", -1) for record in records]
    categories = [
        str(record.get("category") or (category_of(int(sign)) if is_karsl and sign != -1 else ""))
        for record, sign in zip(records, signs, strict=True)
    ]
    return Scores(
        scores=scores.astype(np.float32),
        clip_id=np.array([str(record["clip_id"]) for record in records], dtype=str),
        label=np.array(labels, dtype=np.int64),
        signer=np.array([str(record.get("signer") or "") for record in records], dtype=str),
        sign=np.array(signs, dtype=np.int64),
        category=np.array(categories, dtype=str),
        classes=np.array(list(map(str, per_class("classes", str))), dtype=str),
        classes_ar=np.array(list(map(str, per_class("classes_ar", lambda _: ""))), dtype=str),
        signs=np.array(per_class("signs", lambda _: -1), dtype=np.int64),
        checkpoint=np.array([checkpoint] if checkpoint else [], dtype=str),
    )


def clip_records(dataset: Any, sample_idx: Sequence[int | None]) -> list[dict]:
    """Return the records of evaluated clips.

    Args:
        dataset: Evaluated dataset.
        sample_idx: `sample_idx` of the clips, in dataset order.

    Raises:
        ConfigError: If records have no `clip_id`, or the clips are not in dataset order below a wrapper of MMEngine or
            torch, whose samples have the index in the wrapped dataset.
    """
    records = _records(dataset, sample_idx)
    if any("clip_id" not in record for record in records):
        raise ConfigError(f"records of {type_name(dataset)} have no 'clip_id', which names the clips of score files; add it")
    return records


def _records(dataset: Any, sample_idx: Sequence[int | None]) -> list[dict]:
    if wrapped(dataset) is None:
        if None in sample_idx:
            raise ConfigError("the test pipeline drops 'sample_idx', which names the clips; end it with PackKeypointInputs")
        return [dataset.get_data_info(index) for index in sample_idx]
    records: dict[int, dict] = {}
    for clips in resolve_leaves(dataset, np.arange(len(sample_idx))):
        for row, index in zip(clips.rows.tolist(), clips.indices.tolist(), strict=True):
            records[row] = clips.dataset.get_data_info(index)
    ordered = [records[row] for row in range(len(sample_idx))]
    if [record.get("sample_idx") for record in ordered] != list(sample_idx):
        raise ConfigError(
            f"the clips of {type_name(dataset)} were not evaluated in order, so they cannot be named; "
            "use sampler=dict(type='DefaultSampler', shuffle=False)"
        )
    return ordered


def _describe(dataset: Any, sample_idx: Sequence[int | None]) -> list[dict]:
    """Return name, signer and sign of the clips of predictions, empty if the dataset does not name them."""
    if not _names_clips(dataset) or None in sample_idx:
        return [{} for _ in sample_idx]
    records = _records(dataset, sample_idx)
    return [{key: record[key] for key in ("clip_id", "signer", "sign") if key in record} for record in records]


def _names_clips(dataset: Any) -> bool:
    return hasattr(dataset, "get_data_info") and hasattr(dataset, "metainfo")
