"""Checkpoints of a real run, read with the guard on."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import subprocess
import sys
from collections import OrderedDict, deque
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner

from karsl.engine import build_runner, read_checkpoint
from karsl.engine.checkpoint import NotStateError, check_classes, check_weights, from_state, latest_checkpoint, to_state
from karsl.errors import ConfigError, DatasetNotFoundError


@pytest.fixture
def trained(toy):
    """A run of one epoch and its checkpoint."""
    runner = build_runner(toy(max_epochs=1))
    runner.train()
    return runner, f"{runner.work_dir}/epoch_1.pth"


def test_a_checkpoint_loads_weights_only_without_an_allow_list(trained):
    # in a process of its own, without karsl and mmengine; torch itself lists a few classes of its own
    code = f"""if True:
        import torch
        assert all(entry.__module__.startswith("torch.") for entry in torch.serialization.get_safe_globals())
        print(*sorted(torch.load({trained[1]!r}, weights_only=True)))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["message_hub", "meta", "optimizer", "param_schedulers", "state_dict"], done.stderr


def test_saving_leaves_the_running_state_alone(trained):
    runner, _ = trained
    scalars = runner.message_hub.log_scalars
    assert scalars
    assert all(isinstance(buffer, HistoryBuffer) for buffer in scalars.values())


def test_resuming_restores_epoch_and_history(trained, toy):
    before, path = trained
    cfg = toy("again", max_epochs=1)
    cfg.resume, cfg.load_from = True, path
    after = build_runner(cfg)
    after.train()
    assert (after.epoch, after.iter) == (1, 3)
    loss = "train/loss"
    assert after.message_hub.get_scalar(loss).data[0].tolist() == before.message_hub.get_scalar(loss).data[0].tolist()


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_work_dir_in_another_place_resumes_from_its_own_checkpoint(trained, toy, tmp_path, how):
    before, path = trained
    (shutil.move if how == "moved" else shutil.copytree)(before.work_dir, tmp_path / "other")
    if how == "copied":
        torch.save({}, path)
    cfg = toy("other", max_epochs=2)
    cfg.resume = True
    after = build_runner(cfg)
    after.train()
    assert (after.epoch, after.iter) == (2, 6)
    assert after._load_from == str(tmp_path / "other" / "epoch_1.pth")


def test_a_checkpoint_outside_of_the_work_dir_is_resumed_from(trained, toy):
    before, path = trained
    cfg = toy("other")
    os.makedirs(cfg.work_dir)
    shutil.copy(f"{before.work_dir}/last_checkpoint", cfg.work_dir)
    assert latest_checkpoint(cfg.work_dir) == path
    os.remove(path)
    with pytest.raises(DatasetNotFoundError, match=r"last_checkpoint' names '.*epoch_1.pth', which does not exist; pass"):
        latest_checkpoint(cfg.work_dir)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"a\0b"])
def test_a_damaged_pointer_to_the_latest_checkpoint_is_named(tmp_path, content):
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "last_checkpoint").write_bytes(content)
    with pytest.raises(ConfigError, match="last_checkpoint' names no checkpoint; pass the checkpoint to resume from"):
        latest_checkpoint(tmp_path)


@pytest.mark.parametrize("make", [build_runner, Runner.from_cfg])
@pytest.mark.parametrize("resume", [True, False])
def test_a_truncated_checkpoint_is_named_before_a_run(trained, toy, make, resume):
    before, path = trained
    os.truncate(path, 9000)
    cfg = toy()
    cfg.work_dir, cfg.resume, cfg.load_from = before.work_dir, resume, None if resume else path
    cfg.custom_hooks = [dict(type="karsl.SafeCheckpointHook")]
    cfg.model = before.cfg.model
    with pytest.raises(ConfigError, match=r"checkpoint '.*/run/epoch_1.pth' cannot be read .*; is it truncated"):
        make(cfg).train()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c["meta"].update(epoch="one"), "no epoch and iteration to resume from"),
        (lambda c: c["meta"].update(iter=None), "no epoch and iteration to resume from"),
        (lambda c: c.update(optimizer=5), "cannot be resumed from"),
        (lambda c: c.update(message_hub={"log_scalars": {"x": {"__karsl_kind__": "history"}}}), "from .KeyError: 'log'"),
    ],
)
def test_a_checkpoint_with_damaged_values_is_named(trained, toy, change, text):
    before, path = trained
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    cfg = toy()
    cfg.work_dir, cfg.resume = before.work_dir, True
    cfg.model = before.cfg.model
    with pytest.raises(ConfigError, match=rf"checkpoint '.*/run/epoch_1.pth' .*{text}"):
        build_runner(cfg).train()


def test_weights_alone_cannot_be_resumed_from(trained, toy, tmp_path):
    torch.save({"state_dict": trained[0].model.state_dict()}, tmp_path / "weights.pth")
    cfg = toy()
    cfg.resume, cfg.load_from = True, str(tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"weights.pth' has no epoch and iteration to resume from; start a new run with"):
        build_runner(cfg).train()


@pytest.mark.parametrize("position", range(100, 1000, 90))
def test_a_checkpoint_with_a_changed_byte_is_read_or_named(tmp_path, position):
    path = tmp_path / "epoch_1.pth"
    torch.save({"meta": {"epoch": 1, "iter": 3, "names": ["a", "b"]}, "state_dict": {"weight": torch.ones(2)}}, path)
    content = bytearray(path.read_bytes())
    content[position] ^= 0x5A
    path.write_bytes(content)
    error = None
    try:
        read_checkpoint(path)
    except ConfigError as caught:
        error = str(caught)
    assert error is None or "epoch_1.pth" in error


