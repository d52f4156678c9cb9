"""One contract over every registered transform, on every skeleton that suits it."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from karsl.datasets import transforms
from karsl.datasets.rng import CounterRNG, sample_keys
from karsl.datasets.transforms.base import ClipMeta, KeypointTransform, clip_meta
from karsl.registry import TRANSFORMS
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton
from karsl.testing.strategies import MISSING, make_clip

HANDS = get_skeleton("karsl_184").select(["rh", "lh"], name="hands")
SKELETONS = {name: get_skeleton(name) for name in ("karsl_184", "holistic_543", "msl_226")} | {"hands": HANDS}

# configs that between them reach every mode; FIXED use no random numbers. A transform that is not named is tested with its
# defaults
RANDOM = {
    "TSNSampleFrames": [dict(clip_len=5, jitter=1.0), dict(clip_len=5, jitter=1.0, mode="nearest")],
    "LegacyTSNSampleFrames": [dict(clip_len=20, jitter=0.5)],
    "UniformSampleFrames": [dict(clip_len=5), dict(clip_len=20)],
    "PadTo": [dict(clip_len=5, crop="random")],
    "RandomFlip": [dict(prob=0.5)],
    "RandomAffine": [dict(), dict(per_group=True, rotation_deg=(-90, 90), aspect=1.5)],
    "KeypointDropout": [dict(prob=0.5), dict(prob=0.5, level="group"), dict(prob=0.5, groups=["rh"])],
    "FrameDropout": [dict(prob=0.5)],
    "RandomResample": [dict(speed=(0.5, 2.0))],
    "RandomGaussianNoise": [dict(sigma=0.1)],
}  # fmt: skip
FIXED = {
    "LoadKeypoints": [dict(), dict(cache_bytes=0, nonfinite="missing")],
    "TSNSampleFrames": [dict(clip_len=5), dict(clip_len=20, mode="nearest")],
    "LegacyTSNSampleFrames": [dict(clip_len=5)],
    "UniformSampleFrames": [dict(clip_len=5, test_mode=True)],
    "ResampleFPS": [dict(fps=25, source_fps=30), dict(fps=60, source_fps=25)],
    "SmoothKeypoints": [dict(), dict(window=3)],
    "PadTo": [dict(clip_len=n, mode=m, crop=c) for n in (5, 20) for m in ("missing", "repeat", "loop")
                  for c in ("start", "center")],
    "RandomFlip": [dict(prob=1.0)],
    "CenterScale": [dict(), dict(per_group=True),
                    dict(per_group=True, anchors={"rh": dict(origin=["left_hand_wrist"],
                                                             scale=["left_hand_wrist", "right_hand_wrist"])})],
    "FillMissing": [dict(mode=m, value=v) for m in ("constant", "previous", "linear") for v in (0.0, 0.5)],
    "SelectKeypoints": [dict(names=["rh", "left_hand_wrist"]), dict(skeleton="karsl_184", allow_missing=True),
                        dict(skeleton=HANDS)],
    "SkeletonFeatures": [
        dict(feats=["joint", "bone_motion"]),
        dict(feats="bone", flatten=False, fill=1.0),
        dict(feats="joint_motion", output="keypoint"),
    ],
    "EncodeGloss": [dict(classes=list(range(9))), dict(target="english", classes=["a b", "c", *"defghij"])],
    "PackKeypointInputs": [dict(), dict(fill=-1.0, with_score=True)],
}  # fmt: skip

OWN = {name: cls for name, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith("karsl.")}
for _name in sorted(set(OWN) - set(RANDOM) - set(FIXED)):
    if all(p.default is not p.empty for p in inspect.signature(OWN[_name]).parameters.values()):
        (FIXED if OWN[_name].get_params is KeypointTransform.get_params else RANDOM)[_name] = [dict()]


def cases(*tables: dict, but: tuple[str, ...] = ()) -> list:
    """(config, skeleton) for each config and each skeleton that suits it; without the transforms of `but`."""
    out = []
    for name, options in (item for table in tables for item in table.items()):
        for k, chosen in enumerate(options):
            for label, skeleton in SKELETONS.items():
                if name not in but and (name, label, chosen) != ("CenterScale", "hands", {}):  # hands have no shoulders
                    cfg = dict(type=name, **chosen)
                    out.append(pytest.param(cfg, skeleton, id=f"{name}{k}-{label}"))
    return out


every = pytest.mark.parametrize(("cfg", "skeleton"), cases(RANDOM, FIXED))
every_but_pack = pytest.mark.parametrize(("cfg", "skeleton"), cases(RANDOM, FIXED, but=("PackKeypointInputs",)))
no_fill = cases(RANDOM, FIXED, but=("PackKeypointInputs", "FillMissing"))
every_but_fill = pytest.mark.parametrize(("cfg", "skeleton"), no_fill)


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Callable[..., dict]:
    """`start(cfg, skeleton, ...)` gives results that suit a step: a file's record for LoadKeypoints, else arrays."""
    folder = tmp_path_factory.mktemp("clips")

    def make(cfg: dict, skeleton: Skeleton, frames: int = 12, *, missing: str = "scattered", seed: int = 1) -> dict:
        clip = make_clip(frames, skeleton, missing=missing, seed=seed)
        if cfg["type"] == "LoadKeypoints":
            path = folder / f"{skeleton.name}-{missing}-{frames}-{seed}.npz"
            raw = np.concatenate([np.nan_to_num(clip.pop("keypoint")), clip.pop("keypoint_score")[..., None]], -1)
            if not path.exists():
                np.savez(path, a=raw)
            clip |= {"keypoint_path": str(path), "keypoint_key": "a", "num_frames": 0}
            del clip["total_frames"]
        return clip

    return make


