"""Converted functions: which functions are converted, and how their code takes the place of the original.

Invariant: a conversion has the globals, the closure's very cells, the defaults and the name of its function, and the
positions of its source. It is made once for a function; nothing here keeps a function alive.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import site
import sysconfig
import weakref
from types import CodeType, FunctionType, MethodType
from typing import Any

from anima.errors import ConversionError
from anima.transforms.convert import names
from anima.transforms.convert.calls import function
from anima.transforms.convert.operators import Operators
from anima.transforms.convert.places import state
from anima.transforms.convert.rewrite import rewrite
from anima.transforms.convert.source import source_of

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
_STANDARD = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})
_INSTALLED = tuple({sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib")} | {
    folder + os.sep for folder in [*site.getsitepackages(), site.getusersitepackages()]
})  # fmt: skip
_MARK, _KEPT = "_anima_unconverted", "_anima_converted"
_FUTURE = 0x1FF0000  # flags of `from __future__ import ...`
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_MAX_CODES = 4096
_codes: dict[
    int, tuple[CodeType, CodeType]
] = {}  # by the id of the original, which is kept with its conversion


def do_not_convert(fun: Any) -> Any:
    """Mark a function: code under `jit(..., control_flow="convert")` calls it as it is.

    >>> import anima
    >>> from anima.transforms.convert import do_not_convert
    >>> @do_not_convert
    ... def scaled(x):
    ...     return x * (2 if isinstance(x, float) else 3)
    >>> print(anima.jit(lambda x: scaled(x) if x > 0 else x, control_flow="convert")(1))
    3
    """
    setattr(fun, _MARK, True)
    return fun


def converted(fun: Any) -> Any:
    """The conversion of `fun`, a function, method, partial or callable object.

    Raises:
      ConversionError: it contains what cannot be converted, or its source cannot be read.
    """
    if isinstance(fun, FunctionType):
        if hasattr(fun, _MARK) or names.OPERATORS in fun.__code__.co_freevars:
            return fun
        return _root(_of_function(fun))
    if isinstance(fun, MethodType) and isinstance(fun.__func__, FunctionType):
        return MethodType(converted(fun.__func__), fun.__self__)
    if isinstance(fun, functools.partial):
        return functools.partial(converted(fun.func), *fun.args, **fun.keywords)
    return function(fun, _Caller("").convert)


def _root(made: Any) -> Any:
    """A conversion as what `jit` traces: behind it nothing is kept."""

    @functools.wraps(made)
    def run(*args: Any, **kwargs: Any) -> Any:
        state.depth += 1
        try:
            return made(*args, **kwargs)
        finally:
            state.depth -= 1
            if not state.depth:
                state.copies.clear()

    return run


class _Caller:
    """Converts what the code of one package calls."""

    def __init__(self, module: str) -> None:
        self._package = module.partition(".")[0]

    def convert(self, fun: FunctionType) -> Any:
        """The conversion of a user's function, and any other function as it is."""
        code = fun.__code__
        if names.OPERATORS in code.co_freevars or code.co_flags & _GENERATORS or hasattr(fun, _MARK):
            return fun
        if not self._is_users(fun, code.co_filename):
            return fun
        try:
            return _of_function(fun)
        except ConversionError:
            return fun  # as it is: if it needs conversion, tracing will say so

    def _is_users(self, fun: FunctionType, file: str) -> bool:
        if file.startswith((_PACKAGE, "<frozen")):
            return False
        if file.startswith(_INSTALLED) or "site-packages" in file or "dist-packages" in file:
            return (fun.__module__ or "").partition(".")[0] == self._package
        return not file.startswith(_STANDARD)


def _of_function(fun: FunctionType) -> Any:
    kept = fun.__dict__.get(_KEPT)
    if kept is not None and kept[0]() is fun:  # a wrapper may have a copy of another function's dictionary
        return kept[1]
    code = fun.__code__
    if code.co_flags & _GENERATORS:
        raise ConversionError(
            f"{code.co_filename}:{code.co_firstlineno} ({fun.__name__}): generators and coroutines cannot be converted",
            advice="Return the values in an array or a tuple.",
        )
    known = _codes.get(id(code))
    if known is None:
        if len(_codes) >= _MAX_CODES:
            _codes.clear()
        known = _codes[id(code)] = (code, _factory_code(fun))
    made = _instance(fun, known[1])
    setattr(fun, _KEPT, (weakref.ref(fun), made))
    return made


def _factory_code(fun: FunctionType) -> CodeType:
    """The code of a function that takes the operators and returns the converted function."""
    code = fun.__code__
    source = source_of(fun)
    node = rewrite(source.node, source.owner, code.co_filename)
    body: list[ast.stmt]
    if isinstance(node, ast.Lambda):
        body = [ast.Return(node)]
    else:
        node.name, node.decorator_list, node.returns = "_anima_function", [], None
        body = [node, ast.Return(names.load("_anima_function"))]
    args = node.args
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if arg is not None:
            arg.annotation = None
    args.defaults = [ast.Constant(None) for _ in args.defaults]
    args.kw_defaults = [d and ast.Constant(None) for d in args.kw_defaults]
    inner = names.definition("_anima_inner", [names.OPERATORS], body)
    outer = names.definition(
        "_anima_outer", list(code.co_freevars), [inner, ast.Return(names.load("_anima_inner"))]
    )
    names.at(outer, node)
    flags = code.co_flags & _FUTURE
    compiled = compile(
        ast.fix_missing_locations(ast.Module([outer], [])), code.co_filename, "exec", flags, dont_inherit=True
    )
    named = _renamed(compiled, code.co_name)
    namespace: dict[str, Any] = {}
    exec(named, namespace)
    made = namespace["_anima_outer"](*[None] * len(code.co_freevars))
    return made.__code__  # type: ignore[no-any-return]


def _renamed(code: CodeType, name: str) -> CodeType:
    """`code` with blocks called as the function that they stand in, for tracebacks."""
    own = code.co_name if not code.co_name.startswith("_anima_") else name
    consts = tuple(
        _renamed(c, own if code.co_name != "<module>" else name) if isinstance(c, CodeType) else c
        for c in code.co_consts
    )
    if code.co_name == "<module>":
        return code.replace(co_consts=consts)
    return code.replace(co_consts=consts, co_name=own, co_qualname=own)


def _instance(fun: FunctionType, factory: CodeType) -> FunctionType:
    cells = dict(zip(fun.__code__.co_freevars, fun.__closure__ or ()))
    closure = tuple(cells[name] for name in factory.co_freevars)
    make = FunctionType(factory, fun.__globals__, fun.__name__, (), closure)
    made: FunctionType = make(Operators(_Caller(fun.__module__ or "").convert))
    made.__defaults__, made.__kwdefaults__ = fun.__defaults__, fun.__kwdefaults__
    made.__name__, made.__qualname__, made.__module__ = fun.__name__, fun.__qualname__, fun.__module__
    made.__doc__ = fun.__doc__
    return made
