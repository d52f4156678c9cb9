"""Conv1DTransformer: errors of its own."""

from __future__ import annotations

import pytest

from karsl.errors import ConfigError
from karsl.models import Conv1DTransformer
from tests.models.backbones.conftest import ARMS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(dict(embed_dims=16, num_heads=3), "num_heads=3 does not divide"), (dict(kernel_size=4), "kernel_size=4 is even")],
)
def test_arguments_that_do_not_fit_are_rejected(arguments, words):
    with pytest.raises(ConfigError, match=words):
        Conv1DTransformer(ARMS, **arguments)
