"""Synthetic clips have KArSL's shape and do not depend on how they are read."""

from __future__ import annotations

import numpy as np

from benchmarks.clips import StoredClips, SyntheticClips, write_block
from benchmarks.task import EagerTask, EndlessOrder


def test_lengths_are_those_of_signs():
    lengths = SyntheticClips(6000).lengths
    assert (lengths.min(), lengths.max()) == (8, 120)
    assert 36 < lengths.mean() < 40


def test_clips_are_a_function_of_seed_and_index():
    a, b = SyntheticClips(10), SyntheticClips(10)
    assert np.array_equal(a[7], b[7])
    assert not np.array_equal(a[7][:8], a[6][:8])
    assert not np.array_equal(a[7][:8], SyntheticClips(10, seed=1)[7][:8])


def test_clips_survive_float16_and_some_miss_a_hand(tmp_path):
    clips = SyntheticClips(40)
    missing = [(clip[..., :3] == 0).all(-1) for clip in clips]
    assert all(np.array_equal(clip.astype(np.float16).astype(np.float32), clip) for clip in clips)
    assert 0 < sum(m.any() for m in missing) < 40
    assert not any(m[:, :142].any() for m in missing), "only hands go missing"


def test_a_block_is_the_same_bytes_from_clips_and_from_a_block(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_block(StoredClips(tmp_path / "a") if name == "b" else SyntheticClips(5), tmp_path / name)
    assert (tmp_path / "a" / "frames.bin").read_bytes() == (tmp_path / "b" / "frames.bin").read_bytes()


def test_the_order_shows_every_clip_once_before_any_twice():
    order = iter(EndlessOrder(7, seed=3))
    first, second = [next(order) for _ in range(7)], [next(order) for _ in range(7)]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_a_flip_of_the_task_moves_the_left_wrist_to_the_right(monkeypatch):
    from benchmarks import task
    from karsl.skeletons import get_skeleton

    skeleton = get_skeleton("karsl_184")
    left, right = skeleton.index("left_wrist"), skeleton.index("right_wrist")
    monkeypatch.setattr(task, "FLIP_PROB", 1.0)
    for name, still in {"ROTATION_DEG": (0, 0), "SCALE": (1, 1), "SHIFT": (0, 0)}.items():
        monkeypatch.setattr(task, name, still)
    clip = np.full((4, 184, 4), 0.5, np.float32)
    clip[:, left, 0] = 0.75
    out = EagerTask()(clip)
    assert np.allclose(out[:, right, 0], 0.25)
    assert np.allclose(out[:, left, 0], 0.5)
