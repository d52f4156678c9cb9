"""Configs in checkpoints are data: they are read, never run."""

from __future__ import annotations

import pytest
import torch

from karsl.errors import ConfigError
from karsl.inference.stored_config import parse_config, read_description, registered_types


def test_literals_and_dicts_of_a_config_are_read():
    text = "a = dict(b=[1, -2.5, inf], c=dict(d=(None, True, 'x')), e={'f g': {1}})\nb = open('x')\nimport os\n"
    assert parse_config(text, ("a",)) == {
        "a": {"b": [1, -2.5, float("inf")], "c": {"d": (None, True, "x")}, "e": {"f g": {1}}}
    }


@pytest.mark.parametrize(
    "value",
    [
        "open('x')",
        "dict(a=__import__('os').system('false'))",
        "[i for i in range(3)]",
        "dict(**{})",
        "f'{1}'",
        "os",
        "1 + 1",
    ],
)
def test_anything_else_is_refused(value):
    if value == "dict(**{})":
        assert parse_config(f"model = {value}", ("model",)) == {"model": {}}
        return
    with pytest.raises(ConfigError, match="which is not plain data and is not run"):
        parse_config(f"model = {value}", ("model",))


def test_text_that_is_no_python_is_refused():
    with pytest.raises(ConfigError, match="its config cannot be parsed"):
        parse_config("model = dict(", ("model",))


@pytest.mark.parametrize("name", ["os.system", "subprocess.run", "karsl.testing.make_corpus", "os"])
def test_a_type_that_is_not_registered_is_not_imported(name):
    with pytest.raises(ConfigError, match=f"no class '{name}' is registered"):
        registered_types({"type": "KeypointRecognizer", "backbone": {"type": name, "command": "false"}}, "x.pth")


def test_types_of_pure_python_configs_are_found_by_their_last_name():
    assert registered_types([{"type": "karsl.models.STTransformer"}], "x.pth") == [{"type": "STTransformer"}]


def test_a_function_as_transform_is_refused(trained, tmp_path):
    content = torch.load(trained[0], weights_only=True)
    inner = "dict(pipeline=[dict(type='LoadKeypoints')])"
    content["meta"]["cfg"] = (
        f"model = dict()\ntest_dataloader = dict(dataset=dict(dataset={inner}, transform='my.function'))"
    )
    torch.save(content, tmp_path / "mapped.pth")
    with pytest.raises(ConfigError, match=r"mapped.pth': its test dataset has transform=\['my.function'\], a function"):
        read_description(tmp_path / "mapped.pth")


def test_pipeline_skeleton_and_classes_are_those_of_the_test_dataset(trained):
    description, _ = read_description(trained[0])
    assert [step["type"] for step in description.pipeline] == [
        *("LoadKeypoints", "TSNSampleFrames", "CenterScale", "PackKeypointInputs")
    ]
    assert (description.skeleton.name, description.clip_len, description.version) == ("karsl_184", 8, "0.1.0")
    assert description.metainfo["classes"] == ("hello", "thanks", "yes", "no")


def test_the_skeleton_of_an_older_checkpoint_is_that_of_its_metainfo(trained, tmp_path):
    content = torch.load(trained[0], weights_only=True)
    del content["meta"]["karsl"]
    torch.save(content, tmp_path / "older.pth")
    assert read_description(tmp_path / "older.pth")[0].skeleton.name == "karsl_184"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"state_dict": {}}, "has no config, which predictions need"),
        ({"state_dict": {}, "meta": {"cfg": "a = 1"}}, "its config has no model, or no test_dataloader"),
        ({"state_dict": {}, "meta": {"cfg": "model = 1 + 1"}}, "bad.pth': model is '1 . 1' in its config"),
    ],
)
def test_a_checkpoint_without_what_inference_needs_is_one_sentence(content, text, tmp_path):
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match=text):
        read_description(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c.update(state_dict=[1]), "state_dict that is no dict of weights"),
        (lambda c: c["meta"]["dataset_meta"].update(classes=5), "metainfo.classes: expected array"),
        (lambda c: c["meta"]["dataset_meta"].update(classes_ar={"a": 1}), "metainfo.classes_ar: expected array"),
        (lambda c: c["meta"]["dataset_meta"].update(signs=5), "metainfo.signs: expected array"),
    ],
)
def test_a_wrong_value_of_a_checkpoint_is_named_with_its_file(trained, tmp_path, change, text):
    content = torch.load(trained[0], weights_only=True)
    change(content)
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match=rf"bad.pth'.*{text}"):
        read_description(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    ("pipeline", "text"),
    [
        ("[dict(clip_len=8)]", "missing required field type"),
        ("[dict(type=5)]", "type: expected str"),
        ("[5]", "expected object, got int"),
        ("5", "no test_dataloader with a pipeline"),
        ("[dict(type='LoadKeypoints', clip_len=10**12)]", "is not run"),
        ("[dict(type='LoadKeypoints', clip_len=1000000000000)]", "clip_len: expected"),
        ("[dict(type=-'x')]", "its config has no value for 'test_dataloader'"),
        ("[{[]: 1}]", "its config has no value for 'test_dataloader'"),
    ],
)
def test_a_wrong_pipeline_is_named_with_its_file(tmp_path, pipeline, text):
    dataset = f"dict(skeleton='hand_42', pipeline={pipeline})"
    cfg = f"model = dict(type='KeypointRecognizer')\ntest_dataloader = dict(dataset={dataset})"
    torch.save({"state_dict": {}, "meta": {"cfg": cfg}}, tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match=rf"bad.pth'.*{text}"):
        read_description(tmp_path / "bad.pth")
