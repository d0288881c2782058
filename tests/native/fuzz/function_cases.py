"""Every function and type that the module offers, found by looking: called and used with good and bad arguments.

Invariant: nothing is listed here that the module's own names and signatures say already; a parameter that
`good` does not know gets anything at all, so a new function is covered from the day it exists.
"""

from __future__ import annotations

import copy
import inspect
import operator
import pickle
import re
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.native.fuzz.pool import ADD, CODES, F3, F32, ONE, Key, Pool, Rows, Shrinking, nt

FUNCTIONS = sorted(
    name for name in dir(nt) if callable(getattr(nt, name)) and not isinstance(getattr(nt, name), type)
)
CONSTRUCTORS = sorted(name for name in dir(nt) if isinstance(getattr(nt, name), type))
RARE = {"close_all_clients", "close"}  # making a new client takes time

_OPERATIONS: list[Callable[[Any], Any]] = [
    len, bool, int, float, complex, operator.index, hash, repr, str, iter, memoryview, bytes, copy.copy, copy.deepcopy,
    pickle.dumps, weakref.ref, sys.getsizeof, np.asarray, list, dir, lambda x: pickle.loads(pickle.dumps(x)),
    lambda x: x[0], lambda x: x == x, lambda x: x < x, lambda x: x(), lambda x: operator.setitem(x, 0, 1),
    lambda x: setattr(x, "new", 1), lambda x: x.__class__.__init__(x), lambda x: x.__reduce_ex__(2),
    lambda x: type(x).__new__(type(x)), lambda x: np.from_dlpack(x), lambda x: np.array(x, dtype="O"),
]  # fmt: skip


def parameters(function: Any) -> tuple[list[str], list[str]]:
    """The names of positional and of keyword-only parameters."""
    try:
        found = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        first = (getattr(function, "__doc__", None) or "").split("\n")[0]
        return [name for name in re.findall(r"(\w+): ", first) if name != "self"], []
    positional = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return positional, [p.name for p in found if p.kind is p.KEYWORD_ONLY]


def good(pool: Pool, name: str) -> Any:
    """A value that a parameter of this name should take."""
    rng = pool.rng
    makers: dict[str, Callable[[], Any]] = {
        "value": lambda: rng.choice([pool.numpy, pool.number])(), "contents": pool.numpy, "x": pool.array,
        "device": lambda: rng.choice(pool.client.devices), "copy": lambda: rng.choice([None, True, False]),
        "dtype": lambda: rng.choice([None, F32, np.int32, "float16", Key(), Shrinking(), *CODES.values()]),
        "np_dtype": lambda: np.dtype(rng.choice(list(CODES.values()))), "code": lambda: rng.choice(list(CODES)),
        "shape": lambda: rng.choice([(), (3,), (2, 2), (0,), [4, 2], (4, 2), (2**40, 0)]),
        "weak_type": lambda: rng.choice([None, True, False]), "committed": lambda: rng.random() < 0.5,
        "sharding": lambda: rng.choice([None, Rows(pool.device), Rows(*pool.client.devices)]),
        "arrays": lambda: [pool.put(np.ones((2, 2), np.float32), d) for d in range(2)],
        "capsule": lambda: pool.array().__dlpack__(**rng.choice([{}, {"max_version": (1, 0)}])),
        "extended": lambda: rng.choice([None, Key()]), "tree": lambda: {"a": [pool.any(), (1, None)], "b": pool.any()},
        "is_leaf": lambda: rng.choice([None, lambda x: isinstance(x, list), pool.hostile()]),
        "treedef": pool.treedef, "leaves": lambda: [pool.any() for _ in range(rng.randrange(4))],
        "iterable": lambda: [1, 2], "f": lambda: lambda *a: a, "fun": lambda: print, "fn": lambda: lambda *a: a,
        "type": lambda: type("New", (), {}), "to_iterable": lambda: lambda x: ((), None), "filter": lambda: lambda t: t,
        "from_iterable": lambda: lambda aux, xs: xs, "data_fields": lambda: ("a",), "meta_fields": lambda: ["b"],
        "defs": lambda: [pool.treedef(), pool.treedef()], "state": lambda: pool.treedef().__reduce__()[1][0],
        "trace": lambda: rng.choice([None, "trace"]), "key": lambda: rng.randrange(-1, 3), "choice": lambda: rng.randrange(-1, 2),
        "miss": lambda: lambda *a: (None, None), "traced": lambda: lambda *a: None, "program": lambda: ADD,
        "options": lambda: ONE, "data": lambda: pool.serialized, "client_or_plugin": lambda: pool.client,
        "name": pool.text, "platform": lambda: "cpu", "path": pool.text, "executable": pool.executable,
        "num_leaves": lambda: 2, "out_avals": lambda: [F3], "shards": lambda: [[pool.floats(), pool.floats()]],
        "cls": lambda: RuntimeError, "handler": lambda: pool.floats().__dlpack__(), "id": lambda: rng.randrange(5),
        "rule": lambda: lambda: rng.choice([pool.device, None]), "values": lambda: rng.choice([1, 2.0, pool.floats()]),
        "index": lambda: rng.choice([0, slice(None, None, -1), None, (..., 0), np.array([0, 5]), pool.array(), pool.hostile()]),
        "operation": lambda: rng.choice(["set", "add", "subtract", "multiply", "min", "max"]),
        "mode": lambda: rng.choice([None, "clip", "drop", "fill", "promise_in_bounds"]),
    }  # fmt: skip
    return makers.get(name, pool.any)()


