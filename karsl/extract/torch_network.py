"""MediaPipe's TFLite networks in torch: several pictures at once, on a CPU or a GPU, without another runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karsl.errors import ConfigError, first_line
from karsl.extract.tflite import Operator, read_graph

# Codes of operators in the schema.
_ADD, _CONCAT, _CONV, _DEPTHWISE, _DEPTH_TO_SPACE, _DEQUANTIZE, _DENSE, _LOGISTIC = 0, 2, 3, 4, 5, 6, 9, 14
_MAX_POOL, _MUL, _RELU, _RESHAPE, _RESIZE, _PAD, _MEAN, _SLICE, _PRELU, _DENSIFY = 17, 18, 19, 22, 23, 34, 40, 45, 54, 124
_MAX_BATCH = 16


class TorchNetwork:
    """A TFLite network. The layout of arrays is that of the file, (N, height, width, channels).

    Args:
        content: Content of the file.
        device: Device of torch, such as `'cpu'` or `'cuda:0'`.

    Attributes:
        size: Side of the input in pixels.
    """

    def __init__(self, content: bytes, device: str = "cpu") -> None:
        graph = read_graph(content)
        self._graph, self._device = graph, torch.device(device)
        self.size = graph.shapes[graph.inputs[0]][1]
        self._operators = _fold_constants(graph.operators, graph.constants)
        self._constants = {k: torch.from_numpy(np.array(v, order="C")).to(self._device) for k, v in graph.constants.items()}

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """Run the network on images, float32 (N, size, size, 3), and return its outputs."""
        parts = [self._run(images[start : start + _MAX_BATCH]) for start in range(0, len(images), _MAX_BATCH)]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        values = {**self._constants, self._graph.inputs[0]: torch.from_numpy(images).to(self._device)}
        for operator in self._operators:
            inputs = [values[index] for index in operator.inputs if index >= 0]
            if operator.code == _RESHAPE:
                shape = self._graph.shapes[operator.outputs[0]]
                values[operator.outputs[0]] = inputs[0].reshape(len(inputs[0]), *shape[1:])
            else:
                values[operator.outputs[0]] = _OPERATORS[operator.code](operator, inputs)
        return [values[index].cpu().numpy() for index in self._graph.outputs]


def check_device(device: str) -> None:
    """Check that torch can use a device.

    Raises:
        ConfigError: If it cannot.
    """
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch without CUDA
        raise ConfigError(f"device {device!r} cannot be used by this torch ({first_line(error)}); use 'cpu'") from error


def _fold_constants(operators: list[Operator], constants: dict[int, np.ndarray]) -> list[Operator]:
    """Convert half-precision and sparse constants, reorder weights for torch, and drop what is not used."""
    remaining = []
    for operator in operators:
        if operator.code in (_DEQUANTIZE, _DENSIFY):
            constants[operator.outputs[0]] = constants[operator.inputs[0]].astype(np.float32)
            continue
        remaining.append(operator)
        if operator.code in (_CONV, _DEPTHWISE):
            axes = (0, 3, 1, 2) if operator.code == _CONV else (3, 0, 1, 2)
            constants[operator.inputs[1]] = constants[operator.inputs[1]].transpose(axes)
    used = {index for operator in remaining for index in operator.inputs}
    for index in set(constants) - used:
        del constants[index]
    return remaining


def _activate(x: Tensor, kind: int) -> Tensor:
    return {0: lambda y: y, 1: F.relu, 3: F.relu6}[kind](x)


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after, as TensorFlow's SAME."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _pad_same(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], value: float) -> Tensor:
    (top, bottom), (left, right) = (_same_padding(x.shape[2 + k], kernel[k], stride[k]) for k in (0, 1))
    return F.pad(x, (left, right, top, bottom), value=value) if top or bottom or left or right else x


def _conv(operator: Operator, inputs: list[Tensor]) -> Tensor:
    is_depthwise = operator.code == _DEPTHWISE
    x, weight = inputs[0].permute(0, 3, 1, 2), inputs[1]
    stride = operator.option(2), operator.option(1)
    if operator.option(0, "b") == 0:
        x = _pad_same(x, (weight.shape[2], weight.shape[3]), stride, 0.0)
    bias = inputs[2] if len(inputs) > 2 else None
    out = F.conv2d(x, weight, bias, stride, groups=weight.shape[0] if is_depthwise else 1)
    return _activate(out, operator.option(4 if is_depthwise else 3, "b")).permute(0, 2, 3, 1)


def _max_pool(operator: Operator, inputs: list[Tensor]) -> Tensor:
    x, stride = inputs[0].permute(0, 3, 1, 2), (operator.option(2), operator.option(1))
    kernel = operator.option(4), operator.option(3)
    if operator.option(0, "b") == 0:
        x = _pad_same(x, kernel, stride, -torch.inf)
    return F.max_pool2d(x, kernel, stride).permute(0, 2, 3, 1)


def _pad(operator: Operator, inputs: list[Tensor]) -> Tensor:
    return F.pad(inputs[0], inputs[1].reshape(-1, 2).flip(0).reshape(-1).tolist())


def _resize(operator: Operator, inputs: list[Tensor]) -> Tensor:
    x, size = inputs[0].permute(0, 3, 1, 2), inputs[1].tolist()
    align_corners, half_pixel = bool(operator.option(2, "b")), bool(operator.option(3, "b"))
    if align_corners or half_pixel:
        return F.interpolate(x, size, mode="bilinear", align_corners=align_corners).permute(0, 2, 3, 1)
    for axis, count in zip((2, 3), size, strict=True):  # positions of upper left corners, which torch does not offer
        position = torch.arange(count, device=x.device, dtype=x.dtype) * (x.shape[axis] / count)
        low = position.floor().long()
        share = (position - low).reshape((-1, 1) if axis == 2 else (-1,))
        high = (low + 1).clamp(max=x.shape[axis] - 1)
        x = torch.lerp(x.index_select(axis, low), x.index_select(axis, high), share)
    return x.permute(0, 2, 3, 1)


def _dense(operator: Operator, inputs: list[Tensor]) -> Tensor:
    return _activate(F.linear(inputs[0].flatten(1), *inputs[1:]), operator.option(0, "b"))


def _mean(operator: Operator, inputs: list[Tensor]) -> Tensor:
    return inputs[0].mean(inputs[1].reshape(-1).tolist(), keepdim=bool(operator.option(0, "b")))


def _slice(operator: Operator, inputs: list[Tensor]) -> Tensor:
    begin, end, step = (values.tolist() for values in inputs[1:4])
    open_begin, open_end = operator.option(0), operator.option(1)
    parts = [slice(None)]  # all of the batch, whose size in the file is 1
    for k in range(1, len(begin)):
        first = None if open_begin >> k & 1 else begin[k]
        parts.append(slice(first, None if open_end >> k & 1 else end[k], step[k]))
    return inputs[0][tuple(parts)]


def _depth_to_space(operator: Operator, inputs: list[Tensor]) -> Tensor:
    block, (n, h, w, c) = operator.option(0), inputs[0].shape
    x = inputs[0].reshape(n, h, w, block, block, c // block**2)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(n, h * block, w * block, c // block**2)


def _prelu(operator: Operator, inputs: list[Tensor]) -> Tensor:
    return F.prelu(inputs[0].permute(0, 3, 1, 2), inputs[1].reshape(-1)).permute(0, 2, 3, 1)


_OPERATORS: dict[int, Callable[[Operator, list[Tensor]], Tensor]] = {
    _ADD: lambda operator, inputs: _activate(inputs[0] + inputs[1], operator.option(0, "b")),
    _MUL: lambda operator, inputs: _activate(inputs[0] * inputs[1], operator.option(0, "b")),
    _CONCAT: lambda operator, inputs: torch.cat(inputs, operator.option(0)),
    _CONV: _conv,
    _DEPTHWISE: _conv,
    _MAX_POOL: _max_pool,
    _PAD: _pad,
    _RESIZE: _resize,
    _DENSE: _dense,
    _MEAN: _mean,
    _SLICE: _slice,
    _DEPTH_TO_SPACE: _depth_to_space,
    _PRELU: _prelu,
    _LOGISTIC: lambda operator, inputs: inputs[0].sigmoid(),
    _RELU: lambda operator, inputs: F.relu(inputs[0]),
}
