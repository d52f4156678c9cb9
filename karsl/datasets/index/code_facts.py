"""What the code that parses an annotation does, as a hash: edited parsing code must not find the old index."""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
import os
import re
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import karsl
from karsl.datasets.index.fingerprint import fingerprint

_PACKAGE = Path(karsl.__file__).parent
_NOT_FOLLOWED = (
    f"{_PACKAGE}{os.sep}",
    *{sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")},
)

_NATIVE = (
    types.BuiltinFunctionType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)


class _CannotTell(Exception):
    """Code that cannot be read: built-in, mocked, or closed over something unknown."""


def code_facts(owner: Any, names: Sequence[str]) -> str | None:
    """A hash of the named methods over the whole MRO and of the code that they reach.

    Followed are methods of the same class, functions and classes among the globals that the code names, and functions of
    modules among them; constants count by value. Imports inside a function are not followed. Installed packages and
    karsl itself count by name: the caller adds the version of the one and `package_facts` of the other.

    Args:
        owner: A class or an instance; methods replaced on the instance count.
        names: Methods to start from.

    Returns:
        Hex, or None when it cannot tell.

    Example:
        >>> class A:
        ...     def load(self): return self.parse(1)
        ...     def parse(self, x): return x + 1
        >>> class B(A):
        ...     def parse(self, x): return x + 2
        >>> code_facts(A, ["load"]) == code_facts(A(), ["load"]), code_facts(A, ["load"]) == code_facts(B, ["load"])
        (True, False)
        >>> code_facts(A, ["__init_subclass__"]) is None
        True
    """
    cls = owner if isinstance(owner, type) else type(owner)
    reader = _Reader(cls)
    try:
        for name in names:
            if cls is not owner and name in vars(owner):
                reader.take(vars(owner)[name])
            found = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
            if not found:
                raise _CannotTell
            for method in found:
                reader.take(method)
    except (_CannotTell, RecursionError):
        return None
    return reader.digest.hexdigest()


def counts_by_name(cls: type) -> bool:
    """Whether a class is Python's, of an installed package or karsl's, so that its code need not be read.

    Example:
        >>> counts_by_name(int), counts_by_name(Path), counts_by_name(type("Mine", (), {"__module__": "mine"}))
        (True, True, False)
    """
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    return cls.__module__ in sys.builtin_module_names or file.startswith(_NOT_FOLLOWED)


def package_facts() -> tuple:
    """Names, sizes and times of karsl's own modules that read and parse; 3 ms where following the code takes 17."""
    paths = (path for part in ("datasets", "skeletons", "storage") for path in sorted((_PACKAGE / part).rglob("*.py")))
    states = ((str(path.relative_to(_PACKAGE)), path.stat()) for path in paths)
    return tuple((name, state.st_size, state.st_mtime_ns) for name, state in states)


class _Reader:
    """Feeds a hash with code objects, each once, in the order they are met."""

    def __init__(self, cls: type) -> None:
        self.digest = hashlib.blake2b(digest_size=16)
        self._cls, self._seen = cls, set[int]()  # what is seen lives as long as its module

    def take(self, member: Any) -> None:
        """Add one function, method or property, with the decorators around it."""
        if isinstance(member, property):
            for part in filter(None, (member.fget, member.fset)):
                self.take(part)
            return
        function = getattr(member, "__func__", member)
        inner = inspect.unwrap(getattr(function, "py_func", function))  # py_func: numba
        if not isinstance(inner, types.FunctionType):
            raise _CannotTell
        self._take_function(inner)
        if isinstance(function, types.FunctionType):
            self._take_function(function)

    def _take_function(self, function: types.FunctionType) -> None:
        if id(function) in self._seen:
            return
        self._seen.add(id(function))
        self._add(function.__module__, function.__qualname__)
        if function.__code__.co_filename.startswith(_NOT_FOLLOWED):
            return
        self._take_code(function.__code__, function.__globals__)
        if function.__code__.co_filename == "<string>":
            return  # made by dataclass from the fields, whose defaults are attributes of the class
        self._take_value("defaults", [function.__defaults__, function.__kwdefaults__])
        for cell in function.__closure__ or ():
            self._take_cell(cell.cell_contents)

    def _take_code(self, code: types.CodeType, scope: dict) -> None:
        self._add(code.co_code, code.co_varnames, code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._take_code(constant, scope)
            else:
                self._add(constant)
        for name in code.co_names:
            for member in self._named(name, code.co_names, scope):
                self._take_reached(name, member)

    def _named(self, name: str, names: tuple[str, ...], scope: dict) -> Iterator[Any]:
        """What a name of the code may stand for: a global, an attribute of a module among them, or one of the class."""
        if name in scope:
            yield scope[name]
        for module in (scope.get(other) for other in names):
            if isinstance(module, types.ModuleType) and isinstance(vars(module).get(name), types.FunctionType):
                yield vars(module)[name]
        for base in self._cls.__mro__:
            if name in vars(base) and name != "__init__":  # what it does shows in the attributes
                yield vars(base)[name]

    def _take_reached(self, name: str, member: Any) -> None:
        """Something that the code names; data or code that we cannot read ends the reading, since it may matter."""
        if isinstance(member, (types.ModuleType, logging.Logger, np.ufunc, *_NATIVE)):
            self._add(name, type(member).__name__)
        elif isinstance(member, type):
            self._take_class(member)
        elif isinstance(member, re.Pattern):
            self._add(name, member.pattern, member.flags)
        elif isinstance(member, functools.partial):
            self._add(name, member.args, member.keywords)
            self._take_reached(name, member.func)
        elif callable(member) or isinstance(member, (property, staticmethod, classmethod)):
            self.take(member)
        else:
            self._take_value(name, member)

    def _take_value(self, name: str, value: Any) -> None:
        """Data, in which functions may lie: a table of filters, a default."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._add(name, key)
                self._take_value(name, item)
        elif isinstance(value, (list, tuple)):
            self._add(name, type(value), len(value))
            for item in value:
                self._take_value(name, item)
        elif callable(value) and fingerprint(value) is None:
            self._take_reached(name, value)
        else:
            self._add(name, value)

    def _take_class(self, cls: type) -> None:
        if id(cls) in self._seen:
            return
        self._seen.add(id(cls))
        self._add(cls.__module__, cls.__qualname__)
        for member in vars(cls).values():
            function = getattr(member, "__func__", member)
            if isinstance(function, types.FunctionType):
                self._take_function(function)

    def _take_cell(self, content: Any) -> None:
        if isinstance(content, types.FunctionType):
            self.take(content)
        elif isinstance(content, type):
            self._add(content.__module__, content.__qualname__)  # `__class__` of super()
        else:
            self._add(content)

    def _add(self, *facts: Any) -> None:
        name = fingerprint(*facts)
        if name is None:
            raise _CannotTell
        self.digest.update(name.encode())
