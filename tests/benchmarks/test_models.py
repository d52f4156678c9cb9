"""The table of backbones: known counts, and one row per backbone."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.models import BACKBONES, count_operations, count_parameters, table
from karsl.models import backbones
from karsl.models.backbones.attention import Attention


class Sums(nn.Module):
    """LSTM and attention of known cost, with the arguments of a backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.attention = nn.LSTM(2, 3, batch_first=True, bias=False), Attention(3, 1)

    def forward(self, inputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.attention(self.lstm(inputs)[0], mask)


def test_operations_include_those_of_lstm_and_attention():
    model = Sums().eval()
    assert count_parameters(model) == 4 * 3 * (2 + 3) + 3 * 9 + 9 + 9 + 3
    lstm = 5 * 4 * 3 * (2 + 3)  # frames, gates, states, inputs and states
    attention = 5 * 3 * 9 + 5 * 3 * 3 + 2 * 5 * 5 * 3  # qkv, projection, scores and their product with the values
    assert count_operations(model, torch.randn(1, 5, 2), torch.ones(1, 5, dtype=torch.bool)) == 2 * (lstm + attention)


def test_every_backbone_has_a_row():
    assert {backbone.__name__ for backbone in BACKBONES} == set(backbones.__all__)
    rows = table(frames=2, repeats=1).splitlines()
    assert len(rows) == 2 + len(BACKBONES)
    assert all(row.count("|") == 5 for row in rows)
