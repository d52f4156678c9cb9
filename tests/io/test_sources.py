"""The same 600 clips in every kind of file and packed in every kind of shard give the same batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.formats import open_clips
from karsl.pack.write import pack_clips

SIGNS, CLIPS = 12, 50
PIPELINE = [
    dict(type="LoadKeypoints", cache_bytes=0),
    dict(type="TSNSampleFrames", clip_len=6, jitter=1.0),
    dict(type="RandomFlip"),
    dict(type="RandomAffine"),
    dict(type="PackKeypointInputs", with_score=True),
]


def clip_of(sign: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([sign, number])
    clip = rng.random((2 + (sign + number) % 7, 184, 4), dtype=np.float32)
    clip[rng.random(clip.shape[:2]) < 0.1] = 0
    return clip


def names_of(sign: int) -> list[str]:
    return [f"clip-{sign}-{n:02d}" for n in range(CLIPS)]


def write_file_per_sign(folder, sign, save) -> None:
    save(folder / f"{sign:04d}", {name: clip_of(sign, n) for n, name in enumerate(names_of(sign))})


def write_file_per_clip(folder, sign, save) -> None:
    (folder / f"{sign:04d}").mkdir()
    for n, name in enumerate(names_of(sign)):
        save(folder / f"{sign:04d}" / name, clip_of(sign, n))


LAYOUTS = {
    "npz, stored": (write_file_per_sign, lambda path, clips: np.savez(path, **clips)),
    "npz, deflated": (write_file_per_sign, lambda path, clips: np.savez_compressed(path, **clips)),
    "pt": (write_file_per_sign, lambda p, clips: torch.save({k: torch.from_numpy(v) for k, v in clips.items()}, f"{p}.pt")),
    "npy per clip": (write_file_per_clip, np.save),
    "npz per clip": (write_file_per_clip, lambda path, clip: np.savez_compressed(path, keypoints=clip)),
    "pt per clip": (write_file_per_clip, lambda path, clip: torch.save(torch.from_numpy(clip), f"{path}.pt")),
}
PACKS = {
    "float32": (dict(dtype="float32"), 1e-6),
    "float32, many shards": (dict(dtype="float32", shard_bytes=300_000, workers=2), 1e-6),
    "float16": (dict(dtype="float16"), 2e-3),
    "float16, many shards": (dict(dtype="float16", shard_bytes=300_000), 2e-3),
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    made = {}
    for layout, (write, save) in LAYOUTS.items():
        made[layout] = tmp_path_factory.mktemp("root")
        (made[layout] / "01-train").mkdir()
        for sign in range(1, SIGNS + 1):
            write(made[layout] / "01-train", sign, save)
    return made


def batches(dataset) -> dict[str, torch.Tensor]:
    """Return three batches that span all files, and some of the clips read one by one."""
    assert len(dataset) == SIGNS * CLIPS
    order = np.random.default_rng(0).permutation(len(dataset))[:96].reshape(3, 32).tolist()
    made = [keypoint_collate(dataset.__getitems__(indices)) for indices in order]
    alone = keypoint_collate([dataset[index] for index in order[0][:4]])
    assert all(len(set(batch["label"].tolist())) > 5 for batch in made)
    return {key: torch.cat([batch[key] for batch in (*made, alone)]) for key in made[0]}


@pytest.fixture(scope="module")
def expected(roots):
    return batches(KArSLDataset(data_root=str(roots["npz, stored"]), pipeline=PIPELINE, seed=3, serialize_data=False))


def assert_same(found, expected, atol: float) -> None:
    for key in ("keypoint_mask", "label", "sample_idx"):
        assert torch.equal(found[key], expected[key]), key
    torch.testing.assert_close(found["inputs"], expected["inputs"], rtol=0, atol=atol)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_any_layout_give_the_same_batches(roots, expected, layout):
    assert_same(batches(KArSLDataset(data_root=str(roots[layout]), pipeline=PIPELINE, seed=3)), expected, 1e-6)


@pytest.mark.parametrize("kind", PACKS)
def test_packs_give_the_same_batches_to_the_precision_of_their_dtype(roots, expected, kind, tmp_path):
    options, atol = PACKS[kind]
    done = pack_clips(open_clips(roots["npz, deflated"]), tmp_path / "pack", **options)
    assert (len(done.manifest.shards) > 5) == ("many" in kind)
    dataset = KArSLDataset("annotations.json", data_root=str(tmp_path / "pack"), pipeline=PIPELINE, seed=3)
    assert_same(batches(dataset), expected, atol)
