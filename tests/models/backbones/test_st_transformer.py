"""STTransformer: size, and errors of its own."""

from __future__ import annotations

import pytest

from karsl.errors import ConfigError
from karsl.models import STTransformer
from tests.models.backbones.conftest import ARMS, clips, small


def test_the_small_size_has_about_1_2_million_parameters():
    count = sum(p.numel() for p in STTransformer("karsl_184").parameters())
    assert 1.1e6 < count < 1.3e6


def test_a_clip_that_is_too_long_names_max_frames():
    with pytest.raises(ValueError, match="takes at most max_frames=4 but got T=7; raise it or lower clip_len"):
        small(STTransformer, max_frames=4)(*clips())


def test_heads_that_do_not_divide_the_width_are_rejected():
    with pytest.raises(ConfigError, match="num_heads=3"):
        STTransformer(ARMS, embed_dims=16, num_heads=3)
