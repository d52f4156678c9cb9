"""The reference project's block: imported only when trusted, with offsets of the whole file, and nothing in it runs."""

from __future__ import annotations

import os
import pickle
import re

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KArSLDataset
from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError
from karsl.storage import canonical_clip
from karsl.storage.convert import open_source
from karsl.storage.pack.source import open_clips


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


def test_every_clip_lies_where_the_whole_file_says(tmp_path):
    write_block(tmp_path)
    write_block(tmp_path, "test", clips=1)
    source = pickle.loads(pickle.dumps(open_source(tmp_path, trusted=True)))
    assert len(source.records) == 12 + 8
    for record in source.records:
        number = int(record["clip_id"][-3:]) - 1
        wanted = canonical_clip(clip_of(record["sign"], int(record["signer"]), number))
        np.testing.assert_array_equal(source.read(record), wanted)
        assert record["clip_id"].startswith(f"{record['signer']}-{record['split']}/{record['sign']:04d}/")
        assert source.metainfo["signs"][record["label"]] == record["sign"]


def test_a_subset_of_signs_and_signers_in_another_order_gives_the_same_clips(tmp_path):
    write_block(tmp_path)
    named = write_block(tmp_path, "test")
    assert main(["pack", str(tmp_path), str(tmp_path / "pack"), "--trust-pickle", str(named), *_other(named)]) == 0
    kwargs = dict(data_root=str(tmp_path / "pack"), pipeline=[dict(type="LoadKeypoints")])
    for filter_cfg in ({"signs": (3,)}, {"signers": ("01",), "split": "test"}, {"signs": (9,), "signers": ("02",)}):
        dataset = KArSLDataset("annotations.json", filter_cfg=filter_cfg, **kwargs)
        for n in range(len(dataset)):
            record = dataset[n]
            clip = clip_of(record["sign"], int(record["signer"]), int(record["clip_id"][-3:]) - 1)
            np.testing.assert_array_equal(np.nan_to_num(record["keypoint"]), clip[..., :3])


def _other(named):
    return ["--trust-pickle", str(named).replace("test_X", "train_X")]


def test_a_pickle_is_read_only_when_its_file_is_named(tmp_path, capsys):
    named = write_block(tmp_path)
    with pytest.raises(
        ConfigError, match="train_X_map_samples_lens.npy holds a pickle; if you trust where it comes from, name"
    ):
        open_source(tmp_path)
    assert main(["pack", str(tmp_path), str(tmp_path / "pack")]) == 2
    assert f"--trust-pickle {named}" in capsys.readouterr().err
    assert main(["pack", str(tmp_path), str(tmp_path / "pack"), "--trust-pickle", str(tmp_path / "other.npy")]) == 2
    assert not (tmp_path / "pack").exists()


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("held", [RunsCode(), {3: RunsCode()}, {3: {1: [RunsCode()]}}, {3: {1: "abc"}}, {3: 5}, [1, 2]])
def test_even_a_trusted_file_holds_numbers_or_is_refused_and_nothing_runs(tmp_path, monkeypatch, held):
    monkeypatch.chdir(tmp_path)
    named = write_block(tmp_path)
    np.save(named, np.array(held, dtype=object))
    with pytest.raises(CorruptRecordError, match="was not read|write the block again"):
        open_source(tmp_path, trusted=True)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: os.truncate(f / "train_X.mmap", 8000), "train_X.mmap: 8000 bytes, shape .* do not belong together"),
        (lambda f: np.save(f / "train_X_shape.npy", (5, 184, 4)), r"shape \(5, 184, 4\) beside it"),
        (lambda f: np.savez(f / "train_y.npz", np.arange(12)), "SignIDs are not those of train_X_map_samples_lens.npy"),
        (lambda f: (f / "train_X_map_samples_lens.npy").write_bytes(b"hello"), "not an array of one object of plain data"),
    ],
)
def test_files_that_do_not_agree_are_refused(tmp_path, damage, text):
    write_block(tmp_path)
    damage(tmp_path)
    with pytest.raises(CorruptRecordError, match=text):
        open_source(tmp_path, trusted=True)


def test_files_that_are_missing_are_named(tmp_path):
    write_block(tmp_path)
    (tmp_path / "train_y.npz").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape("train_y.npz: no such file")):
        open_clips(tmp_path, trusted=[tmp_path / "train_X_map_samples_lens.npy"])
    with pytest.raises(DatasetNotFoundError, match="no block in"):
        open_source(tmp_path / "..", form="reference-block", trusted=True)
