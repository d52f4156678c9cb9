"""The reference project's block: packed when its pickles are named, at offsets of the whole file; nothing in it runs."""

from __future__ import annotations

import os

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import KarslError
from karsl.formats import open_clips


def clip_of(sign, signer, number):
    rng = np.random.default_rng([sign, signer, number])
    clip = rng.random((3 + (sign + 2 * signer + number) % 5, 184, 4)).astype(np.float16).astype(np.float32)
    clip[:, :20] = 0
    return clip


def write_block(folder, split="train", signs=(9, 3), signers=(2, 1), clips=2):
    """As the reference project writes it: signs outside, signers inside, in the order of its command line."""
    lengths, frames, labels = {}, [], []
    for sign in signs:
        for signer in signers:
            here = [clip_of(sign, signer, n) for n in range(clips + sign % 2)]
            frames += here
            labels += [sign] * len(here)
            lengths.setdefault(sign, {})[signer] = [len(clip) for clip in here]
    block = np.concatenate(frames)
    block.tofile(folder / f"{split}_X.mmap")
    np.save(folder / f"{split}_X_shape.npy", block.shape)
    np.savez(folder / f"{split}_y.npz", np.array(labels))
    np.save(folder / f"{split}_X_map_samples_lens.npy", lengths)
    return folder / f"{split}_X_map_samples_lens.npy"


def test_a_subset_of_signs_and_signers_in_another_order_gives_the_same_clips(tmp_path):
    write_block(tmp_path)
    named = write_block(tmp_path, "test")
    assert main(["pack", str(tmp_path), str(tmp_path / "pack"), "--trust-pickle", str(named), *_other(named)]) == 0
    kwargs = dict(data_root=str(tmp_path / "pack"), pipeline=[dict(type="LoadKeypoints")])
    for filter_cfg in ({"signs": (3,)}, {"signers": ("01",), "split": "test"}, {"signs": (9,), "signers": ("02",)}):
        dataset = KArSLDataset("annotations.json", filter_cfg=filter_cfg, **kwargs)
        for n in range(len(dataset)):
            record = dataset[n]
            clip = clip_of(record["sign"], int(record["signer"]), int(record["clip_id"][-3:]))
            np.testing.assert_array_equal(np.nan_to_num(record["keypoint"]), clip[..., :3])


def _other(named):
    return ["--trust-pickle", str(named).replace("test_X", "train_X")]


def test_a_pickle_is_read_only_when_its_file_is_named(tmp_path, capsys):
    named = write_block(tmp_path)
    assert main(["pack", str(tmp_path), str(tmp_path / "pack")]) == 2
    assert f"--trust-pickle {named}" in capsys.readouterr().err
    assert main(["pack", str(tmp_path), str(tmp_path / "pack"), "--trust-pickle", str(tmp_path / "other.npy")]) == 2
    capsys.readouterr()
    other = write_block(tmp_path, "test")
    assert main(["pack", str(tmp_path), str(tmp_path / "pack")]) == 2
    assert f"--trust-pickle {other} --trust-pickle {named}" in capsys.readouterr().err
    assert main(["pack", str(tmp_path), str(tmp_path / "pack"), "--trust-pickle", str(named)]) == 2
    assert f"origin, add --trust-pickle {other} (trusted" in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("held", [RunsCode(), {3: RunsCode()}, {3: {1: [RunsCode()]}}, {3: {1: "abc"}}, {3: 5}, [1, 2]])
def test_even_a_trusted_file_holds_numbers_or_is_rejected_and_nothing_runs(tmp_path, monkeypatch, held):
    monkeypatch.chdir(tmp_path)
    named = write_block(tmp_path)
    np.save(named, np.array(held, dtype=object))
    with pytest.raises(KarslError):
        open_clips(tmp_path, trusted=[named])
    assert not (tmp_path / "ran").exists()
