"""Images of predictions: sheet, visualizer, and hook in a real run."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config

from karsl.engine import build_runner
from karsl.errors import ConfigError
from karsl.registry import HOOKS, VISUALIZERS
from karsl.testing import make_corpus
from karsl.visualization import ClipVisualizer, VisualizationHook
from karsl.visualization.clip_sheets import CORRECT, WRONG, prediction_sheet
from karsl.visualization.draw.canvas import Image

_NUMBERS = itertools.count()
PIPELINE = [
    {"type": "LoadKeypoints"},
    {"type": "TSNSampleFrames", "clip_len": 8},
    {"type": "CenterScale"},
    {"type": "PackKeypointInputs"},
]


def test_correct_and_wrong_differ_in_color(results, metainfo, count_color):
    right, wrong = (
        prediction_sheet(results, {"pred_label": k, "pred_score": np.eye(2)[k]}, metainfo=metainfo, truth=1) for k in (1, 0)
    )
    band = (0, 0, 6, 44)
    assert count_color(right, CORRECT, box=band) > 200 > count_color(right, WRONG, box=band)
    assert count_color(wrong, WRONG, box=band) > 200 > count_color(wrong, CORRECT, box=band)
    unknown = prediction_sheet(results, {"pred_label": 1}, metainfo=metainfo)
    assert count_color(unknown, CORRECT, box=band) + count_color(unknown, WRONG, box=band) == 0
    assert prediction_sheet(results, None, truth=1).size == prediction_sheet(results, {"pred_label": 0}).size


@pytest.mark.parametrize("label", [0, 1])
def test_labels_may_be_numpy_integers_and_tensors(results, metainfo, label):
    wanted = prediction_sheet(results, {"pred_label": label}, metainfo=metainfo, truth=1)
    for convert in (np.int64, torch.tensor):
        sheet = prediction_sheet(results, {"pred_label": convert(label)}, metainfo=metainfo, truth=convert(1))
        np.testing.assert_array_equal(np.asarray(sheet), np.asarray(wanted))


def test_the_visualizer_writes_sheets_and_scalars_without_matplotlib(tmp_path, results, metainfo):
    visualizer = ClipVisualizer(vis_backends=[{"type": "LocalVisBackend"}], save_dir=str(tmp_path))
    visualizer.dataset_meta = metainfo
    sample = {"pred_label": 0, "pred_score": np.array([0.7, 0.3]), "gt_label": 1}
    visualizer.add_datasample("clip", results, sample, out_file=str(tmp_path / "one.png"), step=3)
    visualizer.add_scalar("loss", 0.5, step=3)
    (kept,) = tmp_path.rglob("clip_3.png")
    with Image.open(tmp_path / "one.png") as first, Image.open(kept) as second:
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
        assert first.size[0] > 1000
    assert '"loss": 0.5' in next(tmp_path.rglob("scalars.json")).read_text()
    code = (
        "import sys; from karsl.registry import VISUALIZERS, HOOKS;"
        "VISUALIZERS.build(dict(type='karsl.ClipVisualizer', name='v'));"
        "HOOKS.build(dict(type='karsl.VisualizationHook')); print('PIL' in sys.modules, 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False", done.stderr


def config(root: str, work_dir, *, dataset: dict | None = None, **visualizer) -> Config:
    clips = {"type": "KArSLDataset", "data_root": root, "pipeline": PIPELINE, "test_mode": True, "index_cache": None}
    loader = {"batch_size": 2, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    backbone = {"type": "STTransformer", "skeleton": "auto", "embed_dims": 8, "depth": 1, "num_heads": 2}
    head = {"type": "ClassifierHead", "num_classes": "auto", "in_channels": 8}
    return Config(
        {
            "default_scope": "karsl",
            "experiment_name": f"predictions_{next(_NUMBERS)}",  # MMEngine shares state by that name
            "work_dir": str(work_dir),
            "model": {"type": "KeypointRecognizer", "backbone": backbone, "cls_head": head},
            "val_dataloader": {**loader, "dataset": dataset or clips},
            "val_evaluator": {"type": "AccuracyMetric"},
            "val_cfg": {},
            "custom_hooks": [{"type": "VisualizationHook", "interval": 1, "clips": 1, "max_clips": 2}],
            "visualizer": {"type": "ClipVisualizer", "vis_backends": [{"type": "LocalVisBackend"}], **visualizer},
        }
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("predictions"), signs=2, signers=("01",), train_clips=3, test_clips=0))


def written(folder) -> list:
    return sorted(folder.rglob("val_clip_*.png"))


def test_a_run_draws_a_few_clips_of_its_validation(root, tmp_path, count_color):
    build_runner(config(root, tmp_path / "run")).val()
    pictures = written(tmp_path / "run")
    assert [path.name for path in pictures] == ["val_clip_01_0.png", "val_clip_02_0.png"]  # at most 2 of 3 batches
    with Image.open(pictures[0]) as image:
        output = sum(count_color(image.convert("RGB"), color, box=(0, 0, 6, 44)) for color in (CORRECT, WRONG))
        assert output > 200


@pytest.mark.parametrize("wrapper", ["mmengine.ConcatDataset", "ConcatDataset"])
def test_a_run_draws_clips_of_wrapped_datasets(root, tmp_path, wrapper):
    """Samples of MMEngine wrappers do not identify their clip: they are drawn as the model received them."""
    clips = {"type": "KArSLDataset", "data_root": root, "pipeline": PIPELINE, "test_mode": True, "index_cache": None}
    both = {"type": wrapper, "datasets": [clips, clips]}
    build_runner(config(root, tmp_path / "run", dataset=both)).val()
    assert len(written(tmp_path / "run")) == 2


def test_tensorboard_stores_the_images(root, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    build_runner(config(root, tmp_path / "run", vis_backends=[{"type": "TensorboardVisBackend"}])).val()
    (events,) = (tmp_path / "run").rglob("events.out*")
    found = EventAccumulator(str(events.parent)).Reload()
    assert found.Tags()["images"] == ["val_clip_01", "val_clip_02"]
    assert found.Images("val_clip_01")[0].width > 1000


def test_hook_is_registered_and_rejects_invalid_arguments():
    assert isinstance(HOOKS.build({"type": "karsl.VisualizationHook"}), VisualizationHook)
    assert VISUALIZERS.get("karsl.ClipVisualizer") is ClipVisualizer
    with pytest.raises(ConfigError, match="VisualizationHook: interval=0"):
        VisualizationHook(interval=0)