def test_load_from_takes_the_weights_and_starts_at_epoch_zero(trained, toy):
    before, path = trained
    cfg = toy("fine_tune", max_epochs=1)
    cfg.load_from = path
    after = build_runner(cfg)
    after.load_or_resume()
    assert after.epoch == 0
    for a, b in zip(before.model.state_dict().values(), after.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_testing_a_checkpoint_gives_the_metrics_of_the_trained_model(trained, toy):
    before, path = trained
    cfg = toy("measure")
    cfg.load_from = path
    assert build_runner(cfg).test() == before.test()


def test_what_a_user_puts_into_the_message_hub_is_left_out_when_it_is_no_state(toy):
    cfg = toy(max_epochs=1)
    runner = build_runner(cfg)
    runner.message_hub.update_info("callback", print)
    runner.message_hub.update_info("note", {"tries": 3})
    runner.train()
    info = read_checkpoint(f"{runner.work_dir}/epoch_1.pth")["message_hub"]["runtime_info"]
    assert info["note"] == {"tries": 3}
    assert "callback" not in info


class _Boom:
    def __reduce__(self):
        return exec, ("raise SystemExit('code ran')",)


def test_a_checkpoint_that_could_run_code_is_rejected_before_anything_is_built(toy, tmp_path):
    torch.save({"state_dict": {}, "meta": _Boom()}, tmp_path / "bad.pth", pickle_module=pickle)
    cfg = toy()
    cfg.load_from = str(tmp_path / "bad.pth")
    with pytest.raises(ConfigError, match="could run code, and is refused"):
        build_runner(cfg)


def test_a_missing_checkpoint_is_one_sentence(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no.pth' does not exist"):
        read_checkpoint(tmp_path / "no.pth")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04cut"])
def test_a_broken_file_is_one_sentence(content, tmp_path):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.pth"):
        read_checkpoint(path)


def test_a_checkpoint_of_another_model_is_rejected_by_name(trained, toy):
    _, path = trained
    cfg = toy("other")
    cfg.model.cls_head.num_classes = 5
    with pytest.raises(ConfigError, match=r"cls_head\.fc\.weight is \(5, 8\) in the model and \(2, 8\)"):
        check_weights(build_runner(cfg).model, read_checkpoint(path))


def test_testing_on_other_classes_is_rejected(trained, toy):
    _, path = trained
    cfg = toy("other")
    cfg.test_dataloader.dataset.num_classes = 3
    with pytest.raises(ConfigError, match="the checkpoint has 2 classes, the test dataset 3"):
        check_classes(build_runner(cfg), read_checkpoint(path))


def test_signs_decide_where_both_sides_have_them_and_other_glosses_are_logged(trained, toy, caplog):
    runner, path = trained
    runner.logger.addHandler(caplog.handler)
    checkpoint, metainfo = read_checkpoint(path), runner.test_loop.dataloader.dataset.metainfo
    checkpoint["meta"]["dataset_meta"] |= {"signs": [7, 9]}
    metainfo |= {"signs": (7, 9), "classes": ("hello", "thanks")}
    check_classes(runner, checkpoint)
    assert "the checkpoint has label 0 as 'sign 0', the test dataset as 'hello'" in caplog.text
    metainfo |= {"signs": (7, 8), "classes": ("sign 0", "sign 1")}
    with pytest.raises(
        ConfigError, match="the checkpoint has label 1 as sign 9, the test dataset as sign 8; test on the signs"
    ):
        check_classes(runner, checkpoint)
    del metainfo["signs"]
    check_classes(runner, checkpoint)
    metainfo["classes"] = ("sign 0", "thanks")
    with pytest.raises(ConfigError, match="the checkpoint has label 1 as 'sign 1', the test dataset as 'thanks'"):
        check_classes(runner, checkpoint)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.sets(st.integers())
    | st.complex_numbers(allow_nan=False)
)
STATES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


def through_a_file(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(STATES)
def test_plain_values_stay_as_they_are(value):
    dropped = []
    assert from_state(through_a_file(to_state(value, dropped))) == value
    assert dropped == []


def test_a_history_buffer_survives_with_values_counts_and_limit():
    buffer = HistoryBuffer([1.5, 2.5, 0.1], [1, 2, 3], max_length=7)
    back = from_state(through_a_file(to_state({"loss": buffer}, [])))["loss"]
    assert [array.tolist() for array in back.data] == [[1.5, 2.5, 0.1], [1, 2, 3]]
    assert back.max_length == 7
    back.update(4.0)
    assert back.current() == 4.0


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.array(["a", "بيت"]), np.array([], np.int32), np.array([True])]
)
def test_arrays_survive_with_type_and_shape(array):
    back = from_state(through_a_file(to_state(array, [])))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


def test_relatives_of_built_ins_become_built_ins():
    value = {"lr": np.float64(0.5), "ids": deque([1, 2]), "path": PurePosixPath("a/b"), "n": np.int32(3)}
    plain = to_state(value, [])
    assert plain == {"lr": 0.5, "ids": [1, 2], "path": "a/b", "n": 3}
    assert [type(item) for item in plain.values()] == [float, list, str, int]


def test_what_is_no_state_is_left_out_and_named():
    dropped = []
    value = {"good": 1, "fn": print, "deep": {"file": io.BytesIO(), "list": [1, print]}}
    assert to_state(value, dropped) == {"good": 1, "deep": {}}
    assert dropped == ["fn", "deep.file", "deep.list"]


def test_a_value_that_is_no_state_at_all_is_rejected():
    with pytest.raises(NotStateError, match="builtin_function"):
        to_state(print, [])


def test_tensors_and_ordered_dicts_stay_themselves():
    tensor = torch.ones(2)
    plain = to_state(OrderedDict(weight=tensor), [])
    assert isinstance(plain, OrderedDict)
    assert plain["weight"] is tensor
