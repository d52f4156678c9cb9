"""Arrays of other projects are read in place, with the numbers of `canonical_clip`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.datasets import KeypointDataset, keypoint_collate
from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.rng import CounterRNG
from karsl.errors import CorruptRecordError
from karsl.io import ClipReader, canonical_clip
from karsl.io.addresses import ClipLayout
from karsl.io.annotations import write_data_list
from karsl.io.rows import locate_array
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import DEFERRED_TRANSFORMS

SKELETON = get_skeleton("karsl_184").select(["pose", "rh", "lh"])  # 6 and 21 points: steps of four and a rest
V = SKELETON.num_keypoints
PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=6, jitter=0.7),
    dict(type="RandomFlip"),
    dict(type="CenterScale"),
    dict(type="PackKeypointInputs", with_score=True),
]


def raw_clip(seed, values, dtype, frames=5):
    """Points as files have them: some missing as zeros or minus zeros, scores absent, 0, negative, tiny or above 1."""
    rng = np.random.default_rng(seed)
    clip = rng.normal(0.5, 0.2, (frames, V, values)).astype(dtype)
    clip[rng.random(clip.shape) < 0.2] = 0
    clip[rng.random(clip.shape[:2]) < 0.2, :3] = 0
    if values == 4:
        scores = np.array([0, -0.0, -1, 6e-8, 0.25, 1, 1.5, 3e4])
        clip[..., 3] = np.where(rng.random(clip.shape[:2]) < 0.7, rng.choice(scores, clip.shape[:2]), clip[..., 3])
    return clip * np.where(rng.random(clip.shape) < 0.1, dtype(-1), dtype(1))


def raw_block(clips, offset=0):
    """Clips one after the other in a file, from any byte on."""
    data = np.frombuffer(bytes(offset) + b"".join(clip.tobytes() for clip in clips), np.uint8)
    ends = offset + np.cumsum([0] + [clip.nbytes for clip in clips])
    layout = ClipLayout(clips[0].dtype, V, clips[0].shape[2])
    lengths = np.array([len(clip) for clip in clips])
    return FrameBlock.from_bytes({"a.npy": data}, np.zeros(len(clips), np.int64), ends[:-1], lengths, layout)


def applied(block, steps, keys, channels):
    batch = DeferredBatch(block, SKELETON)
    for step in steps:
        step.defer(batch, step.get_params(batch.meta, CounterRNG(keys, transform_id=step.transform_id)))
    return batch.write(channels=channels, fill=-3.0)


@pytest.mark.parametrize(("values", "dtype"), [(3, np.float32), (4, np.float32), (4, np.float16)])  # seconds to compile each
@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    steps=st.lists(st.sampled_from(DEFERRED_TRANSFORMS), max_size=4),
    offset=st.integers(0, 9),
    channels=st.sampled_from([3, 4]),
)
def test_rows_give_the_bits_of_canonical_clips(values, dtype, seed, steps, offset, channels):
    clips = [raw_clip([seed, n], values, dtype, frames=3 + n) for n in range(3)]
    keys, chain = np.arange(3, dtype=np.uint64) + np.uint64(seed), [make() for make in steps]
    found = applied(raw_block(clips, offset), chain, keys, channels)
    wanted = applied(FrameBlock.from_clips([canonical_clip(clip) for clip in clips]), chain, keys, channels)
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0].view(np.uint32), wanted[0].view(np.uint32))


@pytest.mark.parametrize("values", [3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_frames_for_a_device_are_canonical(values, dtype):
    clips = [raw_clip(n, values, dtype) for n in range(2)]
    found = raw_block(clips, 1).copy(np.arange(10))
    np.testing.assert_array_equal(found, np.concatenate([canonical_clip(clip) for clip in clips]).astype(dtype))
    assert found.dtype == dtype


# ---- datasets ----


def save_stack(path, stack):
    if path.suffix == ".npy":
        np.save(path, stack)
    elif path.suffix == ".npz":
        np.savez(path, X=stack)
    else:
        torch.save(torch.from_numpy(stack), path)


def records_of(path):
    stored = locate_array(path)
    location = {"num_frames": stored.shape[1], "dtype": stored.dtype.name, "raw": stored.shape[3]}
    return [
        {"keypoint_path": path.name, "byte_start": stored.row(i, "x").start, "label": i, **location}
        for i in range(stored.shape[0])
    ]


def dataset_of(folder, records, pipeline=PIPELINE, **options):
    write_data_list(folder / "a.json", {"skeleton": "rows"}, records)
    arguments = dict(data_root=str(folder), skeleton=SKELETON, index_cache=None, seed=0, pipeline=pipeline)
    return KeypointDataset("a.json", **{**arguments, **options})


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize("values", [3, 4])
def test_a_batch_of_rows_is_its_samples_and_those_of_single_files(tmp_path, suffix, values):
    stack = np.stack([raw_clip(n, values, np.float32) for n in range(6)])
    save_stack(tmp_path / f"stack{suffix}", stack)
    rows = dataset_of(tmp_path, records_of(tmp_path / f"stack{suffix}"))
    assert set(rows.index.columns) >= {"byte_start", "raw"}
    for n, clip in enumerate(stack):
        np.save(tmp_path / f"{n}.npy", clip)
    singles = dataset_of(tmp_path, [{"keypoint_path": f"{n}.npy", "label": n} for n in range(6)])
    batch, wanted = (keypoint_collate(d.__getitems__([5, 0, 3, 3])) for d in (rows, singles))
    single = keypoint_collate([rows[i] for i in (5, 0, 3, 3)])
    for key, value in wanted.items():
        assert torch.equal(batch[key], value), key
        torch.testing.assert_close(single[key], value, rtol=0, atol=1e-6)


def test_rows_of_files_of_several_layouts_are_read_one_by_one(tmp_path):
    stacks = {"a.npy": np.stack([raw_clip(1, 3, np.float32)]), "b.npy": np.stack([raw_clip(2, 4, np.float16)])}
    for name, stack in stacks.items():
        np.save(tmp_path / name, stack)
    mixed = dataset_of(tmp_path, [r for name in stacks for r in records_of(tmp_path / name)])
    alone = [dataset_of(tmp_path, records_of(tmp_path / name)) for name in stacks]
    batch = keypoint_collate(mixed.__getitems__([0, 1]))
    assert torch.equal(batch["keypoint_mask"][0], keypoint_collate([alone[0][0]])["keypoint_mask"][0])
    assert batch["inputs"].shape == (2, 6, V, 4)


def test_values_that_are_not_finite_are_found_at_the_first_touch_or_dropped(tmp_path):
    stack = np.stack([raw_clip(n, 4, np.float32) for n in range(3)])
    stack[1, 2, 3] = [np.nan, 1, 1, 1]
    stack[1, 0, 0, 3] = np.inf
    np.save(tmp_path / "s.npy", stack)
    records, load = records_of(tmp_path / "s.npy"), PIPELINE[0]
    for verify in ("off", "first touch", "always"):
        rows = dataset_of(tmp_path, records, [{**load, "verify": verify}, *PIPELINE[1:]])
        keypoint_collate(rows.__getitems__([0, 2]))
        for read in (lambda rows=rows: rows[1], lambda rows=rows: keypoint_collate(rows.__getitems__([0, 1]))):
            with pytest.raises(
                Exception, match="s.npy: the clip at bytes .* 2 values that are NaN or infinite, first in fr"
            ):
                read()
    rows = dataset_of(tmp_path, records, [{**load, "nonfinite": "missing"}, *PIPELINE[1:]])
    np.save(tmp_path / "1.npy", np.where(np.isfinite(stack[1]).all(-1)[..., None], stack[1], 0))
    repaired = dataset_of(tmp_path, [{"keypoint_path": "1.npy", "label": 1}] * 2)
    for _ in range(2):
        batch = keypoint_collate(rows.__getitems__([0, 1]))
        assert torch.equal(batch["inputs"][1], keypoint_collate(repaired.__getitems__([0, 1]))["inputs"][1])
        assert torch.equal(rows[1]["keypoint_mask"], repaired[1]["keypoint_mask"])


def test_a_file_that_was_replaced_or_cut_is_noticed_in_every_mode(tmp_path):
    stack = np.stack([raw_clip(n, 3, np.float32) for n in range(4)])
    for verify in ("off", "first touch", "always"):
        np.save(tmp_path / "s.npy", stack)
        rows = dataset_of(tmp_path, records_of(tmp_path / "s.npy"), [{**PIPELINE[0], "verify": verify}, *PIPELINE[1:]])
        keypoint_collate(rows.__getitems__([0, 3]))
        with open(tmp_path / "s.npy", "r+b") as stream:
            stream.truncate(200)
        with pytest.raises(CorruptRecordError, match="s.npy: no clip of 5 frames of float32 at byte .*, the file has 200"):
            ClipReader(verify=verify).read(rows.get_data_info(3), V)
        with pytest.raises(Exception, match="s.npy: no clip of 5 frames of float32 at byte .*, the file has 200"):
            keypoint_collate(rows.__getitems__([0, 3]))
