"""Size, cost and latency of every backbone: `python -m benchmarks.models` prints the table of docs/results.md.

Parameters and operations are of the backbone with its default size, for one clip of `karsl_184`. A multiply-add counts as
two operations. Latency is the median of forward passes on one CPU thread.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from karsl.models import STGCN, BiLSTM, Conv1DTransformer, STTransformer

BACKBONES = (BiLSTM, Conv1DTransformer, STTransformer, STGCN)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_operations(model: nn.Module, inputs: torch.Tensor, mask: torch.Tensor) -> int:
    """Return the floating-point operations of matrix products and convolutions in one forward pass."""
    # Attention and LSTM in parts, because the counter has no formula for their fused CPU kernels.
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False), counter:
        model(inputs, mask)
    return counter.get_total_flops()


def time_forward(model: nn.Module, inputs: torch.Tensor, mask: torch.Tensor, repeats: int) -> float:
    """Return the median CPU time of a forward pass in milliseconds, after one that is not counted."""
    times = []
    with torch.no_grad():
        model(inputs, mask)
        for _ in range(repeats):
            start = time.process_time()
            model(inputs, mask)
            times.append(time.process_time() - start)
    return 1000 * statistics.median(times)


def table(frames: int, repeats: int) -> str:
    """Return the table in Markdown."""
    lines = ["| backbone | parameters, M | operations, G | CPU, ms |", "| --- | --- | --- | --- |"]
    for backbone in BACKBONES:
        torch.manual_seed(0)
        model = backbone("karsl_184").eval()
        inputs = torch.randn(1, frames, model.skeleton.num_keypoints, 3)
        mask = torch.ones(inputs.shape[:3], dtype=torch.bool)
        numbers = (count_parameters(model) / 1e6, count_operations(model, inputs, mask) / 1e9)
        milliseconds = time_forward(model, inputs, mask, repeats)
        lines.append(f"| `{backbone.__name__}` | {numbers[0]:.2f} | {numbers[1]:.2f} | {milliseconds:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--frames", type=int, default=32, help="frames per clip (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="timed forward passes (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(table(args.frames, args.repeats))


if __name__ == "__main__":
    main()
