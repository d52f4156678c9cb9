"""`Recognizer`: a trained model that classifies clips, from a checkpoint or an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.registry import Registry

from karsl.checks import check_int
from karsl.errors import ConfigError, CorruptRecordError
from karsl.extract.base import Extractor
from karsl.inference.clips import ClipDataset, array_source, file_source, match_skeleton
from karsl.inference.onnx_model import OnnxModel
from karsl.inference.stored_config import ModelDescription, read_description
from karsl.inference.torch_model import TorchModel
from karsl.inference.video import has_frames, open_extractor, video_source
from karsl.io.missing import MissingPoints
from karsl.io.sources import ClipSource
from karsl.registry import FUNCTIONS
from karsl.skeletons import Skeleton, get_skeleton

Forward = Callable[[dict[str, Any]], np.ndarray]
"""Maps a batch (`inputs`, `keypoint_mask`, ...) to scores, float32 (N, K)."""


class Candidate(NamedTuple):
    """A class with its score.

    Attributes:
        label: Class index.
        score: Probability.
        name: English gloss, or the name that the dataset gives the class.
        name_ar: Arabic gloss; empty if unknown.
        sign: SignID, or None.
    """

    label: int
    score: float
    name: str
    name_ar: str
    sign: Any


@dataclass(frozen=True)
class Prediction:
    """Scores of one clip.

    Attributes:
        clip_id: Name of the clip.
        scores: float32 (K,), probabilities.
        record: Keys of the clip that its source knows, such as `signer`, `sign`, `num_frames`.
        metainfo: Metainfo with the names of the classes.
        true_label: Class of the clip in its source, None if that is unknown or not a class of the model.
    """

    clip_id: str
    scores: np.ndarray
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    metainfo: Mapping[str, Any] = field(default_factory=dict, repr=False)
    true_label: int | None = None

    @property
    def label(self) -> int:
        """Most likely class; the first of equal scores."""
        return int(self.scores.argmax())

    @property
    def name(self) -> str:
        """Name of the most likely class."""
        return self.top(1)[0].name

    def top(self, k: int = 5) -> list[Candidate]:
        """Return the `k` most likely classes, or all if there are fewer, best first."""
        check_int("Prediction.top", low=1, k=k)
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [self.candidate(int(label)) for label in order]

    def candidate(self, label: int) -> Candidate:
        """Return a class with its score."""

        def of(key: str, default: Any) -> Any:
            values = self.metainfo.get(key) or ()
            return values[label] if label < len(values) else default

        name, arabic = str(of("classes", f"{label:04d}")), str(of("classes_ar", ""))
        return Candidate(label, float(self.scores[label]), name, arabic, of("signs", None))


class Recognizer:
    """A trained model that classifies clips.

    Clips run through the test pipeline that the model was trained with, in the same pass that makes the batches of a loader.
    On a CPU the scores are those of `karsl test` on the same clip, bit for bit, whatever other clips are in the batch; on a
    GPU they differ in the last digits.

    Args:
        forward: Maps a batch to scores.
        description: Pipeline, skeleton and classes of the model.
        map_skeleton: Map clips of another skeleton by the names of their keypoints; those that they lack are missing.
        batch_size: Number of clips per batch.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> steps = [dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")]
        >>> model = ModelDescription(steps, get_skeleton("hand_42"), {"classes": ("hello", "thanks")})
        >>> recognizer = Recognizer(lambda batch: np.array([[0.25, 0.75]] * len(batch["inputs"]), np.float32), model)
        >>> prediction = recognizer(np.ones((30, 42, 3)))
        >>> prediction.name, prediction.top(1)
        ('thanks', [Candidate(label=1, score=0.75, name='thanks', name_ar='', sign=None)])
    """

    def __init__(
        self, forward: Forward, description: ModelDescription, *, map_skeleton: bool = False, batch_size: int = 16
    ) -> None:
        check_int("Recognizer", low=1, batch_size=batch_size)
        self._forward, self.description = forward, description
        self.map_skeleton, self.batch_size = map_skeleton, batch_size
        self._extractor: Extractor | None = None
        self._collate = _collate_function(description.collate)

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto", **options: Any) -> Recognizer:
        """Read a checkpoint of `karsl train`. No code of it is run.

        Args:
            path: A `.pth` file.
            device: `'auto'` uses a GPU if there is one, else the CPU; or a device of torch.
            options: Further arguments of `Recognizer`.

        Raises:
            DatasetNotFoundError: If the file does not exist.
            ConfigError: If it is damaged, has no config, or is of another version whose model cannot be built.
        """
        description, checkpoint = read_description(path)
        return cls(TorchModel(description, checkpoint, path, device), description, **options)

    @classmethod
    def from_onnx(cls, path: str | Path, **options: Any) -> Recognizer:
        """Read a file of `karsl export`, which needs neither the checkpoint nor the classes of the model.

        Args:
            path: An `.onnx` file.
            options: Further arguments of `Recognizer`.

        Raises:
            DatasetNotFoundError: If the file does not exist.
            ConfigError: If it is no ONNX file, or not one of `karsl export`.
            MissingExtraError: If onnxruntime is not installed.
        """
        model = OnnxModel(path)
        return cls(model, model.description, **options)

    @property
    def metainfo(self) -> Mapping[str, Any]:
        """Metainfo of the dataset that the model was trained on."""
        return self.description.metainfo

    @property
    def skeleton(self) -> Skeleton:
        """Skeleton of the clips that it takes."""
        return self.description.skeleton

    def __call__(self, clips: Any, *, skeleton: str | Mapping | Skeleton | None = None, **options: Any) -> Any:
        """Classify clips.

        Args:
            clips: An array (T, V, 3 or 4) of x, y, z and score; several, as a list or (N, T, V, C); or a path as for
                `open`.
            skeleton: Skeleton of an array, or of files that do not name theirs. None is that of the model.
            options: Arguments of `karsl.formats.open_clips`, for a path.

        Returns:
            A `Prediction` for one array, else a list of them.

        Raises:
            CorruptRecordError: If a clip cannot be read, or its scores are not finite.
            SkeletonError: If a clip has other keypoints than the model takes; names those that lack.
        """
        if isinstance(clips, (str, Path)):
            return list(self.predict(self.open(clips, skeleton=skeleton, **options)))
        is_single = not isinstance(clips, (list, tuple)) and np.ndim(clips) == 3
        arrays = [clips] if is_single else list(clips)
        own = self.skeleton if skeleton is None else get_skeleton(skeleton)
        source: ClipSource = array_source([_to_numpy(clip) for clip in arrays], own, nonfinite=self._nonfinite)
        source = match_skeleton(source, self.skeleton, where="the array", map_skeleton=self.map_skeleton)
        predictions = list(self.predict(source))
        return predictions[0] if is_single else predictions

    def open(self, path: str | Path, *, skeleton: str | Mapping | Skeleton | None = None, **options: Any) -> ClipSource:
        """Open a file or folder; the result is an argument of `predict`.

        Args:
            path: File or folder of any format that karsl reads, a video, or a folder of pictures.
            skeleton: Skeleton of files that do not name theirs.
            options: Arguments of `karsl.formats.open_clips`; for a video those of `karsl.extract.make_extractor`.

        Raises:
            KarslError: If it cannot be read.
            MissingExtraError: If it is a video and the extra `extract` is not installed.
            SkeletonError: If its clips have other keypoints than the model takes; names those that lack.
        """
        if has_frames(Path(path)):
            if self._extractor is None or options:
                self._extractor = open_extractor(self.skeleton, **options)
            return video_source(Path(path), self.skeleton, self._extractor)
        options.setdefault("missing", MissingPoints(self._nonfinite))
        source = file_source(path, skeleton=skeleton, **options)
        return match_skeleton(source, self.skeleton, where=str(path), map_skeleton=self.map_skeleton)

    def predict(self, source: ClipSource) -> Iterator[Prediction]:
        """Classify the clips of a source one after the other.

        Args:
            source: Clips on the skeleton of the model, see `open`.

        Raises:
            TransformError: If a clip cannot be read or transformed.
            CorruptRecordError: If scores are not finite.
        """
        dataset, truth = ClipDataset(source, self.description.pipeline), _true_labels(source, self.metainfo)
        for start in range(0, len(dataset), self.batch_size):
            indices = list(range(start, min(start + self.batch_size, len(dataset))))
            scores = self._forward(self._collate(dataset.__getitems__(indices)))
            for index, row in zip(indices, scores, strict=True):
                record = dataset.public_records[index]
                clip_id = str(record.get("clip_id", index))
                if not np.isfinite(row).all():
                    raise CorruptRecordError(
                        f"the scores of clip {clip_id!r} are not finite; did training diverge, or are its values extreme?"
                    )
                yield Prediction(clip_id, row, record, self.metainfo, truth(source.records[index]))

    @property
    def _nonfinite(self) -> str:
        return next((str(step.get("nonfinite", "raise")) for step in self.description.pipeline), "raise")


def _collate_function(cfg: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """Return the collate function of the test loader, `keypoint_collate` if it has none."""
    registry: Registry = FUNCTIONS
    registry.import_from_location()
    options = {key: value for key, value in cfg.items() if key not in ("type", "mode")}
    function = registry.module_dict.get(cfg.get("type", ""), registry.module_dict["keypoint_collate"])
    try:
        signature(function).bind([], **options)
    except TypeError as error:
        raise ConfigError(f"the stored collate function has other arguments ({error}); is the file damaged?") from error
    return lambda samples: function(samples, **options)


def _true_labels(source: ClipSource, metainfo: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], int | None]:
    """Return a function from a record to the class of the model: that of its SignID, or of its class name without one."""
    by_sign = {sign: label for label, sign in enumerate(metainfo.get("signs") or ())}
    by_name = {name: label for label, name in enumerate(metainfo.get("classes") or ())}
    names = source.metainfo.get("classes") or ()

    def find(record: Mapping[str, Any]) -> int | None:
        if by_sign and record.get("sign") is not None:
            return by_sign.get(record["sign"])
        label = record.get("label")
        return by_name.get(names[label]) if label is not None and label < len(names) else None

    return find


def _to_numpy(clip: Any) -> np.ndarray:
    return clip.detach().cpu().numpy() if isinstance(clip, torch.Tensor) else np.asarray(clip)
