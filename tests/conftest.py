"""Fixtures that several folders use: real data where it is there, a small synthetic corpus, an empty index cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# No test asserts on time, nor do the examples of Hypothesis. These are the same in every run, so that one commit always
# gives one answer; the long tests look for new ones.
settings.register_profile(
    "karsl",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not os.environ.get("KARSL_LONG_TESTS"),
)
settings.load_profile("karsl")


@pytest.fixture(autouse=True, scope="session")
def _private_folders(tmp_path_factory):
    """Index files of tests and of fixtures go to a folder of this process, not to the user's cache; no window opens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_data():
    """A function that gives a folder of real keypoints, or skips, naming it."""

    def folder(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no real data: ../shared/data/{name} is absent")
        return path

    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """Synthetic KArSL layout: 4 signs, 3 signers, 5 train and 2 test clips each; with a label sheet. Not to be changed."""
    from karsl.testing import make_corpus

    return make_corpus(tmp_path_factory.mktemp("corpus"), signs=4, train_clips=5, test_clips=2)


@pytest.fixture
def arms():
    """Points (4, 6, 2) and their skeleton: each hand is at its own wrist, the right at x = 0, the left at x = 1."""
    from karsl.skeletons import Skeleton

    groups = (
        ("pose", ("left_wrist", "right_wrist")),
        ("rh", ("right_hand_wrist", "right_hand_thumb_tip")),
        ("lh", ("left_hand_wrist", "left_hand_thumb_tip")),
    )
    one = [[1.0, 0.5], [0.0, 0.5], [0.1, 0.5], [0.2, 0.4], [0.9, 0.5], [0.8, 0.4]]
    return np.tile(np.array(one), (4, 1, 1)), Skeleton("arms", groups)


@pytest.fixture
def write_clips(tmp_path):
    """`write_clips({'01-train/0001.npz': {'a': 30}})` makes a data root; a number is a length, an array is itself."""

    def write(files: dict[str, dict]) -> Path:
        rng = np.random.default_rng(0)
        for name, clips in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays = {k: rng.random((v, 184, 4), dtype=np.float32) if isinstance(v, int) else v for k, v in clips.items()}
            np.savez(path, **arrays)
        return tmp_path / "root"

    return write