def same(a: object, b: object) -> bool:
    if isinstance(a, (np.ndarray, torch.Tensor)):
        return type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f")
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def build(cfg: dict) -> KeypointTransform:
    return TRANSFORMS.build(cfg)


def declared_keys(step: KeypointTransform) -> dict[str, set[str]]:
    """The Required, Modified and Added Keys of a docstring."""
    found: dict[str, set[str]] = {"Required": set(), "Modified": set(), "Added": set()}
    section = None
    for line in inspect.cleandoc(type(step).__doc__ or "").splitlines():
        if heading := re.fullmatch(r"(\w+)( Keys)?:", line):
            section = heading[1] if heading[2] else None
        elif section == "Required":
            found["Required"] |= set(re.findall(r"\w+", line))
        elif section and (key := re.match(r"    (\w+): \S", line)):
            found[section].add(key[1])
    return found


def test_every_registered_transform_of_karsl_is_under_this_contract():
    missing = sorted(set(OWN) - set(RANDOM) - set(FIXED))
    assert missing == [], "these have required arguments: add configs of them to RANDOM or FIXED"
    assert sorted((set(RANDOM) | set(FIXED)) - set(OWN)) == []


def test_a_module_that_the_package_exports_from_is_exported_completely():
    modules = {getattr(transforms, name).__module__ for name in transforms.__all__}
    missing = {name for name, cls in OWN.items() if cls.__module__ in modules} - set(transforms.__all__)
    assert sorted(missing) == [], "export these, too, in karsl/datasets/transforms/__init__.py"


@every
def test_the_same_random_numbers_give_the_same_output(cfg, skeleton, start):
    assert same(build(cfg)(start(cfg, skeleton)), build(cfg)(start(cfg, skeleton)))


@pytest.mark.parametrize(("cfg", "skeleton"), cases(RANDOM))
def test_a_random_transform_gives_other_outputs_in_other_epochs(cfg, skeleton, start):
    outputs = by_epoch(cfg, start(cfg, skeleton))
    assert any(not same(outputs[0], other) for other in outputs[1:])


@pytest.mark.parametrize(("cfg", "skeleton"), cases(FIXED))
def test_a_fixed_transform_gives_one_output_in_every_epoch(cfg, skeleton, start):
    outputs = by_epoch(cfg, start(cfg, skeleton))
    assert all(same(outputs[0], other) for other in outputs[1:])


def by_epoch(cfg: dict, clip: dict) -> list[dict]:
    step, keys = build(cfg), [sample_keys(0, epoch, np.array([3]))[0] for epoch in range(10)]
    outputs = [step({**clip, "sample_key": key}) for key in keys]
    return [{k: v for k, v in out.items() if k != "sample_key"} for out in outputs]


@every
def test_the_input_is_left_as_it_was(cfg, skeleton, start):
    clip = start(cfg, skeleton)  # its arrays are read-only
    before = copy.deepcopy(clip)
    out = build(cfg)(clip)
    assert out is not clip
    assert same(clip, before)


