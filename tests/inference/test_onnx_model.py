"""Exported models give the scores of torch, and describe themselves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from karsl.cli.main import main
from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.inference import Recognizer
from karsl.inference.onnx_model import export_onnx
from karsl.inference.stored_config import ModelDescription, read_description
from karsl.inference.torch_model import TorchModel
from karsl.models import STTransformer
from karsl.models import backbones as all_backbones
from karsl.registry import MODELS
from karsl.skeletons import get_skeleton

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
BACKBONES = sorted(all_backbones.__all__)


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert main(["export", str(trained[0]), str(path)]) == 0
    return path


def test_an_exported_model_has_the_scores_of_its_checkpoint(trained, exported, corpus):
    predictions = Recognizer.from_onnx(exported)(corpus)
    assert np.abs(np.stack([p.scores for p in predictions]) - trained[1]).max() < 1e-4
    assert {c.name_ar for c in predictions[0].top()} == {"مرحبا", "شكرا", "نعم", "لا"}


def test_the_file_contains_classes_skeleton_length_and_pipeline(exported):
    texts = {prop.key: json.loads(prop.value) for prop in onnx.load(str(exported)).metadata_props}
    assert (texts["classes"], texts["clip_len"]) == (["hello", "thanks", "yes", "no"], 8)
    assert texts["skeleton"]["name"] == "karsl_184"
    assert texts["pipeline"][0] == {"type": "LoadKeypoints"}


@pytest.mark.parametrize("name", BACKBONES)
def test_each_backbone_has_the_scores_of_torch_for_any_batch_and_length(name, tmp_path):
    skeleton = get_skeleton("hand_42")
    torch.manual_seed(0)
    backbone = MODELS.build({"type": name, "skeleton": "hand_42"}).eval()
    width = backbone(torch.zeros(1, 16, 42, 3), torch.ones(1, 16, 42, dtype=torch.bool)).shape[1]
    cfg = {
        "type": "KeypointRecognizer",
        "backbone": {"type": name, "skeleton": "hand_42"},
        "cls_head": {"type": "ClassifierHead", "num_classes": 5, "in_channels": width},
    }
    network = MODELS.build(cfg)
    steps = [{"type": "LoadKeypoints"}, {"type": "UniformSampleFrames", "clip_len": 16}, {"type": "PackKeypointInputs"}]
    description = ModelDescription(steps, skeleton, {"classes": list("abcde")}, model=cfg)
    model = TorchModel(description, {"state_dict": network.state_dict()}, "memory", "cpu")
    assert export_onnx(model, description, tmp_path / "model.onnx") < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    for count, length in ((1, 17), (8, 64)):
        inputs, mask = torch.randn(count, length, 42, 3), torch.rand(count, length, 42) > 0.3
        with torch.no_grad():
            expected = model.model(inputs, mask).softmax(1).numpy()
        (scores,) = session.run(None, {"inputs": inputs.numpy(), "keypoint_mask": mask.numpy()})
        assert np.abs(scores - expected).max() < 1e-4


class Drifting(nn.Module):
    """A model whose trace is not what it computes: it depends on the number of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.calls = STTransformer("hand_42", embed_dims=8, depth=1, num_heads=2), 0

    def forward(self, inputs, keypoint_mask, mode="tensor"):
        self.calls += 1
        return self.backbone(inputs, keypoint_mask) * self.calls


def test_a_file_whose_scores_differ_is_not_kept(trained, tmp_path):
    description, checkpoint = read_description(trained[0])
    model = TorchModel(description, checkpoint, trained[0], "cpu")
    model.model = Drifting()
    steps = [{"type": "LoadKeypoints"}, {"type": "PackKeypointInputs"}]
    with pytest.raises(ConfigError, match="scores of onnxruntime differ by .* is not written"):
        export_onnx(model, ModelDescription(steps, get_skeleton("hand_42")), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused_in_one_sentence(exported, tmp_path, capsys):
    with pytest.raises(DatasetNotFoundError, match="'karsl export CHECKPOINT nowhere.onnx' writes it"):
        Recognizer.from_onnx(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ConfigError, match="is not an ONNX file that onnxruntime reads"):
        Recognizer.from_onnx(tmp_path / "text.onnx")
    content = onnx.load(str(exported))
    del content.metadata_props[:]
    onnx.save(content, str(tmp_path / "foreign.onnx"))
    with pytest.raises(ConfigError, match="has no metadata of karsl"):
        Recognizer.from_onnx(tmp_path / "foreign.onnx")
    assert main(["export", "x.pth", "model.bin"]) == 2
    assert "OUT 'model.bin' is not the name of an .onnx file" in capsys.readouterr().err


def test_metadata_cannot_name_code(exported, tmp_path):
    content = onnx.load(str(exported))
    for prop in content.metadata_props:
        if prop.key == "pipeline":
            prop.value = json.dumps([{"type": "os.system", "command": "false"}])
    onnx.save(content, str(tmp_path / "hostile.onnx"))
    with pytest.raises(ConfigError, match="no class 'os.system' is registered"):
        Recognizer.from_onnx(tmp_path / "hostile.onnx")


def test_predict_and_info_read_the_file(exported, corpus, capsys):
    assert main(["predict", str(exported), str(corpus), "--topk", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 85
    assert main(["info", str(exported)]) == 0
    assert capsys.readouterr().out.startswith("onnx      ")
