"""How functions are compiled; vector instructions, float16 conversion and memory access by address as LLVM code.

numba compiles a loop over points of four numbers to shuffles or scalar code (measured: 18 us per clip instead of 9), so
`span` emits the operations in LLVM's portable vectors. Products and sums stay separate operations, since a fused one would
round differently on another processor. Everything is read and written by address; the caller has checked the lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

_CACHE_LINE = 64  # bytes
_BIT, _BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_HALF, _FLOAT, _DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
_SOURCES = ("datasets/batching/*.py", "datasets/rng.py", "datasets/transforms/noise.py", "io/addresses.py")  # are compiled
_SWAPPED = (1, 0, 2, 3)  # x and y swapped

LAYOUT_NDIM = {None: 1, 4: 2, 3: 3}
"""Dimensions of the empty array `like`, for which code is compiled by the layout of stored points: canonical, or raw with 4
or 3 values. A raw point is missing if x, y and z are 0, and has score 1 where a score above 0 is absent."""

FILLED = np.finfo(np.float32).tiny
"""Score of a missing point that has coordinates, between two passes. It is written like a present point."""


# ---- compilation ----


def compiled(function: Any) -> Any:
    """Compile a function that does not hold the interpreter lock, and keep it on disk until a file of `_SOURCES` changes."""
    made = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)(function)
    file = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if file is not None:  # numba would look at the file of the function only, and not at those of what it calls
        file._source_stamp = _source_stamp()
    return made


@cache
def _source_stamp() -> tuple[tuple[str, int, int], ...]:
    package = Path(str(files("karsl")))
    paths = sorted(path for pattern in _SOURCES for path in package.glob(pattern))
    return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)


# ---- memory and float16 ----


def _pointer(typing_context, like, address):
    """Convert an address to a pointer to values of the dtype of an array."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(types.CPointer(like.dtype)))

    return types.CPointer(like.dtype)(like, types.int64), generate


def _prefetch_lines(typing_context, address, lines):
    """Have the processor load cache lines."""

    def generate(context, builder, signature, args):
        pointer_type = _BYTE.as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer_type, _INT, _INT, _INT])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [pointer_type], function_type)
        read, second_level, data = (ir.Constant(_INT, n) for n in (0, 2, 1))
        with cgutils.for_range(builder, args[1]) as loop:
            line = builder.add(args[0], builder.mul(loop.index, ir.Constant(_LONG, _CACHE_LINE)))
            builder.call(fetch, [builder.inttoptr(line, pointer_type), read, second_level, data])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


def _extend(typing_context, bits):
    """Convert the uint16 bits of a float16 to float32 by LLVM's fpext (vcvtph2ps on processors with F16C)."""

    def generate(context, builder, signature, args):
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), generate


# Compiled code calls an intrinsic without its first parameter, which is the compiler's.
pointer = cast(Callable[..., Any], intrinsic(_pointer))
_prefetch = cast(Callable[..., None], intrinsic(_prefetch_lines))
_half_bits_to_float = cast(Callable[[Any], np.float32], intrinsic(_extend))


@njit(inline="always")
def address_of(array):
    """Return the address of an array as int64: `array.ctypes.data` is unsigned, so sums of it and an int64 are float64."""
    return np.int64(array.ctypes.data)


@njit(inline="always")
def prefetch(address, nbytes, part, parts):
    """Load one of `parts` equal parts of a range of memory into the cache."""
    lines = nbytes // _CACHE_LINE
    first, end = part * lines // parts, (part + 1) * lines // parts
    _prefetch(address + _CACHE_LINE * first, end - first)


def half_to_float(value):
    """Convert one stored value, a float32 or the uint16 bits of a float16, to float32. Ten times as fast as NumPy."""
    raise NotImplementedError("compiled code only")


@overload(half_to_float, inline="always")
def _half_to_float(value):
    if value == types.uint16:
        return lambda value: _half_bits_to_float(value)
    return lambda value: np.float32(value)


# ---- layouts ----


def point_values(like):
    """Return the number of values per stored point, see `LAYOUT_NDIM`."""
    raise NotImplementedError("compiled code only")