def arguments(pool: Pool, function: Any) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as they should be, then spoilt in some places."""
    positional, keywords = parameters(function)
    rng = pool.rng
    args = [good(pool, name) for name in positional]
    kwargs = {name: good(pool, name) for name in keywords if rng.random() < 0.6}
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        if args:
            args[rng.randrange(len(args))] = pool.any()
        if kwargs:
            kwargs[rng.choice(list(kwargs))] = pool.any()
    spoil = rng.random()
    if spoil < 0.1:
        args.append(pool.any())
    elif spoil < 0.2:
        del args[rng.randrange(len(args) + 1) :]
    elif spoil < 0.3 and args:
        at = rng.randrange(len(args))
        kwargs.update(zip(positional[at:], args[at:], strict=False))
        del args[at:]
    elif spoil < 0.35:
        kwargs[pool.text()] = pool.any()
    pool.containers += [v for v in [*args, *kwargs.values()] if isinstance(v, (list, dict))]
    return args, kwargs


def call_function(pool: Pool) -> None:
    """One call of one function or constructor."""
    name = pool.rng.choice(FUNCTIONS + CONSTRUCTORS)
    if name in RARE and pool.rng.random() > 0.1:
        return
    function = getattr(nt, name)
    args, kwargs = arguments(pool, function)
    made = function(*args, **kwargs)
    if pool.rng.random() < 0.3:
        pool.rng.choice(_OPERATIONS)(made)
    if name == "from_dlpack_capsule":
        np.asarray(made).tobytes()


def instance(pool: Pool) -> Any:
    """An object of one of the module's types."""
    return pool.rng.choice(
        [pool.array, pool.array, pool.array, pool.treedef, pool.executable, pool.plan, pool.call, lambda: pool.client,
         lambda: pool.device, lambda: pool.plugin, lambda: pool.closed, lambda: pool.closed.devices[0],
         lambda: nt.Boundary(lambda *a: pool.any()), lambda: nt.Client.__new__(nt.Client)]
    )()  # fmt: skip


def use_type(pool: Pool) -> None:
    """An attribute, a method or an operation of an instance."""
    rng = pool.rng
    thing = instance(pool)
    kind = rng.random()
    if kind < 0.3:
        rng.choice(_OPERATIONS)(thing)
        return
    native = (types.GetSetDescriptorType, types.MemberDescriptorType, types.MethodDescriptorType)
    names = [n for n in dir(type(thing)) if isinstance(getattr(type(thing), n, None), native)]
    names += [n for n in dir(type(thing)) if type(getattr(type(thing), n, None)).__module__ == "nanobind"]
    name = rng.choice(sorted(set(names) | {"devices", "shape"}))
    if name in RARE and rng.random() > 0.1:
        return
    if kind < 0.35:
        setattr(thing, name, pool.any())
    elif kind < 0.4:
        delattr(thing, name)
    member = getattr(thing, name)
    if callable(member):
        args, kwargs = arguments(pool, member)
        member = member(*args, **kwargs)
    if rng.random() < 0.3:
        rng.choice(_OPERATIONS)(member)
