"""Memory by address, in compiled code: clips that lie anywhere are read in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_LINE = 64  # bytes: a cache line
_LONG, _INT, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)


def _pointer(typing_context, like, address):
    """Address -> pointer to values of the kind of an array."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[1], context.get_value_type(types.CPointer(like.dtype)))

    return types.CPointer(like.dtype)(like, types.int64), generate


def _fetch(typing_context, address, lines):
    """Have the processor bring cache lines nearer."""

    def generate(context, builder, signature, args):
        kind = _BYTE.as_pointer()
        form = ir.FunctionType(ir.VoidType(), [kind, _INT, _INT, _INT])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [kind], form)
        to_read, second_level, data = (ir.Constant(_INT, n) for n in (0, 2, 1))
        with cgutils.for_range(builder, args[1]) as loop:
            line = builder.add(args[0], builder.mul(loop.index, ir.Constant(_LONG, _LINE)))
            builder.call(fetch, [builder.inttoptr(line, kind), to_read, second_level, data])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), generate


pointer = cast(Callable[..., Any], intrinsic(_pointer))
_prefetch = cast(Callable[..., None], intrinsic(_fetch))


@njit(inline="always")
def prefetch(address, nbytes, part, parts):
    """Fetch one part of some memory beforehand; all parts, one after the other, are the whole."""
    lines = nbytes // _LINE
    first, end = part * lines // parts, (part + 1) * lines // parts
    _prefetch(address + _LINE * first, end - first)