@overload(point_values, inline="always")
def _point_values(like):
    return (lambda like: 3) if like.ndim == LAYOUT_NDIM[3] else (lambda like: 4)


def is_present(like, point):
    """Return True if a stored point, an array of its values, is not missing."""
    raise NotImplementedError("compiled code only")


@overload(is_present, inline="always")
def _is_present(like, point):
    if like.ndim == LAYOUT_NDIM[None]:
        return lambda like, point: half_to_float(point[3]) > FILLED
    return lambda like, point: (
        (half_to_float(point[0]) != 0) | (half_to_float(point[1]) != 0) | (half_to_float(point[2]) != 0)
    )


# ---- vectors ----


def span(points: int, *, gathered: bool, channels: int) -> Callable[..., int]:
    """Return compiled code that writes points [first, last) of one frame, `points` at a time.

    Args:
        points: Points per step, 1 or a power of two.
        gathered: True if output point k is stored point `order[k]`, False if it is stored point k.
        channels: 3, or 4 to write the score.

    Returns:
        Function of `like frame0 frame1 order hidden weight zero move fill out mask first last`, see `_SpanWriter.write`. It
        returns the first point that did not fill a step.
    """

    def signature(typing_context, like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        def generate(context, builder, signature, args):
            half = like.dtype == types.uint16
            raw = next(values for values, ndim in LAYOUT_NDIM.items() if ndim == like.ndim)
            return _SpanWriter(builder, points, gathered, channels, half=half, raw=raw).write(*args[1:])

        address = types.int64
        given = (like, *[address] * 4, types.float64, types.boolean, address, types.float32, *[address] * 4)
        return types.int64(*given), generate

    return cast(Callable[..., int], intrinsic(signature))


class _SpanWriter:
    """Emitter of the code of one `span`.

    Args:
        builder: LLVM builder of the function that is compiled.
        half: True if the stored values are float16, False if they are float32.
        raw: 3 or 4 values per point that are not canonical, or None; see `LAYOUT_NDIM`.
    """

    def __init__(
        self, builder: Any, points: int, gathered: bool, channels: int, *, half: bool, raw: int | None = None
    ) -> None:
        self.builder, self.points, self.gathered, self.channels, self.half = builder, points, gathered, channels, half
        self.lanes, self.word, self.size = 4 * points, _SHORT if half else _INT, 2 if half else 4
        self.raw, self.values, self.one = raw, raw or 4, 0x3C00 if half else 0x3F800000
        self.scores = [4 * (lane // 4) + 3 for lane in range(self.lanes)]

    def write(self, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        """Emit the loop.

        Args:
            frame0, frame1: Addresses of stored frames (V, 4).
            order: Address of int32 (V',), stored points.
            hidden: Address of bytes (V',), 1 for points to hide.
            weight: Weight of `frame1`.
            zero: Interpolate missing points as zeros.
            move: Address of float32 (3, 4): factors of x y z score, factors of y x z score, offsets.
            fill: Coordinate of missing points.
            out, mask: Addresses of float32 (V', C) and bytes (V',), the output.
        """
        b, step = self.builder, _int64(self.points)
        factors = [self.repeat(b.add(move, _int64(16 * row))) for row in range(3)]
        weights, as_zero = self.splat(b.fptrunc(weight, _FLOAT)), self.splat(b.trunc(zero, _BIT))
        remaining = self.splat(b.fptrunc(b.fsub(ir.Constant(_DOUBLE, 1.0), weight), _FLOAT))
        fills = self.shuffle(self.splat(fill), [self.lanes if i % 4 == 3 else 0 for i in range(self.lanes)], self.nil)
        steps = b.udiv(b.sub(last, first), step)
        with cgutils.for_range(b, steps) as loop:
            k = b.add(first, b.mul(loop.index, step))
            offsets = self.offsets(order, k)
            raw0, raw1 = self.stored(frame0, offsets), self.stored(frame1, offsets)
            hide = self.load(b.add(hidden, k), ir.VectorType(_BYTE, self.points), 1)
            target = b.add(out, b.mul(k, _int64(4 * self.channels))), b.add(mask, k)
            v0, v1 = self.to_float(raw0), self.to_float(raw1)
            with b.if_else(self.all_present(raw0, raw1, hide), likely=True) as (then, otherwise):
                with then:
                    if self.raw and self.channels == 4:
                        v0, v1 = (self.to_float(self.with_score(raw)) for raw in (raw0, raw1))
                    moved = self.move(self.interpolate(v0, v1, weights), factors)
                    self.store(moved, _vector(_BYTE, [1] * self.points), target)
                with otherwise:
                    if self.raw:
                        v0, v1 = (self.to_float(self.canonical(raw)) for raw in (raw0, raw1))
                    mixed = self.interpolate(v0, v1, self.select_weight(v0, v1, weights, as_zero))
                    fades = b.and_(as_zero, b.not_(self.has_score(v1)))  # a weight near 1 leaves few digits
                    mixed = b.select(fades, b.fmul(v0, remaining), mixed)
                    shown = b.icmp_unsigned("==", hide, _vector(_BYTE, [0] * self.points))
                    seen = b.and_(self.has_score(mixed), self.per_lane(shown))
                    flags = b.zext(self.shuffle(seen, range(0, self.lanes, 4)), ir.VectorType(_BYTE, self.points))
                    self.store(b.select(seen, self.move(mixed, factors), fills), flags, target)
        return b.add(first, b.mul(steps, step))

    # ---- operations of a step ----

    def offsets(self, order, k):
        """Byte offsets of the points in a frame: one per point, or one for all."""
        b = self.builder
        if not self.gathered:
            return [b.mul(k, _int64(self.values * self.size))]
        indices = [self.load(b.add(order, b.mul(b.add(k, _int64(p)), _int64(4))), _INT, 4) for p in range(self.points)]
        return [b.mul(b.zext(index, _LONG), _int64(self.values * self.size)) for index in indices]

    def stored(self, frame, offsets):
        """The stored points as integers, four values per point: the score is 1 where there is none."""
        count = self.points // len(offsets)
        addresses = [self.builder.add(frame, offset) for offset in offsets]
        if self.raw == 3:
            vectors = [self.triple(address, p, count) for address in addresses for p in range(count)]
        else:  # an array of another project can start anywhere in its file
            vector_type, alignment = ir.VectorType(self.word, 4 * count), 1 if self.raw else self.size
            vectors = [self.load(address, vector_type, alignment) for address in addresses]
        while len(vectors) > 1:
            width = range(2 * vectors[0].type.count)
            vectors = [self.shuffle(a, width, other) for a, other in zip(vectors[::2], vectors[1::2], strict=True)]
        return vectors[0]

    def triple(self, address, point, count):
        """Point `point` of `count` points of three values, and 1. Of several, each is read with one value of another."""
        first = 3 * point - (0 < point == count - 1)
        address = self.builder.add(address, _int64(first * self.size))
        values = self.load(address, ir.VectorType(self.word, 4 if count > 1 else 3), 1)
        ones = _vector(self.word, [self.one] * values.type.count)
        lanes = [3 * point - first + axis for axis in range(3)]
        return self.shuffle(values, [*lanes, values.type.count], ones)

    def to_float(self, raw):
        b, wide = self.builder, ir.VectorType(_FLOAT, self.lanes)
        return b.fpext(b.bitcast(raw, ir.VectorType(_HALF, self.lanes)), wide) if self.half else b.bitcast(raw, wide)

    def all_present(self, raw0, raw1, hide):
        """True if every point is present in both frames and none is hidden; a float above 0 is an integer above 0.

        A raw point whose x is 0 takes the longer way, too.
        """
        b, bits, bytes_, tested = self.builder, ir.IntType(self.lanes), ir.IntType(8 * self.points), 0 if self.raw else 3
        if self.raw:
            raw0, raw1 = (b.and_(raw, self.unsigned) for raw in (raw0, raw1))
        lower = b.select(b.icmp_signed("<", raw0, raw1), raw0, raw1)
        lower = b.and_(lower, _vector(self.word, [-1 if lane % 4 == tested else 0 for lane in range(self.lanes)]))
        lower = b.or_(lower, _vector(self.word, [0 if lane % 4 == tested else 1 for lane in range(self.lanes)]))
        present = b.bitcast(b.icmp_signed(">", lower, _vector(self.word, [0] * self.lanes)), bits)
        shown = b.icmp_unsigned("==", b.bitcast(hide, bytes_), ir.Constant(bytes_, 0))
        return b.and_(b.icmp_unsigned("==", present, ir.Constant(bits, -1)), shown)

    def with_score(self, raw):
        """Raw points with a score in (0, 1], as integers; `canonical_clip` does the same."""
        b, one, zero = self.builder, _vector(self.word, [self.one] * self.lanes), _vector(self.word, [0] * self.lanes)
        score = b.select(b.icmp_signed("<", raw, one), raw, one)
        score = b.select(b.icmp_signed(">", score, zero), score, one)
        return self.shuffle(raw, [lane + self.lanes * (lane % 4 == 3) for lane in range(self.lanes)], score)

    def canonical(self, raw):
        """Raw points with zeros where x, y and z are 0, as integers."""
        b, zero = self.builder, _vector(self.word, [0] * self.lanes)
        x, y, z = (self.shuffle(raw, [4 * (lane // 4) + axis for lane in range(self.lanes)]) for axis in range(3))
        present = b.icmp_unsigned("!=", b.and_(b.or_(b.or_(x, y), z), self.unsigned), zero)
        return b.select(present, self.with_score(raw), zero)

    def select_weight(self, v0, v1, weights, as_zero):
        """Weight of the later frame: `weights` where both frames have the point, else 0 or 1."""
        b, present0, present1 = self.builder, self.has_score(v0), self.has_score(v1)
        one = b.select(present1, _vector(_FLOAT, [1.0] * self.lanes), self.nil)
        return b.select(b.or_(b.and_(present0, present1), as_zero), weights, one)

    def interpolate(self, v0, v1, weights):
        b = self.builder
        return b.fadd(v0, b.fmul(b.fsub(v1, v0), weights))

    def move(self, v, factors):
        b, (straight, crossed, offset) = self.builder, factors
        swapped = self.shuffle(v, [4 * (lane // 4) + _SWAPPED[lane % 4] for lane in range(self.lanes)])
        return b.fadd(b.fadd(b.fmul(v, straight), b.fmul(swapped, crossed)), offset)

    def has_score(self, v):
        return self.builder.fcmp_ordered(">", self.shuffle(v, self.scores), self.nil)

    def store(self, values, flags, target):
        if self.channels == 3:
            values = self.shuffle(values, [4 * (i // 3) + i % 3 for i in range(3 * self.points)])
        for value, address, alignment in zip((values, flags), target, (4, 1), strict=True):
            self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = alignment

    # ---- vectors ----

    @property
    def unsigned(self):
        """Mask that drops the signs, since -0 is 0."""
        return _vector(self.word, [0x7FFF if self.half else 0x7FFFFFFF] * self.lanes)

    @property
    def nil(self):
        return _vector(_FLOAT, [0.0] * self.lanes)

    def repeat(self, address):
        """Four numbers, repeated for each point."""
        return self.shuffle(self.load(address, ir.VectorType(_FLOAT, 4), 4), [lane % 4 for lane in range(self.lanes)])

    def per_lane(self, flags):
        """One flag per lane from one flag per point."""
        return self.shuffle(flags, [lane // 4 for lane in range(self.lanes)])

    def splat(self, value):
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        return self.shuffle(self.builder.insert_element(undefined, value, ir.Constant(_INT, 0)), [0] * self.lanes)

    def shuffle(self, v, lanes, other=None):
        return self.builder.shuffle_vector(v, v if other is None else other, _vector(_INT, lanes))

    def load(self, address, value_type, alignment):
        value = self.builder.load(self.builder.inttoptr(address, value_type.as_pointer()))
        value.align = alignment
        return value


def _vector(element_type: Any, values: Sequence[float]) -> Any:
    return ir.Constant(ir.VectorType(element_type, len(values)), list(values))


def _int64(value: int) -> Any:
    return ir.Constant(_LONG, value)
