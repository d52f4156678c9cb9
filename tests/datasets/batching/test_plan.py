"""A plan applied with torch gives the numbers of the compiled pass, from sent frames and from a pack on the device."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, default_collate

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, device_collate, keypoint_collate
from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.plan import FramePlan, apply_plan
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms import (
    CenterScale,
    FrameDropout,
    KeypointDropout,
    LegacyTSNSampleFrames,
    RandomAffine,
    RandomFlip,
    RandomResample,
    SelectKeypoints,
    TSNSampleFrames,
)
from karsl.datasets.transforms.augment import mask_points
from karsl.errors import ConfigError, KarslError
from karsl.models import KeypointDataPreprocessor
from karsl.testing.strategies import DEFERRED_TRANSFORMS, MISSING, make_clip

TRAIN = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=8, jitter=1.0),
    dict(type="RandomFlip"),
    dict(type="RandomAffine"),
    dict(type="CenterScale"),
    dict(type="PackKeypointInputs"),
]
MODES = ("frames", "resident")


def deferred(steps, clips, dtype):
    """Clips with recorded transforms, over frames of a dtype."""
    keys, skeleton = np.array([c["sample_key"] for c in clips]), clips[0]["skeleton"]
    arrays = [np.concatenate([np.nan_to_num(c["keypoint"]), c["keypoint_score"][..., None]], -1) for c in clips]
    clips = DeferredBatch(FrameBlock.from_clips([array.astype(dtype) for array in arrays]), skeleton)
    for step in steps:
        step.defer(clips, step.get_params(clips.meta, CounterRNG(keys, transform_id=step.transform_id)))
    return clips


def applied(clips, *, compact, device="cpu", **kwargs):
    """`apply_plan` of a deferred batch: over the frames that are read, or over all."""
    source = clips.source
    plan, frames = clips.plan(source.first_rows), torch.from_numpy(source.copy(np.arange(source.lengths.sum())))
    arrays = plan.arrays()
    if compact:
        used, arrays = plan.used_frames()
        frames = frames[torch.from_numpy(used)]
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)).to(device) for key, value in arrays.items()}
    return apply_plan(frames.to(device), FramePlan.from_batch(tensors, plan.missing_is_zero), **kwargs)


def assert_same(clips, *, device="cpu", fill=-3.0):
    """To 1e-5 of the largest coordinate."""
    for channels in (3, 4):
        want, want_mask = clips.write(channels=channels, fill=fill)
        for compact in (False, True):
            found, mask = applied(clips, compact=compact, device=device, channels=channels, fill=fill)
            found, mask = found.cpu().numpy(), mask.cpu().numpy()
            assert found.dtype == np.float32
            np.testing.assert_array_equal(mask.reshape(want_mask.shape), want_mask)
            size = max(1.0, float(np.abs(want).max(initial=0.0)))
            np.testing.assert_allclose(found.reshape(want.shape), want, rtol=0, atol=1e-5 * size)


@settings(max_examples=80)
@given(
    chain=st.lists(st.sampled_from(range(len(DEFERRED_TRANSFORMS))), max_size=5),
    frames=st.lists(st.integers(1, 14), min_size=1, max_size=4),
    missing=st.lists(st.sampled_from(MISSING), min_size=4, max_size=4),
    dtype=st.sampled_from([np.float16, np.float32]),
    seed=st.integers(0, 2**31),
)
def test_any_chain_of_deferred_steps_gives_the_compiled_numbers(chain, frames, missing, dtype, seed):
    steps = [DEFERRED_TRANSFORMS[i]() for i in chain]
    clips = [
        make_clip(t, "karsl_184", missing=m, seed=seed + n) for n, (t, m) in enumerate(zip(frames, missing, strict=False))
    ]
    try:
        together = deferred(steps, clips, dtype)
    except KarslError:  # e.g. the points that CenterScale needs were dropped
        return
    if together.has_steps:  # such as noise: the batch is made here, see `DeferredBatch.materialized`
        assert together.materialized
        return
    if len(set(together.num_frames.tolist())) == 1:
        assert_same(together)
        return
    with pytest.raises(ConfigError, match="frames in one plan; end the pipeline's temporal part"):
        together.plan(together.source.first_rows)
    for clip in clips:
        assert_same(deferred(steps, [clip], dtype))


def test_points_that_fade_into_zeros_keep_their_digits():
    clip = make_clip(2, "karsl_184", missing="none", seed=4)
    gone = mask_points(clip, np.array([[False], [True]]).repeat(184, axis=1))
    clips = [{**clip, **gone, "sample_key": np.uint64(key)} for key in range(12)]
    assert_same(deferred([LegacyTSNSampleFrames(1, 1.0), CenterScale()], clips, np.float32))


def test_points_that_a_skeleton_lacks_stay_missing():
    steps = [
        TSNSampleFrames(5),
        RandomFlip(1.0),
        SelectKeypoints(skeleton="holistic_543", allow_missing=True),
        KeypointDropout(0.3),
    ]
    assert_same(deferred(steps, [make_clip(9, missing="scattered", seed=n) for n in range(3)], np.float16))


def test_positions_on_whole_frames_need_no_second_frame():
    clips = deferred([TSNSampleFrames(4, mode="nearest"), RandomAffine()], [make_clip(9, seed=1)], np.float32)
    plan = clips.plan(clips.source.first_rows)
    assert plan.frame1 is plan.weight is None
    assert sorted(plan.arrays()) == ["plan_affine", "plan_frame0", "plan_group", "plan_points", "plan_row"]


def test_two_readings_are_noticed():
    assert deferred([RandomResample(), TSNSampleFrames(4)], [make_clip(9)], np.float32).materialized
    assert not deferred([TSNSampleFrames(4), CenterScale()], [make_clip(9)], np.float32).materialized


# ---- from a pack, through a loader ----


@pytest.fixture(scope="module")
def packs(corpus, tmp_path_factory):
    """The corpus as packs, by dtype."""
    folder = tmp_path_factory.mktemp("packs")
    for dtype in ("float16", "float32"):
        assert main(["pack", str(corpus), str(folder / dtype), "--dtype", dtype]) == 0
    return folder


def dataset_of(folder, pipeline=TRAIN):
    return KArSLDataset("annotations.json", data_root=str(folder), pipeline=pipeline, filter_cfg={"split": "test"}, seed=3)


def assert_same_batch(found, want):
    assert found.keys() == want.keys()
    for key, value in want.items():
        assert found[key].dtype == value.dtype
        size = max(1.0, float(value.abs().max())) if value.is_floating_point() else 0
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_batches_of_two_workers_are_those_of_the_cpu(packs, dtype, mode):
    def collate(samples):
        return device_collate(samples, mode)

    prepare = KeypointDataPreprocessor(pack=packs / dtype)
    expected = DataLoader(dataset_of(packs / dtype), 10, collate_fn=keypoint_collate)
    planned = DataLoader(dataset_of(packs / dtype), 10, collate_fn=collate, num_workers=2, multiprocessing_context="fork")
    for batch, want in zip(planned, expected, strict=True):
        assert ("inputs" in batch, "frames" in batch) == (False, mode == "frames")
        assert_same_batch(prepare(batch), want)


def test_a_resident_batch_is_small(packs):
    dataset, indices = dataset_of(packs / "float16"), range(16)
    batch = device_collate(dataset.__getitems__(indices), "resident")
    whole = keypoint_collate(dataset.__getitems__(indices))
    sizes = [sum(v.nbytes for v in b.values() if torch.is_tensor(v)) for b in (batch, whole)]
    assert sizes[0] * 20 < sizes[1]


def test_each_frame_is_sent_once_and_as_stored(packs):
    dataset = dataset_of(packs / "float16")
    twice, once = (device_collate(dataset.__getitems__(p)) for p in ([4, 4, 4], [4]))
    assert twice["frames"].dtype == torch.float16
    assert len(twice["frames"]) == len(once["frames"]) <= dataset.get_data_info(4)["num_frames"]


@pytest.mark.parametrize("mode", MODES)
def test_scores_fill_values_and_subsets_go_along(packs, mode):
    ends = [dict(type="FillMissing", value=-2.0), dict(type="PackKeypointInputs", with_score=True)]
    steps = [dict(type="KeypointDropout", prob=0.3), dict(type="FrameDropout", prob=0.3)]
    subset = dataset_of(packs / "float16", [*TRAIN[:-1], *steps, *ends]).get_subset([7, 2, 5])
    prepare = KeypointDataPreprocessor(pack=[packs / "float32", packs / "float16" / "frames-00000.npy"])
    want = keypoint_collate(subset.__getitems__([0, 2, 1]))
    assert want["inputs"].shape[-1] == 4
    assert (want["inputs"] == -2).any()
    assert_same_batch(prepare(device_collate(subset.__getitems__([0, 2, 1]), mode)), want)


def own_step(results):
    """A step that cannot be deferred."""
    return {**results, "keypoint": results["keypoint"] * 2}


@pytest.mark.parametrize(
    "pipeline",
    [[*TRAIN[:2], own_step, *TRAIN[2:]], [TRAIN[0], dict(type="RandomResample"), *TRAIN[1:]]],
    ids=["own", "two readings"],
)
@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_planned_comes_finished(packs, pipeline, mode):
    dataset = dataset_of(packs / "float16", pipeline)
    batch = device_collate(dataset.__getitems__([0, 3]), mode)
    assert_same_batch(KeypointDataPreprocessor()(batch), keypoint_collate(dataset.__getitems__([0, 3])))
    assert "frame_plan" not in batch


def test_shards_of_a_pack_are_one_on_the_device(corpus, packs, tmp_path):
    assert main(["pack", str(corpus), str(tmp_path / "sharded"), "--shard-size", "0.0002"]) == 0
    assert len(list((tmp_path / "sharded").glob("frames-*.npy"))) > 1
    sharded, whole = dataset_of(tmp_path / "sharded"), dataset_of(packs / "float16")
    indices = list(range(len(whole)))[::-1]
    batch = device_collate(sharded.__getitems__(indices), "resident")
    assert "frames" not in batch
    found = KeypointDataPreprocessor(pack=tmp_path / "sharded")(batch)
    assert_same_batch(found, keypoint_collate(whole.__getitems__(indices)))
    batches = [keypoint_collate(dataset.__getitems__(indices)) for dataset in (sharded, whole)]
    torch.testing.assert_close(*batches)


def test_archives_are_planned_too_but_cannot_be_resident(corpus):
    dataset = KArSLDataset(data_root=str(corpus), pipeline=TRAIN, seed=0)
    batch = device_collate(dataset.__getitems__([1, 2]))
    assert batch["frames"].dtype == torch.float32
    assert_same_batch(KeypointDataPreprocessor()(batch), keypoint_collate(dataset.__getitems__([1, 2])))
    with pytest.raises(ConfigError, match="needs clips of a pack; make one with 'karsl pack'"):
        device_collate(dataset.__getitems__([1, 2]), "resident")


def test_clips_of_different_lengths_are_rejected_as_ever(packs):
    dataset = dataset_of(packs / "float16", [TRAIN[0], TRAIN[-1]])
    with pytest.raises(ConfigError, match="clips of different shapes in one batch"):
        device_collate(dataset.__getitems__(range(6)))


def test_a_batch_of_another_pack_is_rejected(packs):
    batch = device_collate(dataset_of(packs / "float16").__getitems__([0]), "resident")
    for pack in (None, packs / "float32"):
        with pytest.raises(ConfigError, match="refers to frames of a pack that KeypointDataPreprocessor does not have"):
            KeypointDataPreprocessor(pack=pack)(batch)


def test_an_unknown_mode_is_rejected():
    with pytest.raises(ConfigError, match="mode='device'; expected 'frames' or 'resident'"):
        device_collate([], "device")


def test_samples_without_a_plan_are_stacked():
    one = {"inputs": torch.zeros(8, 5, 3), "label": 1}
    assert device_collate([one, one])["inputs"].shape == default_collate([one, one])["inputs"].shape


def test_the_resident_pack_is_in_no_checkpoint_copy_or_cast(packs):
    prepare = KeypointDataPreprocessor(pack=packs / "float16")
    (pack,) = prepare.packs
    assert (dict(prepare.state_dict()), list(prepare.buffers())) == ({}, [])
    assert copy.deepcopy(prepare.half()).packs[0] is pack
    assert pack.to("cpu") is pack.to("cpu")
    assert pack.to("cpu").dtype == torch.float16
    assert pickle.loads(pickle.dumps(pack)).digest == pack.digest


def test_missing_files_of_a_resident_pack_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="make a pack with .karsl pack."):
        KeypointDataPreprocessor(pack=tmp_path)


# ---- training ----


def training(packs, work_dir, collate):
    """A short run from a config; the loss of every iteration."""
    from mmengine.config import Config

    from karsl.engine import build_runner

    data = {"type": "KArSLDataset", "ann_file": "annotations.json", "data_root": str(packs / "float16"), "pipeline": TRAIN}
    cfg = Config(
        {
            "default_scope": "karsl",
            "model": {
                "type": "KeypointRecognizer",
                "data_preprocessor": {"type": "KeypointDataPreprocessor", "pack": str(packs / "float16")},
                "backbone": {"type": "STTransformer", "skeleton": "auto", "embed_dims": 8, "depth": 1, "num_heads": 2},
                "cls_head": {"type": "ClassifierHead", "num_classes": "auto", "in_channels": 8},
            },
            "train_dataloader": {
                "batch_size": 30,
                "num_workers": 1,
                "persistent_workers": True,
                "dataset": {**data, "filter_cfg": {"split": "train"}},
                "sampler": {"type": "DefaultSampler", "shuffle": True},
                "collate_fn": collate,
            },
            "train_cfg": {"by_epoch": True, "max_epochs": 2},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "SGD", "lr": 0.1}},
            "default_hooks": {"logger": {"type": "LoggerHook", "interval": 1}},
            "randomness": {"seed": 3},
            "work_dir": str(work_dir),
            "experiment_name": work_dir.name,
        }
    )
    runner = build_runner(cfg)
    runner.train()
    assert not [key for key in runner.model.state_dict() if "pack" in key or "frames" in key]
    return runner.message_hub.get_scalar("train/loss").data[0].tolist()


def test_a_run_from_a_config_learns_the_same_either_way(packs, tmp_path):
    losses = {
        name: training(packs, tmp_path / f"plan_{name}", collate)
        for name, collate in {
            "finished": {"type": "keypoint_collate"},
            "resident": {"type": "device_collate", "mode": "resident"},
        }.items()
    }
    assert len(losses["finished"]) == 4
    assert losses["resident"] == pytest.approx(losses["finished"], rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_gives_the_numbers_of_the_cpu(packs):
    clips = [make_clip(t, missing="scattered", seed=t) for t in (1, 9, 30)]
    chain = [TSNSampleFrames(8, 1.0), RandomFlip(), RandomAffine(), CenterScale(), KeypointDropout(0.2), FrameDropout(0.2)]
    assert_same(deferred(chain, clips, np.float16), device="cuda")
    prepare = KeypointDataPreprocessor(pack=packs / "float16").cuda()
    dataset = dataset_of(packs / "float16")
    for mode in MODES:
        found = prepare(device_collate(dataset.__getitems__(range(8)), mode))
        assert found["inputs"].is_cuda
        want = keypoint_collate(dataset.__getitems__(range(8)))
        assert_same_batch({key: value.cpu() for key, value in found.items()}, want)