@every_but_fill
def test_missing_is_nan_with_score_0_afterwards_too_down_to_clips_of_one_frame(cfg, skeleton, start):
    for missing in MISSING:
        for frames in (1, 2, 12):
            out = build(cfg)(start(cfg, skeleton, frames, missing=missing))
            nan, absent = np.isnan(out["keypoint"]), out["keypoint_score"] == 0
            assert (nan.any(-1) == absent).all(), (missing, frames)
            assert (nan.all(-1) == absent).all(), (missing, frames)
            assert absent.all() or missing != "all", frames
            assert len(absent) >= 1, (missing, frames)


@every
def test_copies_by_pickle_and_deepcopy_give_the_same(cfg, skeleton, start):
    step = build(cfg)
    expected = step(start(cfg, skeleton))
    for other in (pickle.loads(pickle.dumps(step)), copy.deepcopy(step)):
        assert repr(other) == repr(step)
        assert same(other(start(cfg, skeleton)), expected)


def arguments(step) -> dict:
    """Public attributes, with skeletons as in a config."""
    public = {name: value for name, value in vars(step).items() if name[0] != "_"}
    return {name: describe_skeleton(v) if isinstance(v, Skeleton) else v for name, v in public.items()}


@pytest.mark.parametrize("cfg", [dict(type=n, **o) for t in (RANDOM, FIXED) for n, os in t.items() for o in os], ids=str)
def test_the_repr_evaluates_to_the_same_transform(cfg):
    step = build(cfg)
    again = eval(repr(step), OWN)
    assert type(again) is type(step)
    assert arguments(again) == arguments(step)
    assert repr(again) == repr(step)


@every_but_pack
def test_arrays_keep_type_shape_and_length_in_step(cfg, skeleton, start):
    out = build(cfg)(start(cfg, skeleton))
    frames, points = out["num_frames"], out["skeleton"].num_keypoints
    assert out["keypoint"].shape == (frames, points, 3)
    assert out["keypoint_score"].shape == (frames, points)
    assert out["keypoint"].dtype == out["keypoint_score"].dtype == np.float32
    assert ((out["keypoint_score"] >= 0) & (out["keypoint_score"] <= 1)).all()
    assert type(frames) is int
    if "frame_inds" in out:
        assert out["frame_inds"].shape == (frames,)
        assert out["frame_inds"].dtype == np.float64


@every
def test_the_required_keys_are_enough(cfg, skeleton, start):
    step, clip = build(cfg), start(cfg, skeleton)
    required = declared_keys(step)["Required"]
    assert required
    assert required <= set(clip)
    locator = {"keypoint_key"}  # of an array in an archive, as the clips here are
    step({k: v for k, v in clip.items() if k in required | locator | {"sample_key"}})


@pytest.mark.parametrize("name", sorted({*RANDOM, *FIXED}))
def test_the_changed_keys_are_exactly_those_that_the_docstring_declares(name, start):
    changed, added = set(), set()
    for cfg in [dict(type=name, **options) for table in (RANDOM, FIXED) for options in table.get(name, [])]:
        step = build(cfg)
        for seed in range(4):
            clip = start(cfg, SKELETONS["karsl_184"], seed=seed)
            out = step(clip)
            added |= set(out) - set(clip)
            changed |= {k for k in set(out) & set(clip) if not same(out[k], clip[k])}
    declared = declared_keys(step)
    if name == "PackKeypointInputs":
        added |= {"label", "sample_idx"}  # passed on, and all else dropped
    assert (changed, added) == (declared["Modified"], declared["Added"])


@every_but_pack
def test_params_of_n_clips_at_once_are_those_of_each_alone(cfg, skeleton, start):
    """The law that lets one kernel fill a whole batch: rows do not know of each other. A row may be longer than needed."""
    step = build(cfg)
    clips = [start(cfg, skeleton, frames, seed=frames) for frames in (12, 1, 5, 30, 2)]
    keys = sample_keys(7, 2, np.arange(len(clips)))
    lengths = np.array([clip["num_frames"] for clip in clips])
    batch = step.get_params(ClipMeta(lengths, skeleton), CounterRNG(keys, transform_id=step.transform_id))
    for row, clip in enumerate(clips):
        single = step.get_params(clip_meta(clip), CounterRNG(keys[row], transform_id=step.transform_id))
        assert list(single) == list(batch)
        for name, values in single.items():
            assert len(values) == 1
            assert len(batch[name]) == len(clips)
            longer = batch[name][row]
            np.testing.assert_array_equal(longer[tuple(slice(n) for n in values[0].shape)], values[0])
        expected = step({**clip, "sample_key": keys[row]})
        applied = step.apply(clip, {name: values[row] for name, values in batch.items()})
        assert all(same(applied[k], expected[k]) for k in applied)
