"""BiLSTM against torch's bidirectional LSTM."""

from __future__ import annotations

import torch
from torch import nn

from karsl.models import BiLSTM
from tests.models.backbones.conftest import clips, small


def test_features_are_those_of_a_bidirectional_lstm_over_the_present_frames():
    model, (inputs, mask) = small(BiLSTM, depth=1), clips(1)
    mask[:, :, 0] = True
    mask[:, [2, 6]] = False
    reference = nn.LSTM(8, 8, batch_first=True, bidirectional=True)
    names = [name for name, _ in model.forwards[0].named_parameters()]
    weights = {name: getattr(model.forwards[0], name) for name in names}
    weights |= {f"{name}_reverse": getattr(model.backwards[0], name) for name in names}
    reference.load_state_dict(weights)
    present = mask.any(dim=2)[0]
    states = reference(model.embed(inputs[:, present], mask[:, present]).relu())[0]
    torch.testing.assert_close(model(inputs, mask), model.norm(states).mean(dim=1))
