"""The innermost loop in vector instructions: a few points (x, y, z, score) of two frames, blended, moved, written at once.

numba makes shuffles or scalar code of a loop over points of four numbers (measured: 18 us a clip instead of 9), so the few
operations are spelled out in LLVM's portable vectors; which instructions they become is the compiler's business. Products
and sums stay separate operations: a fused one would round otherwise on another processor.

Everything is read and written by address. Whoever calls has checked that the clips are as long as said. After a change
here touch `kernel.py`: numba finds its compiled code by the time stamp of the file that the compiled function is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BIT, _BYTE, _SHORT, _INT, _LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_HALF, _FLOAT, _DOUBLE = ir.HalfType(), ir.FloatType(), ir.DoubleType()
_SWAPPED = (1, 0, 2, 3)  # x and y change places


def stretch(points: int, *, gathered: bool, channels: int) -> Callable[..., int]:
    """Compiled code that writes points [first, last) of one frame, `points` at a time.

    Args:
        points: Points a step, 1 or a power of two.
        gathered: Output point k is stored point `order[k]`, else stored point k.
        channels: 3, or 4 to write the score too.

    Returns:
        A function of `like frame0 frame1 order hidden weight zero move fill out mask first last`, see `_written`; it gives
        the first point that was left over.
    """

    def typed(typing_context, like, *rest):
        def generate(context, builder, signature, args):
            half = like.dtype == types.uint16
            return _Writer(builder, points, gathered, channels, half=half).written(*args[1:])

        place = types.int64
        given = (like, place, place, place, place, types.float64, types.boolean, place, types.float32, *[place] * 4)
        return types.int64(*given), generate

    def signature(typing_context, like, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        return typed(typing_context, like)

    return cast(Callable[..., int], intrinsic(signature))


class _Writer:
    """Emits the code of one `stretch`.

    Args:
        builder: Of the function that is compiled.
        half: The store holds float16, else float32.
    """

    def __init__(self, builder: Any, points: int, gathered: bool, channels: int, *, half: bool) -> None:
        self.builder, self.points, self.gathered, self.channels, self.half = builder, points, gathered, channels, half
        self.lanes, self.word, self.size = 4 * points, _SHORT if half else _INT, 2 if half else 4
        self.scores = [4 * (lane // 4) + 3 for lane in range(self.lanes)]

    def written(self, frame0, frame1, order, hidden, weight, zero, move, fill, out, mask, first, last):
        """The loop.

        Args:
            frame0, frame1: Addresses of stored frames (V, 4).
            order: Of int32 (V',), stored points.
            hidden: Of bytes (V',), 1 for points to leave out.
            weight: Share of `frame1`.
            zero: Blend missing points as zeros.
            move: Of float32 (3, 4): factors of x y z score, factors of y x z score, offsets.
            fill: Coordinate of missing points.
            out, mask: Of float32 (V', C) and bytes (V',), to be written.
        """
        b, step = self.builder, _number(self.points)
        factors = [self.repeated(b.add(move, _number(16 * row))) for row in range(3)]
        weights, as_zero = self.splat(b.fptrunc(weight, _FLOAT)), self.splat(b.trunc(zero, _BIT))
        rests = self.splat(b.fptrunc(b.fsub(ir.Constant(_DOUBLE, 1.0), weight), _FLOAT))
        fills = self.shuffle(self.splat(fill), [self.lanes if i % 4 == 3 else 0 for i in range(self.lanes)], self.nil)
        steps = b.udiv(b.sub(last, first), step)
        with cgutils.for_range(b, steps) as loop:
            k = b.add(first, b.mul(loop.index, step))
            places = self.places(order, k)
            raw0, raw1 = self.stored(frame0, places), self.stored(frame1, places)
            hide = self.load(b.add(hidden, k), ir.VectorType(_BYTE, self.points), 1)
            here = b.add(out, b.mul(k, _number(4 * self.channels))), b.add(mask, k)
            v0, v1 = self.widened(raw0), self.widened(raw1)
            with b.if_else(self.all_there(raw0, raw1, hide), likely=True) as (then, otherwise):
                with then:
                    self.put(self.moved(self.blended(v0, v1, weights), factors), _vector(_BYTE, [1] * self.points), here)
                with otherwise:
                    mixed = self.blended(v0, v1, self.share(v0, v1, weights, as_zero))
                    fades = b.and_(as_zero, b.not_(self.has_score(v1)))  # into zeros: a share near 1 leaves few digits
                    mixed = b.select(fades, b.fmul(v0, rests), mixed)
                    shown = b.icmp_unsigned("==", hide, _vector(_BYTE, [0] * self.points))
                    seen = b.and_(self.has_score(mixed), self.each(shown))
                    flags = b.zext(self.shuffle(seen, range(0, self.lanes, 4)), ir.VectorType(_BYTE, self.points))
                    self.put(b.select(seen, self.moved(mixed, factors), fills), flags, here)
        return b.add(first, b.mul(steps, step))

    # ---- what a step is made of ----

    def places(self, order, k):
        """Byte offsets of the points in a frame: one a point, or one for all."""
        b = self.builder
        if not self.gathered:
            return [b.mul(k, _number(4 * self.size))]
        numbers = [self.load(b.add(order, b.mul(b.add(k, _number(p)), _number(4))), _INT, 4) for p in range(self.points)]
        return [b.mul(b.zext(number, _LONG), _number(4 * self.size)) for number in numbers]

    def stored(self, frame, places):
        """The points as they are stored, as integers."""
        kind = ir.VectorType(self.word, self.lanes // len(places))
        parts = [self.load(self.builder.add(frame, place), kind, self.size) for place in places]
        while len(parts) > 1:
            width = range(2 * parts[0].type.count)
            parts = [self.shuffle(a, width, other) for a, other in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    def widened(self, raw):
        b, wide = self.builder, ir.VectorType(_FLOAT, self.lanes)
        return b.fpext(b.bitcast(raw, ir.VectorType(_HALF, self.lanes)), wide) if self.half else b.bitcast(raw, wide)

    def all_there(self, raw0, raw1, hide):
        """Whether every point is there in both frames and none is hidden; a float above 0 is an integer above 0."""
        b, bits, bytes_ = self.builder, ir.IntType(self.lanes), ir.IntType(8 * self.points)
        least = b.select(b.icmp_signed("<", raw0, raw1), raw0, raw1)
        least = b.and_(least, _vector(self.word, [-1 if lane % 4 == 3 else 0 for lane in range(self.lanes)]))
        least = b.or_(least, _vector(self.word, [0 if lane % 4 == 3 else 1 for lane in range(self.lanes)]))
        there = b.bitcast(b.icmp_signed(">", least, _vector(self.word, [0] * self.lanes)), bits)
        shown = b.icmp_unsigned("==", b.bitcast(hide, bytes_), ir.Constant(bytes_, 0))
        return b.and_(b.icmp_unsigned("==", there, ir.Constant(bits, -1)), shown)

    def share(self, v0, v1, weights, as_zero):
        """Share of the later frame: `weights` where both have the point, else all or nothing."""
        b, here0, here1 = self.builder, self.has_score(v0), self.has_score(v1)
        one = b.select(here1, _vector(_FLOAT, [1.0] * self.lanes), self.nil)
        return b.select(b.or_(b.and_(here0, here1), as_zero), weights, one)

    def blended(self, v0, v1, weights):
        b = self.builder
        return b.fadd(v0, b.fmul(b.fsub(v1, v0), weights))

    def moved(self, v, factors):
        b, (straight, crossed, offset) = self.builder, factors
        swapped = self.shuffle(v, [4 * (lane // 4) + _SWAPPED[lane % 4] for lane in range(self.lanes)])
        return b.fadd(b.fadd(b.fmul(v, straight), b.fmul(swapped, crossed)), offset)

    def has_score(self, v):
        return self.builder.fcmp_ordered(">", self.shuffle(v, self.scores), self.nil)

    def put(self, values, flags, here):
        if self.channels == 3:
            values = self.shuffle(values, [4 * (i // 3) + i % 3 for i in range(3 * self.points)])
        for value, address, alignment in zip((values, flags), here, (4, 1), strict=True):
            self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = alignment

    # ---- vectors ----

    @property
    def nil(self):
        return _vector(_FLOAT, [0.0] * self.lanes)

    def repeated(self, address):
        """Four numbers, for each point."""
        return self.shuffle(self.load(address, ir.VectorType(_FLOAT, 4), 4), [lane % 4 for lane in range(self.lanes)])

    def each(self, flags):
        """One flag a point to one a lane."""
        return self.shuffle(flags, [lane // 4 for lane in range(self.lanes)])

    def splat(self, value):
        undefined = ir.Constant(ir.VectorType(value.type, self.lanes), ir.Undefined)
        return self.shuffle(self.builder.insert_element(undefined, value, ir.Constant(_INT, 0)), [0] * self.lanes)

    def shuffle(self, v, lanes, other=None):
        return self.builder.shuffle_vector(v, v if other is None else other, _vector(_INT, lanes))

    def load(self, address, kind, alignment):
        value = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        value.align = alignment
        return value


def _vector(kind: Any, values: Sequence[float]) -> Any:
    return ir.Constant(ir.VectorType(kind, len(values)), list(values))


def _number(value: int) -> Any:
    return ir.Constant(_LONG, value)
