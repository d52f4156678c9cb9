"""Configs of both styles, what the command line changes in them, and their errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from karsl.engine import load_config, set_data_root
from karsl.engine.config.load import load_loader, shipped_configs
from karsl.errors import ConfigError, DatasetNotFoundError

BASE = """
    clip_len = 32
    data_root = 'data/a'
    pipeline = [dict(type='Sample', clip_len=clip_len), dict(type='Pad', length=clip_len)]
    train_dataloader = dict(batch_size=4, dataset=dict(type='D', data_root=data_root, pipeline=pipeline))
    test_dataloader = dict(dataset=dict(type='Concat', datasets=[
        dict(type='D', data_root=data_root), dict(type='Repeat', dataset=dict(type='D'))]))
"""
TEXT = "_base_ = ['./base.py']\nmodel = dict(type='M')\n"
PYTHON = """
    from mmengine.config import read_base
    with read_base():
        from .base import *
    model = dict(type='M')
"""


def write(folder: Path, text: str, name: str = "config.py") -> Path:
    (folder / "base.py").write_text(dedent(BASE), encoding="utf-8")
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


@pytest.fixture(params=[TEXT, PYTHON], ids=["text", "python"])
def config(request, tmp_path) -> Path:
    return write(tmp_path, request.param)


def test_both_styles_load_and_get_a_work_dir_of_their_name(config):
    cfg = load_config(config)
    assert cfg.model.type == "M"
    assert cfg.work_dir == str(Path("work_dirs") / "config")


def test_an_overridden_variable_reaches_its_copies(config):
    cfg = load_config(config, {"clip_len": 16})
    assert cfg.clip_len == 16
    assert cfg.train_dataloader.dataset.pipeline[0].clip_len == 16


def test_an_overridden_variable_that_was_only_computed_with_is_rejected(tmp_path):
    config = write(tmp_path, "_base_ = ['./base.py']\nheld_out = '02'\nsigners = ['01', held_out]\n")
    with pytest.raises(ConfigError, match="held_out.*has no effect"):
        load_config(config, {"held_out": "03"})


def test_dotted_keys_change_one_value(config):
    cfg = load_config(config, {"train_dataloader.batch_size": 9, "train_dataloader.dataset.pipeline.0.clip_len": 8})
    assert cfg.train_dataloader.batch_size == 9
    assert cfg.train_dataloader.dataset.pipeline[0].clip_len == 8
    assert cfg.clip_len == 32


def test_an_option_that_nothing_reads_is_rejected_with_the_nearest_name(config):
    with pytest.raises(ConfigError, match="no 'clip_length'; did you mean 'clip_len'"):
        load_config(config, {"clip_length": 16})


def test_an_option_with_a_mistyped_runner_key_is_rejected(config):
    with pytest.raises(ConfigError, match="did you mean 'train_dataloader'"):
        load_config(config, {"train_dataloder.batch_size": 9})


def test_an_option_beyond_a_list_is_rejected(config):
    with pytest.raises(ConfigError, match="--cfg-options"):
        load_config(config, {"train_dataloader.dataset.pipeline.7.clip_len": 16})


def test_a_data_root_reaches_every_dataset_below_wrappers(config):
    cfg = load_config(config, data_root="data/b")
    inner = cfg.test_dataloader.dataset.datasets
    roots = [cfg.data_root, cfg.train_dataloader.dataset.data_root, inner[0].data_root, inner[1].dataset.data_root]
    assert roots == ["data/b"] * 4


def test_a_data_root_for_a_config_without_datasets_is_rejected(tmp_path):
    (tmp_path / "bare.py").write_text("model = dict(type='M')\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no dataset"):
        set_data_root(load_config(tmp_path / "bare.py"), "data/b")


def test_a_missing_config_suggests_its_neighbour(config):
    with pytest.raises(DatasetNotFoundError, match=r"confg\.py' does not exist; did you mean '.*config\.py'"):
        load_config(config.with_name("confg.py"))


def test_a_file_that_is_no_config_is_rejected(tmp_path):
    with pytest.raises(ConfigError, match=r"is not one of \.py"):
        load_config(write(tmp_path, "", "config.txt"))


def test_a_syntax_error_names_file_line_and_text(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.py', line 3: .*dict\(a=1,, b=2\)"):
        load_config(write(tmp_path, "model = dict()\n\nx = dict(a=1,, b=2)\n"))


@pytest.mark.parametrize("head", ["_base_ = ['./base.py']", "from torch.optim import SGD"], ids=["text", "python"])
@pytest.mark.parametrize(
    ("line", "reason"),
    [("x = dict(a=1)['b']", "no key 'b'"), ("x = unknown", "NameError: name 'unknown'"), ("x = 1 / 0", "ZeroDivision")],
)
def test_an_error_while_the_config_runs_names_file_line_and_reason(tmp_path, head, line, reason):
    with pytest.raises(ConfigError, match=rf"config\.py', line 3: {reason}"):
        load_config(write(tmp_path, f"{head}\n\n{line}\n"))


def test_an_error_inside_a_library_names_the_line_of_the_config(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.py', line 3: JSONDecodeError: .* in `x = __import__"):
        load_config(write(tmp_path, "_base_ = ['./base.py']\n\nx = __import__('json').loads('')\n"))


@pytest.mark.parametrize("name", ["broken.json", "broken.yaml"])
def test_a_broken_data_file_is_named_with_the_reason(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"^config '[^']*{name}': \w+Error: "):
        load_config(write(tmp_path, "{'model': [1", name))


def test_calling_an_import_of_a_pure_python_config_is_explained(tmp_path):
    text = "\nfrom torch.optim import SGD\noptimizer = SGD([1], lr=0.1)\n"
    with pytest.raises(ConfigError, match=r"line 3: imports .* are recorded, not run"):
        load_config(write(tmp_path, text))


@pytest.mark.parametrize("style", ["_base_ = ['./no.py']", PYTHON.replace(".base", ".no")], ids=["text", "python"])
def test_a_missing_base_is_named(tmp_path, style):
    with pytest.raises(ConfigError, match=r"no\.py"):
        load_config(write(tmp_path, style))


def test_a_mistyped_top_level_key_is_rejected_in_both_styles(config):
    config.write_text(config.read_text(encoding="utf-8") + "trian_cfg = dict(max_epochs=3)\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'trian_cfg', did you mean 'train_cfg'"):
        load_config(config)


def test_imports_of_a_pure_python_config_are_no_mistyped_keys(tmp_path):
    text = "from mmengine.visualization import Visualizer\nvisualizer = dict(type=Visualizer)\n"
    assert load_config(write(tmp_path, text)).visualizer.type.__name__ == "Visualizer"


def test_without_workers_their_options_fall_away(tmp_path):
    text = "train_dataloader = dict(batch_size=4, num_workers=2, persistent_workers=True, prefetch_factor=4)\n"
    config = write(tmp_path, text)
    assert load_config(config).train_dataloader.persistent_workers
    assert load_config(config, {"train_dataloader.num_workers": 0}).train_dataloader == {"batch_size": 4, "num_workers": 0}


@pytest.mark.parametrize(("key", "value"), [("batch_size", 0), ("batch_size", "many"), ("num_workers", -1)])
def test_a_size_that_no_loader_takes_is_rejected(config, key, value):
    with pytest.raises(ConfigError, match=rf"^train_dataloader\.{key}={value!r}; expected an integer of at least"):
        load_config(config, {f"train_dataloader.{key}": value})


STREAM = "train_dataloader = dict(dataset=dict(type='StreamDataset', source={}))\n"


@pytest.mark.parametrize("given", [{"data_root": "x"}, {"ann_file": "a.json"}], ids=str)
def test_a_stream_that_names_its_source_takes_no_data_root(tmp_path, given):
    with pytest.raises(
        ConfigError, match=r"its 'source' names, 'tars'; give --cfg-options train_dataloader\.dataset\.source="
    ):
        load_config(write(tmp_path, STREAM.format("'tars'")), **given)


def test_a_data_root_reaches_the_dataset_below_a_stream(tmp_path):
    config = write(tmp_path, STREAM.format("dict(type='KArSLDataset', data_root='a')"))
    dataset = load_config(config, data_root="b").train_dataloader.dataset
    assert (dataset.source.data_root, "data_root" in dataset) == ("b", False)


ROOT = Path(__file__).parents[3]
OWN = """
from mmengine.config import read_base

