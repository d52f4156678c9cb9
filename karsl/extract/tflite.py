"""Reader of TFLite files (FlatBuffers): operators, their options, tensors and constants, without a dependency.

Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 9: np.int8}
_INDEX_DTYPES = {1: np.int32, 2: np.uint16, 3: np.uint8}


class Table:
    """A table of a FlatBuffer. Fields are given by their numbers in the schema."""

    def __init__(self, data: bytes, position: int) -> None:
        self._data, self._position = data, position
        self._vtable = position - struct.unpack_from("<i", data, position)[0]
        self._size = struct.unpack_from("<H", data, self._vtable)[0]

    @classmethod
    def root(cls, data: bytes) -> Table:
        """Return the root table of a file."""
        return cls(data, struct.unpack_from("<I", data, 0)[0])

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return a number; `kind` is its format in `struct`."""
        position = self._find(field)
        return struct.unpack_from("<" + kind, self._data, position)[0] if position else default

    def table(self, field: int) -> Table | None:
        """Return a table, or None if the field is absent."""
        position = self._find(field)
        return Table(self._data, self._follow(position)) if position else None

    def tables(self, field: int) -> list[Table]:
        """Return a list of tables."""
        start, count = self._vector(field)
        return [Table(self._data, self._follow(position)) for position in range(start, start + 4 * count, 4)]

    def array(self, field: int, dtype: Any) -> np.ndarray:
        """Return a list of numbers; empty if the field is absent."""
        start, count = self._vector(field)
        return np.frombuffer(self._data, dtype, count, start)

    def _find(self, field: int) -> int:
        """Return the position of a field, or 0 if it is absent."""
        slot = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._vtable + slot)[0] if slot < self._size else 0
        return self._position + offset if offset else 0

    def _follow(self, position: int) -> int:
        return position + struct.unpack_from("<I", self._data, position)[0]

    def _vector(self, field: int) -> tuple[int, int]:
        position = self._find(field)
        if not position:
            return 0, 0
        start = self._follow(position)
        return start + 4, struct.unpack_from("<I", self._data, start)[0]


@dataclass(frozen=True)
class Operator:
    """One operator: its code, indices of its input and output tensors, and its options."""

    code: int
    inputs: list[int]
    outputs: list[int]
    options: Table | None

    def option(self, field: int, kind: str = "i") -> int:
        """Return a number of the options, 0 if it is absent."""
        return self.options.number(field, kind) if self.options else 0


@dataclass
class Graph:
    """The first subgraph of a file.

    Attributes:
        inputs, outputs: Indices of its tensors.
        operators: Operators in order.
        shapes: Shape of each tensor.
        constants: Arrays by index of the tensor.
    """

    inputs: list[int]
    outputs: list[int]
    operators: list[Operator]
    shapes: list[list[int]]
    constants: dict[int, np.ndarray] = field(default_factory=dict)


def read_graph(data: bytes) -> Graph:
    """Read the first subgraph of a TFLite file; sparse constants are returned as dense arrays."""
    model = Table.root(data)
    codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
    buffers, subgraph = model.tables(4), model.tables(2)[0]
    tensors = subgraph.tables(0)
    graph = Graph(
        subgraph.array(1, np.int32).tolist(),
        subgraph.array(2, np.int32).tolist(),
        [
            Operator(codes[o.number(0, "I")], o.array(1, np.int32).tolist(), o.array(2, np.int32).tolist(), o.table(4))
            for o in subgraph.tables(3)
        ],
        [tensor.array(0, np.int32).tolist() for tensor in tensors],
    )
    for index, tensor in enumerate(tensors):
        raw = buffers[tensor.number(2, "I")].array(0, np.uint8)
        if len(raw):
            values, sparsity = raw.view(_DTYPES[tensor.number(1, "b")]), tensor.table(6)
            shape = graph.shapes[index]
            graph.constants[index] = _to_dense(values, sparsity, shape) if sparsity else values.reshape(shape)
    return graph


def _to_dense(values: np.ndarray, sparsity: Table, shape: list[int]) -> np.ndarray:
    """Expand a constant that is stored in (block-)sparse rows."""
    order, blocks, dims = sparsity.array(0, np.int32), sparsity.array(1, np.int32), sparsity.tables(2)
    coordinates = np.zeros((1, 0), np.int64)
    for dim in dims:
        if dim.number(0, "b") == 0:  # a dense dimension
            size = dim.number(1)
            next_column = np.tile(np.arange(size), len(coordinates))
            coordinates = np.repeat(coordinates, size, axis=0)
        else:
            segments = dim.table(3).array(0, _INDEX_DTYPES[dim.number(2, "B")]).astype(np.int64)  # type: ignore[union-attr]
            next_column = dim.table(5).array(0, _INDEX_DTYPES[dim.number(4, "B")]).astype(np.int64)  # type: ignore[union-attr]
            coordinates = np.repeat(coordinates, np.diff(segments), axis=0)
        coordinates = np.concatenate([coordinates, next_column[:, None]], axis=1)
    rank = len(shape)
    block_sizes = {int(axis): dims[rank + k].number(1) for k, axis in enumerate(blocks)}
    position = np.zeros((len(coordinates), rank), np.int64)
    for level, axis in enumerate(order.tolist()):
        if axis < rank:
            position[:, axis] += coordinates[:, level] * block_sizes.get(axis, 1)
        else:
            position[:, blocks[axis - rank]] += coordinates[:, level]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(position.T)] = values[: len(position)]
    return dense
