"""Vectors of 1, 4 or 8 points for compiled code: x, y, z and score of a point, then those of the next.

numba compiles a loop over points of four numbers to shuffles or scalar code, five times as slow. With these functions a step
is written like one on a single point, for a constant number of `points`:

    moved = subtract_xyz(load(4, now), load(4, before))
    store(moved, out)

Everything is read and written by address; the caller has checked the lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

_BYTE, _INT, _LONG, _FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_ADDRESS = types.int64
_intrinsic: Any = intrinsic  # compiled code calls an intrinsic without its first parameter

POINT_BYTES = 16
"""Bytes of a point: float32 x, y, z, score."""


class Vector(types.Type):
    """Type of a vector in compiled code.

    Args:
        points: Number of points.
    """

    def __init__(self, points: int) -> None:
        self.points = points
        super().__init__(name=f"Vector({points})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(_FLOAT, 4 * vector.points))


# ---- helpers of the code that is emitted ----


def _shuffle(builder: Any, first: Any, second: Any, lanes: Sequence[int]) -> Any:
    return builder.shuffle_vector(first, second, _constant(_INT, lanes))


def _constant(element_type: Any, values: Sequence[Any]) -> Any:
    return ir.Constant(ir.VectorType(element_type, len(values)), list(values))


def _lanes(points: int, lanes: Sequence[int], *, stride: int = 4) -> list[int]:
    """Repeat lanes of one point for several; a lane of 100 or more is one of the second vector."""
    size = stride * points
    return [lane % 100 + stride * point + size * (lane // 100) for point in range(points) for lane in lanes]


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    return _shuffle(builder, builder.insert_element(undefined, value, ir.Constant(_INT, 0)), undefined, [0] * lanes)


def _scores(builder: Any, v: Any) -> Any:
    return _shuffle(builder, v, v, _lanes(v.type.count // 4, [3, 3, 3, 3]))


def _has_score(builder: Any, v: Any) -> Any:
    return builder.fcmp_ordered(">", _scores(builder, v), _constant(_FLOAT, [0.0] * v.type.count))


def _read(builder: Any, address: Any, element_type: Any, count: int) -> Any:
    value = builder.load(builder.inttoptr(address, ir.VectorType(element_type, count).as_pointer()))
    value.align = 4
    return value


def _write(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 1 if value.type.element == _BYTE else 4


def _reader(emit: Callable[..., Any], arguments: int) -> Any:
    """Return a function of a constant number of points and addresses, whose value is a vector."""

    def generate(context, builder, signature, args):
        return emit(builder, signature.return_type.points, *args[1:])

    def one(typing_context, points, address):
        return Vector(points.literal_value)(points, _ADDRESS), generate

    def two(typing_context, points, address, other):
        return Vector(points.literal_value)(points, _ADDRESS, _ADDRESS), generate

    return _intrinsic(prefer_literal=True)(one if arguments == 1 else two)


def _writer(emit: Callable[..., Any]) -> Any:
    """Return a function of a vector and an address."""

    def generate(context, builder, signature, args):
        _write(builder, emit(builder, args[0]), args[1])
        return context.get_dummy_value()

    def signature(typing_context, v, address):
        return types.none(v, _ADDRESS), generate

    return _intrinsic(signature)


def _operation(emit: Callable[..., Any], vectors: int) -> Any:
    """Return a function of one or two vectors, whose value is a vector."""

    def generate(context, builder, signature, args):
        return emit(builder, *args)

    def one(typing_context, a):
        return a(a), generate

    def two(typing_context, a, b):
        return a(a, b), generate

    return _intrinsic(one if vectors == 1 else two)


# ---- reading and writing ----


def _gather(builder: Any, points: int, base: Any, indices: Any) -> Any:
    rows = _read(builder, indices, _LONG, points)
    vectors = []
    for point in range(points):
        offset = builder.mul(builder.extract_element(rows, ir.Constant(_INT, point)), ir.Constant(_LONG, 16))
        vectors.append(_read(builder, builder.add(base, offset), _FLOAT, 4))
    while len(vectors) > 1:
        lanes = range(2 * vectors[0].type.count)
        vectors = [_shuffle(builder, a, b, lanes) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


def _load_half(builder: Any, points: int, address: Any) -> Any:
    bits = builder.load(builder.inttoptr(address, ir.VectorType(ir.HalfType(), 4 * points).as_pointer()))
    bits.align = 2
    return builder.fpext(bits, ir.VectorType(_FLOAT, 4 * points))


def _load_apart(builder: Any, points: int, keypoint: Any, score: Any) -> Any:
    xyz, score = _read(builder, keypoint, _FLOAT, 3 * points), _read(builder, score, _FLOAT, points)
    xyz = _shuffle(builder, xyz, xyz, _lanes(points, [0, 1, 2, 2], stride=3))
    score = _shuffle(builder, score, score, _lanes(points, [0, 0, 0, 0], stride=1))
    return _shuffle(builder, xyz, score, _lanes(points, [0, 1, 2, 103]))


def _flags(builder: Any, v: Any) -> Any:
    points = v.type.count // 4
    scores = _shuffle(builder, v, v, _lanes(points, [3]))
    return builder.zext(builder.fcmp_ordered(">", scores, _constant(_FLOAT, [0.0] * points)), ir.VectorType(_BYTE, points))


load = _reader(lambda builder, points, address: _read(builder, address, _FLOAT, 4 * points), 1)
"""`load(points, address)` reads float32 (points, 4)."""
load_half = _reader(_load_half, 1)
"""`load_half(points, address)` reads float16 (points, 4) as float32."""
load_apart = _reader(_load_apart, 2)
"""`load_apart(points, keypoint, score)` reads float32 (points, 3) and (points,)."""
gather = _reader(_gather, 2)
"""`gather(points, base, indices)` reads the points of int64 (points,) numbers."""
store = _writer(lambda builder, v: v)
store_xyz = _writer(lambda builder, v: _shuffle(builder, v, v, _lanes(v.type.count // 4, [0, 1, 2])))
"""`store_xyz(v, address)` writes float32 (points, 3)."""
store_scores = _writer(lambda builder, v: _shuffle(builder, v, v, _lanes(v.type.count // 4, [3])))
"""`store_scores(v, address)` writes float32 (points,)."""
store_flags = _writer(_flags)
"""`store_flags(v, address)` writes bool (points,), True where the score is above 0."""


# ---- operations ----


def _with_scores(builder: Any, v: Any, other: Any) -> Any:
    return _shuffle(builder, v, other, _lanes(v.type.count // 4, [0, 1, 2, 103]))


def _subtract_xyz(builder: Any, a: Any, b: Any) -> Any:
    return _with_scores(builder, builder.fsub(a, b), a)


def _mean(builder: Any, total: Any, old: Any) -> Any:
    points = total.type.count // 4
    numbers = _shuffle(builder, total, total, _lanes(points, [3]))
    shares = builder.fdiv(_constant(_FLOAT, [1.0] * points), numbers)  # a quarter of the divisions, which take the longest
    mean = builder.fmul(total, _shuffle(builder, shares, shares, _lanes(points, [0] * 4, stride=1)))
    return builder.select(_has_score(builder, old), _with_scores(builder, mean, old), old)


def _counted(builder: Any, v: Any) -> Any:
    size = v.type.count
    return builder.select(
        _has_score(builder, v), _with_scores(builder, v, _constant(_FLOAT, [1.0] * size)), _constant(_FLOAT, [0.0] * size)
    )


def _hide_unknown(builder: Any, v: Any) -> Any:
    points = v.type.count // 4
    missing = _constant(_FLOAT, ([float("nan")] * 3 + [0.0]) * points)
    result = builder.select(_has_score(builder, v), v, missing)  # one select per mask: joining masks is slow without AVX-512
    for first, second in (([0, 1, 2, 0], [1, 2, 0, 1]), ([2, 0, 1, 2], [2, 0, 1, 2])):
        a, b = (_shuffle(builder, v, v, _lanes(points, lanes)) for lanes in (first, second))
        result = builder.select(builder.fcmp_unordered("uno", a, b), missing, result)
    return result


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


add = _operation(lambda builder, a, b: builder.fadd(a, b), 2)
least = _operation(_least, 2)
subtract_xyz = _operation(_subtract_xyz, 2)
"""`subtract_xyz(a, b)` is the difference of the coordinates, with the scores of `a`."""
counted = _operation(_counted, 1)
"""`counted(v)` has score 1 at present points, and zeros at missing ones, so that sums and numbers are added at once."""
mean_of = _operation(_mean, 2)
"""`mean_of(total, old)` replaces the coordinates of the present points of `old` by means, from sums of `counted`."""
hide_unknown = _operation(_hide_unknown, 1)
"""`hide_unknown(v)` makes points missing of which a coordinate is NaN."""


@_intrinsic(prefer_literal=True)
def repeated(typing_context, points, value):
    """Return a vector of a constant number of points whose numbers are all the same."""

    def generate(context, builder, signature, args):
        number = builder.fptrunc(args[1], _FLOAT)
        return _splat(builder, number, 4 * signature.return_type.points)

    return Vector(points.literal_value)(points, types.float64), generate


@_intrinsic
def scaled(typing_context, v, factor):
    """Return a vector times a number."""

    def generate(context, builder, signature, args):
        v, factor = args
        return builder.fmul(v, _splat(builder, factor, v.type.count))

    return v(v, types.float32), generate


@_intrinsic
def are_known(typing_context, v):
    """Return True if all points are present and no coordinate is NaN: then `hide_unknown` changes nothing."""

    def generate(context, builder, signature, args):
        (v,) = args
        points, lanes = v.type.count // 4, ir.IntType(v.type.count)
        tested = _with_scores(builder, builder.fsub(v, v), v)  # NaN, or 0 and the score
        bounds = _constant(_FLOAT, [-1.0, -1.0, -1.0, 0.0] * points)
        known = builder.bitcast(builder.fcmp_ordered(">", tested, bounds), lanes)
        return builder.icmp_unsigned("==", known, ir.Constant(lanes, -1))

    return types.boolean(v), generate


@_intrinsic
def are_canonical(typing_context, v):
    """Return True if all numbers are finite, no x is 0, and all scores are above 0 and at most 1."""

    def generate(context, builder, signature, args):
        (v,) = args
        size = v.type.count
        finite = builder.fcmp_ordered("==", builder.fsub(v, v), _constant(_FLOAT, [0.0] * size))
        is_x, is_score = (_constant(ir.IntType(1), [lane % 4 == wanted for lane in range(size)]) for wanted in (0, 3))
        zero, one = (_constant(_FLOAT, [number] * size) for number in (0.0, 1.0))
        wrong = builder.and_(builder.fcmp_ordered("==", v, zero), is_x)
        outside = builder.or_(builder.fcmp_ordered("<=", v, zero), builder.fcmp_ordered(">", v, one))
        wrong = builder.or_(wrong, builder.and_(outside, is_score))
        right = builder.and_(finite, builder.not_(wrong))
        lanes = ir.IntType(size)
        return builder.icmp_unsigned("==", builder.bitcast(right, lanes), ir.Constant(lanes, -1))

    return types.boolean(v), generate


@_intrinsic
def have_scores(typing_context, v, score):
    """Return True if all points have this score."""

    def generate(context, builder, signature, args):
        v, score = args
        size = v.type.count
        differs = builder.fcmp_unordered("!=", v, _splat(builder, score, size))
        differs = builder.and_(differs, _constant(ir.IntType(1), [lane % 4 == 3 for lane in range(size)]))
        return builder.icmp_unsigned("==", builder.bitcast(differs, ir.IntType(size)), ir.Constant(ir.IntType(size), 0))

    return types.boolean(v, types.float32), generate


@_intrinsic
def scale_xyz(typing_context, v, factor, other):
    """Return the coordinates of `v` times a number, with the scores of another vector."""

    def generate(context, builder, signature, args):
        v, factor, other = args
        return _with_scores(builder, builder.fmul(v, _splat(builder, factor, v.type.count)), other)

    return v(v, types.float32, v), generate


@_intrinsic
def fill_nan(typing_context, v, fill):
    """Return a vector with a coordinate in place of NaN."""

    def generate(context, builder, signature, args):
        value, fill = args
        fills = _splat(builder, fill, value.type.count)
        return builder.select(builder.fcmp_unordered("uno", value, value), fills, value)

    return v(v, types.float32), generate