with read_base():
    from karsl.configs.{} import *

train_dataloader.merge(dict(batch_size=7))
"""


def own(folder: Path, base: str = "karsl100_loso_s03") -> Path:
    path = folder / "own.py"
    path.write_text(OWN.format(base), encoding="utf-8")
    return path


def test_a_config_in_any_folder_starts_from_a_shipped_one(tmp_path):
    cfg = load_config(own(tmp_path))
    assert (cfg.train_dataloader.batch_size, cfg.test_dataloader.dataset.filter_cfg.signers) == (7, ("03",))


def test_a_shipped_config_is_found_from_another_folder_unless_one_exists_in_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/demo.py").work_dir == "demo_out/train"
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "demo.py").write_text("work_dir = 'mine'\n", encoding="utf-8")
    assert load_config("configs/demo.py").work_dir == "mine"


def test_a_name_that_is_not_shipped_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFoundError, match=r"configs/dmo\.py' does not exist"):
        load_config("configs/dmo.py")
    with pytest.raises(ConfigError, match=r"dmo\.py not found"):
        load_config(own(tmp_path, "dmo"))


def test_what_pip_installs_finds_its_configs(tmp_path):
    pytest.importorskip("setuptools", reason="a wheel is built without asking the network")
    source, prefix = tmp_path / "source", tmp_path / "prefix"
    for name in ("karsl", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, "--prefix", str(prefix), str(source)], check=True, capture_output=True)
    [packages] = prefix.glob("**/site-packages")
    script = f"from karsl.engine import *; print(load_config({str(own(tmp_path))!r}).train_dataloader.batch_size)\n"
    script += "from karsl.engine.config.load import shipped_configs; print(shipped_configs())"
    env = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    folder = packages / "karsl" / "configs"
    assert done.stdout.split() == ["7", str(folder.resolve())]
    assert names_below(folder) == names_below(shipped_configs())


def names_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_a_yaml_config_is_read_and_its_tags_run_nothing(tmp_path):
    plain = "train_dataloader: {batch_size: 4, num_workers: 0}\n"
    assert load_config(write(tmp_path, plain, "plain.yaml")).train_dataloader.batch_size == 4
    flag = tmp_path / "ran"
    write(tmp_path, f'a: !!python/object/apply:os.mkdir ["{flag}"]\n', "tag.yaml")
    write(tmp_path, "_base_ = './tag.yaml'\n", "inherits.py")
    for name in ("tag.yaml", "inherits.py"):
        with pytest.raises(ConfigError, match="ConstructorError: could not determine a constructor for the tag"):
            load_config(tmp_path / name)
    assert not flag.exists()


def test_a_custom_import_that_fails_is_named_with_the_reason(tmp_path, monkeypatch):
    config = write(tmp_path, "custom_imports = dict(imports=['absent_module_of_a_user'])\n")
    with pytest.raises(ConfigError, match=r"Failed to import absent_module_of_a_user .*: no module .* 'PYTHONPATH=\. karsl"):
        load_config(config)
    (tmp_path / "own_module_with_absent_import.py").write_text("import absent_library\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    config = write(tmp_path, "custom_imports = dict(imports=['own_module_with_absent_import'])\n")
    with pytest.raises(ConfigError, match="ModuleNotFoundError: No module named 'absent_library'$"):
        load_config(config)


def test_a_config_does_not_inherit_the_work_dir_of_a_shipped_one(tmp_path):
    assert load_config("configs/karsl100_loso_s03.py").work_dir == "work_dirs/karsl100_loso_s03"
    assert load_config(own(tmp_path)).work_dir == "work_dirs/own"
    mine = own(tmp_path)
    mine.write_text(mine.read_text(encoding="utf-8") + "\nwork_dir = 'work_dirs/mine'\n", encoding="utf-8")
    assert load_config(mine).work_dir == "work_dirs/mine"


def test_an_overridden_path_no_longer_follows_the_dataset():
    path = "model.cls_head.num_classes"
    assert path in load_config("configs/demo.py").follow_dataset
    cfg = load_config("configs/demo.py", {path: 9})
    assert cfg.model.cls_head.num_classes == 9
    assert cfg.follow_dataset == ["model.backbone.skeleton", "model.backbone.in_channels"]


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ("default_scope = 'no_such_project'\ndataset = dict(type='PoseDataset')", "there is no package 'no_such_project'"),
        (
            "dataset = dict(type='PoseDataset')",
            "train_dataloader.dataset.type: no dataset 'PoseDataset'; check the spelling",
        ),
        (
            "dataset = dict(type='RepeatDataset', times=2, dataset=dict(type='KArSLDataset', pipeline=[dict(type='Pose')]))",
            "train_dataloader.dataset.dataset.pipeline.0.type: no transform 'Pose'",
        ),
    ],
)
def test_a_loader_of_another_project_fails_in_one_sentence_before_it_is_built(tmp_path, dataset, sentence):
    path = write(tmp_path, f"{dataset}\ntrain_dataloader = dict(dataset=dataset)\n", "foreign.py")
    with pytest.raises(ConfigError) as caught:
        load_loader(path, "train")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_base_: ./a.yaml", "a.yaml inherits from itself; correct its '_base_'"),
        ("train_dataloader: [1]", r"train_dataloader is \[1\]; expected a dict"),
        ("train_dataloader: 2020-01-01", "train_dataloader is datetime.date.2020, 1, 1.; expected a dict"),
        ("train_dataloader: {dataset: {type: [1]}, batch_size: 1}", r"has type=\[1\]; expected a name"),
    ],
)
def test_a_config_whose_values_no_loader_can_have_is_one_sentence(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_loader(tmp_path / "a.yaml", "train")
