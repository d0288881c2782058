"""Stages, `ShapeDtypeStruct`, `eval_shape` and the options of `jit` compared with JAX."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import jax
import numpy as np
import pytest

import anima
import anima.numpy
import anima.stages

pytestmark = pytest.mark.peers
LIBRARIES = (anima, jax)


def function(x: Any, y: Any, *, k: Any) -> Any:
    return {"a": x["w"] @ y + k}


ARGS: Any = ({"w": np.ones((3, 3), np.float32)}, np.ones((3, 3), np.float32))


def stages_of(lib: Any) -> tuple[Any, Any, Any]:
    traced = lib.jit(function, donate_argnums=(1,)).trace(*ARGS, k=2.0)
    lowered = traced.lower()
    return traced, lowered, lowered.compile()


def described(lib: Any, stage: Any) -> dict[str, Any]:
    """What a stage tells, in words that do not depend on the library."""
    leaf = lambda x: (tuple(x.shape), str(np.dtype(x.dtype)), bool(getattr(x, "weak_type", False)))
    arg = lambda x: (tuple(x.shape), str(np.dtype(x.dtype)), x.donated)
    flat = lambda tree: [leaf(x) for x in lib.tree.leaves(tree)]
    return {
        "in_tree": str(stage.in_tree),
        "out_tree": str(stage.out_tree),
        "args_info": [
            arg(x) for x in lib.tree.leaves(stage.args_info, is_leaf=lambda x: hasattr(x, "donated"))
        ],
        "in_avals": flat(stage.in_avals),
        "out_info": flat(stage.out_info),
        "donate_argnums": tuple(stage.donate_argnums),
    }


def test_every_stage_tells_the_same() -> None:
    ours, theirs = stages_of(anima), stages_of(jax)
    for a, b in zip(ours, theirs):
        assert described(anima, a) == described(jax, b)
    assert ours[0].fun_name == theirs[0].fun_name
    kinds = lambda shardings: [type(s).__name__ for s in shardings]
    for name in ("input_shardings", "output_shardings"):
        a, b = (lib.tree.leaves(getattr(s[2], name)) for lib, s in zip(LIBRARIES, (ours, theirs)))
        assert kinds(a) == kinds(b)
    orders = lambda lib, f: [
        x.layout.major_to_minor for x in lib.tree.leaves(f, is_leaf=lambda x: hasattr(x, "layout"))
    ]
    for name in ("input_formats", "output_formats"):
        assert orders(anima, getattr(ours[2], name)) == orders(jax, getattr(theirs[2], name))


def test_the_same_attributes_and_parameters() -> None:
    deliberate = {"lojax"}  # JAX's own second level of jaxprs
    for name in ("Traced", "Lowered", "Compiled", "ArgInfo"):
        ours, theirs = (getattr(lib.stages, name) for lib in LIBRARIES)
        missing = {n for n in dir(theirs) if not n.startswith("_")} - set(dir(ours)) - deliberate
        missing -= {"jaxpr"} if name == "Traced" else {*ours.__annotations__}  # attributes of instances
        assert not missing, (name, missing)
    for owner, method in (
        ("Traced", "lower"),
        ("Lowered", "as_text"),
        ("Lowered", "compile"),
        ("Compiled", "as_text"),
    ):
        ours, theirs = (inspect.signature(getattr(getattr(lib.stages, owner), method)) for lib in LIBRARIES)
        public = lambda s: [
            (p.name, p.kind, p.default) for p in s.parameters.values() if not p.name.startswith("_")
        ]
        assert public(ours) == public(theirs), (owner, method)
    names = lambda lib: {n for n in dir(lib.stages) if not n.startswith("_")}
    assert names(anima) >= names(jax)
    assert {n for n in dir(anima.debug) if not n.startswith("_")} >= {
        "DebugEffect", "OrderedDebugEffect", "breakpoint", "callback", "log", "print",
    }  # fmt: skip


def test_the_parameters_of_public_functions() -> None:
    names = [
        "jit", "debug.print", "debug.callback", "pure_callback", "effects_barrier", "named_call", "named_scope",
        "ensure_compile_time_eval", "make_jaxpr", "eval_shape", "print_environment_info", "checking_leaks", "clear_caches",
    ]  # fmt: skip
    more = {"jit": ("control_flow",)}  # a row of docs/differences.md
    for name in names:
        signatures = []
        for lib in LIBRARIES:
            found: Any = lib
            for part in name.split("."):
                found = getattr(found, part)
            parameters = inspect.signature(found).parameters.values()
            signatures.append([(p.name, p.kind) for p in parameters if p.name not in more.get(name, ())])
        assert signatures[0] == signatures[1], name


def test_memory_and_costs_agree() -> None:
    x = np.ones((64, 64), np.float32)
    found = []
    for lib in LIBRARIES:
        compiled = lib.jit(lambda a, b: (a @ b, a + b), donate_argnums=0).lower(x, x).compile()
        memory = compiled.memory_analysis()
        found.append(
            [
                memory.argument_size_in_bytes,
                memory.output_size_in_bytes,
                memory.alias_size_in_bytes,
                compiled.cost_analysis()["flops"],
            ]
        )
    assert found[0] == found[1]


def wrong_calls(lib: Any, compiled: Any) -> dict[str, Any]:
    x, y = ARGS
    return {
        "shape": lambda: compiled({"w": np.ones((3, 2), np.float32)}, y, k=2.0),
        "dtype": lambda: compiled({"w": np.ones((3, 3), np.int32)}, y, k=2.0),
        "structure": lambda: compiled({**x, "z": 1}, y, k=2.0),
        "keyword": lambda: compiled(x, y, kk=2.0),
        "missing": lambda: compiled(x),
        "text": lambda: compiled(x, y, k="a"),
        "jit": lambda: lib.jit(lambda w: compiled({"w": w}, w, k=2.0))(y),
        "grad": lambda: lib.grad(lambda w: compiled({"w": w}, w, k=2.0)["a"].sum())(y),
        "vmap": lambda: lib.vmap(lambda w: compiled({"w": w}, w, k=2.0))(np.ones((2, 3, 3), np.float32)),
    }


def test_wrong_calls_raise_the_same_kind_of_error() -> None:
    ours, theirs = (wrong_calls(lib, stages_of(lib)[2]) for lib in LIBRARIES)
    for name in ours:
        for calls in (ours, theirs):
            with pytest.raises(TypeError):
                calls[name]()


class Model:
    def __init__(self) -> None:
        self.w = 2.0

    def method(self, x: Any) -> Any:
        return x * self.w

    def __call__(self, x: Any) -> Any:
        return x * 3


def jit_cases(lib: Any) -> dict[str, Any]:
    from functools import partial

    jit, m = lib.jit, Model()
    return {
        "bound": lambda: jit(m.method)(1.0),
        "object": lambda: jit(m)(1.0),
        "partial": lambda: jit(partial(m.method, 3.0))(),
        "partial static": lambda: jit(partial(lambda n, x: x * n, 3), static_argnums=0)(2.0),
        "negative": lambda: jit(lambda x, n: x * len(n), static_argnums=-1)(2.0, "abc"),
        "twice": lambda: jit(lambda x, n: x * len(n), static_argnums=(-1, 1))(2.0, "abc"),
        "NumPy number": lambda: jit(lambda x, n: x * len(n), static_argnums=np.int64(1))(2.0, "abc"),
        "out of range": lambda: jit(lambda x, n: x, static_argnums=5)(2.0, 3.0),
        "out of range, any number": lambda: jit(lambda *a: a[0], static_argnums=5)(2.0, 3.0),
        "unknown name": lambda: jit(lambda x, n: x, static_argnames="zz")(2.0, 3.0),
        "name of any": lambda: jit(lambda x, **kw: x * len(kw["zz"]), static_argnames="zz")(2.0, zz="ab"),
        "unhashable": lambda: jit(lambda x, n: x, static_argnums=1)(2.0, [3.0]),
        "unhashable by name": lambda: jit(lambda x, n: x, static_argnames="n")(2.0, n=[3.0]),
        "static and donated": lambda: jit(lambda x, n: x, static_argnums=1, donate_argnums=1)(2.0, 3.0),
        "traced static": lambda: jit(lambda x: jit(lambda y, n: y, static_argnums=1)(x, x))(1.0),
        "not a number": lambda: jit(lambda x: x, static_argnums="a"),
        "not a name": lambda: jit(lambda x: x, static_argnames=3),
        "text": lambda: jit(lambda x: x)("a"),
        "object leaf": lambda: jit(lambda x: x)({"a": [object()]}),
        "returned text": lambda: jit(lambda x: {"a": (1, "a")})(1.0),
        "no function": lambda: jit(3),
        "None": lambda: jit(None),
        "generator": lambda: jit(lambda: (yield)),
        "decorator": lambda: jit(inline=True)(lambda x: x + 1)(1),
        "default": lambda: jit(lambda x, n=2: x * n, static_argnums=1)(1.0),
        "static by keyword": lambda: jit(lambda x, n=2: x * n, static_argnums=1)(1.0, n=3),
        "too many": lambda: jit(lambda x: x)(1.0, 2.0),
        "too few": lambda: jit(lambda x, y: x)(1.0),
    }


@pytest.mark.parametrize("name", list(jit_cases(jax)))
def test_arguments_of_jit(name: str) -> None:
    outcomes = []
    for lib in LIBRARIES:
        try:
            outcomes.append(float(jit_cases(lib)[name]()))
        except (TypeError, ValueError) as error:
            outcomes.append(TypeError if isinstance(error, TypeError) else ValueError)
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("case", ["unusable", "used", "unused argument", "by name", "same twice"])
def test_donation(case: str) -> None:
    outcomes = []
    for lib, xp in ((anima, anima.numpy), (jax, jax.numpy)):
        x, y = (xp.asarray(np.ones(3, np.float32)) + 1 for _ in range(2))
        f = {
            "unusable": lib.jit(lambda a, b: a.sum(), donate_argnums=0),
            "used": lib.jit(lambda a, b: a + b, donate_argnums=0),
            "unused argument": lib.jit(lambda a, b: b + 1, donate_argnums=0),
            "by name": lib.jit(lambda a, b: a * b, donate_argnames="b"),
            "same twice": lib.jit(lambda a, b: (a + b, a * b), donate_argnums=(0, 1)),
        }[case]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lib.block_until_ready(f(x, y))
        said = [w.category.__name__ for w in caught if "donated buffers were not usable" in str(w.message)]
        outcomes.append((x.is_deleted(), y.is_deleted(), said))
    assert outcomes[0] == outcomes[1]


def struct_cases(lib: Any) -> dict[str, Any]:
    make = lib.ShapeDtypeStruct
    s = make((2, 3), np.float32)
    return {
        "fields": lambda: (s.shape, str(s.dtype), s.ndim, s.size, s.weak_type, s.sharding, len(s)),
        "repr": lambda: repr(s),
        "weak": lambda: repr(make((), np.float32, weak_type=True)),
        "update": lambda: repr(s.update(shape=(4,), weak_type=True)),
        "equal": lambda: (s == make([2, 3], "float32"), s == 3, s != s.update(weak_type=True)),
        "like": lambda: repr(make.like(np.ones(2, np.float32))),
        "no dtype": lambda: make((2,), None),
        "bad sharding": lambda: make((2,), np.float32, sharding=3),
        "frozen": lambda: setattr(s, "shape", (1,)),
        "eval": lambda: repr(
            lib.eval_shape(lambda x, y: {"a": x @ y, "b": 1.0}, s, np.ones((3, 4), np.float32))
        ),
        "eval number": lambda: repr(lib.eval_shape(lambda x: x, 3)),
        "eval text": lambda: lib.eval_shape(lambda x: x, "a"),
        "eval None": lambda: lib.eval_shape(lambda x: x, None),
        "static": lambda: len(
            lib.make_jaxpr(lambda x, n: x * len(n), static_argnums=-1)(2.0, "abc").in_avals
        ),
        "static range": lambda: lib.make_jaxpr(lambda x: x, static_argnums=4)(2.0),
        "shape": lambda: repr(lib.make_jaxpr(lambda x: {"a": x}, return_shape=True)(2.0)[1]),
    }


@pytest.mark.parametrize("name", list(struct_cases(jax)))
def test_structs_and_shapes(name: str) -> None:
    outcomes = []
    for lib in LIBRARIES:
        try:
            outcomes.append(struct_cases(lib)[name]())
        except (TypeError, ValueError, RuntimeError) as error:
            outcomes.append(
                next(c for c in type(error).__mro__ if c in (TypeError, ValueError, RuntimeError))
            )
    assert outcomes[0] == outcomes[1]


def test_named_scopes_are_in_the_same_places() -> None:
    def f(lib: Any, xp: Any) -> Any:
        def fun(x: Any) -> Any:
            with lib.named_scope("layer"):
                x = xp.sin(x)
                with lib.named_scope("inner"):
                    x = lib.named_call(xp.cos, name="call")(x)
            return xp.tan(x)

        return fun

    stacks = [
        {e.primitive.name: str(e.source_info.name_stack) for e in lib.make_jaxpr(f(lib, xp))(1.0).eqns}
        for lib, xp in ((anima, anima.numpy), (jax, jax.numpy))
    ]
    assert stacks[0] == stacks[1] == {"sin": "layer", "cos": "layer/inner/call", "tan": ""}
