"""Extending the libraries: the same user code run with both.

Invariant: a program here is given a namespace of one library and uses only what both have; where JAX wants MLIR's bindings,
the namespace has them. Names of JAX's modules that are not here are in `ABSENT`, with the reason.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy
import numpy as np
import pytest

import anima
import anima.numpy

pytestmark = pytest.mark.peers

MODULES = (
    "core", "errors", "extend.backend", "extend.core", "extend.linear_util", "extend.source_info_util", "flatten_util",
    "interpreters.ad", "interpreters.batching", "interpreters.mlir", "interpreters.partial_eval", "interpreters.xla", "tree",
    "tree_util", "typing",
)  # fmt: skip
NO_BINDINGS = "there are no MLIR bindings: programs are text"
OWN_SHARDING = "how a program is partitioned is said when it is lowered"
OWN_PLUGINS = "platforms are plugins, found by setting or entry point"
OWN_PARTIAL = "the rules of partial evaluation are the attribute `partial` of a primitive"
ABSENT: dict[str, str] = {
    "extend.backend.get_compile_options": "compile options are `jit(compiler_options=)`",
    "extend.backend.register_backend_cache": OWN_PLUGINS,
    "extend.backend.register_backend_factory": OWN_PLUGINS,
    "interpreters.batching.register_vmappable": "vmap maps arrays only; other containers are pytrees",
    "interpreters.batching.unregister_vmappable": "vmap maps arrays only; other containers are pytrees",
    "interpreters.mlir.AxisContext": OWN_SHARDING,
    "interpreters.mlir.ConstantHandler": NO_BINDINGS,
    "interpreters.mlir.DEVICE_TO_DEVICE_TYPE": "channels of a host protocol that plugins do not speak",
    "interpreters.mlir.LoweringParameters": OWN_SHARDING,
    "interpreters.mlir.RECV_FROM_HOST_TYPE": "channels of a host protocol that plugins do not speak",
    "interpreters.mlir.SEND_TO_HOST_TYPE": "channels of a host protocol that plugins do not speak",
    "interpreters.mlir.SPMDAxisContext": OWN_SHARDING,
    "interpreters.mlir.ShapePolyLoweringState": NO_BINDINGS,
    "interpreters.mlir.ShardingContext": OWN_SHARDING,
    "interpreters.mlir.Token": "order is kept by a value, not by tokens",
    "interpreters.mlir.TokenSet": "order is kept by a value, not by tokens",
    "interpreters.mlir.ir_tree_registry": NO_BINDINGS,
    "interpreters.mlir.ir_type_handlers": NO_BINDINGS,
    "interpreters.mlir.lower_jaxpr_to_fun": "core_call_lowering makes functions",
    "interpreters.mlir.make_ir_context": NO_BINDINGS,
    "interpreters.mlir.merge_mlir_modules": NO_BINDINGS,
    "interpreters.mlir.module_to_bytecode": NO_BINDINGS,
    "interpreters.mlir.register_constant_handler": NO_BINDINGS,
    "interpreters.partial_eval.custom_partial_eval_rules": OWN_PARTIAL,
    "interpreters.partial_eval.partial_eval_jaxpr_custom_rules": OWN_PARTIAL,
    "interpreters.xla.canonicalize_dtype_handlers": "values are admitted by their `__jax_array__`",
}


@pytest.mark.parametrize("module", MODULES)
def test_names(module: str) -> None:
    theirs, ours = importlib.import_module(f"jax.{module}"), importlib.import_module(f"anima.{module}")
    names = [
        n for n in dir(theirs)
        if n[0] != "_" and not inspect.ismodule(getattr(theirs, n)) and type(getattr(theirs, n)).__name__ != "_Feature"
    ]  # fmt: skip
    missing = {f"{module}.{n}" for n in names if not hasattr(ours, n)}
    assert missing == {n for n in ABSENT if n.rpartition(".")[0] == module}


def namespace(name: str) -> SimpleNamespace:
    lib = {"jax": jax, "anima": anima}[name]
    get = lambda module: importlib.import_module(f"{name}.{module}")
    mlir = get("interpreters.mlir")
    return SimpleNamespace(
        lib=lib, np=lib.numpy, lax=lib.lax, core=get("core"), extend=get("extend.core"), ad=get("interpreters.ad"), mlir=mlir,
        batching=get("interpreters.batching"), xla=get("interpreters.xla"), pe=get("interpreters.partial_eval"),
        lu=get("extend.linear_util"), api_util=get("api_util"), source=get("extend.source_info_util"),
        hlo=mlir.hlo if name == "anima" else importlib.import_module("jaxlib.mlir.dialects.stablehlo"),
    )  # fmt: skip


OURS, THEIRS = namespace("anima"), namespace("jax")
Program = Callable[[SimpleNamespace], Any]


def multiply_add(ns: SimpleNamespace) -> Any:
    """The example of "How JAX primitives work"."""
    p = ns.extend.Primitive("multiply_add")
    p.def_impl(lambda x, y, z: np.add(np.multiply(x, y), z))
    p.def_abstract_eval(lambda x, y, z: ns.core.ShapedArray(x.shape, x.dtype))
    ns.mlir.register_lowering(
        p, lambda ctx, x, y, z: [ns.hlo.AddOp(ns.hlo.MulOp(x, y).result, z).result], platform="cpu"
    )
    zeros = ns.np.zeros_like

    def jvp(primals: Any, tangents: Any) -> Any:
        x, y, z = primals
        xt, yt, zt = [zeros(x) if type(t) is ns.ad.Zero else t for t in tangents]
        return p.bind(x, y, z), p.bind(xt, y, p.bind(x, yt, zt))

    def transpose(ct: Any, x: Any, y: Any, z: Any) -> Any:
        if not ns.ad.is_undefined_primal(x):
            return None, p.bind(x, ct, zeros(x)) if ns.ad.is_undefined_primal(y) else None, ct
        return p.bind(ct, y, zeros(y)), None, ct

    def batch(args: Any, dims: Any) -> Any:
        size = next(a.shape[d] for a, d in zip(args, dims) if d is not None)
        return p.bind(*[ns.batching.bdim_at_front(a, d, size) for a, d in zip(args, dims)]), 0

    ns.ad.primitive_jvps[p] = jvp
    ns.ad.primitive_transposes[p] = transpose
    ns.batching.primitive_batchers[p] = batch
    return p


def square_add(ns: SimpleNamespace) -> Any:
    p = multiply_add(ns)
    return lambda x, y: p.bind(x, x, y)


X, Y = np.array([2.0, 3.0], np.float32), np.array([10.0, 20.0], np.float32)


def rebuilt(ns: SimpleNamespace) -> Any:
    """A program changed by hand and run again."""
    closed = ns.lib.make_jaxpr(lambda x, y: ns.np.sin(x) * y + 1.0)(1.0, 2.0)
    eqns = [e.replace(primitive=ns.lax.cos_p) if e.primitive is ns.lax.sin_p else e for e in closed.eqns]
    jaxpr = closed.jaxpr.replace(eqns=eqns)
    ns.extend.check_jaxpr(jaxpr)
    return ns.core.eval_jaxpr(jaxpr, closed.consts, 0.0, 5.0)


def interpreted(ns: SimpleNamespace) -> Any:
    closed = ns.lib.make_jaxpr(lambda x: ns.np.exp(ns.np.tanh(x)) + ns.np.arange(3.0))(np.ones(3, np.float32))
    env = dict(zip(closed.jaxpr.constvars, closed.consts)) | dict(
        zip(closed.jaxpr.invars, [2 * np.ones(3, np.float32)])
    )
    read = lambda a: a.val if isinstance(a, ns.extend.Literal) else env[a]
    for eqn in closed.eqns:
        outs = eqn.primitive.bind(*map(read, eqn.invars), **eqn.primitive.get_bind_params(eqn.params))
        env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results else [outs]))
    return [read(a) for a in closed.jaxpr.outvars]


def helpers(ns: SimpleNamespace) -> Any:
    mul = ns.extend.Primitive("mul2")
    mul.def_impl(lambda x, y: x * y)
    mul.def_abstract_eval(lambda x, y: x)
    ns.ad.defbilinear(mul, lambda ct, x, y: ct * y, lambda ct, x, y: ct * x)
    ns.batching.defvectorized(mul)
    total = ns.extend.Primitive("total")
    total.def_impl(lambda x, *, axes: x.sum(axes))
    ns.batching.defreducer(total)
    summed = ns.extend.Primitive("summed")
    summed.def_impl(lambda x, y: x + y)
    summed.def_abstract_eval(lambda x, y: x)
    ns.ad.deflinear(summed, lambda ct: [ct, 2 * ct])
    cubed = ns.extend.Primitive("cubed")
    cubed.def_impl(lambda x: x**3)
    cubed.def_abstract_eval(lambda x: x)
    ns.ad.defjvp(cubed, lambda t, x: 3 * x**2 * t)
    expo = ns.extend.Primitive("expo")
    expo.def_impl(lambda x: ns.np.exp(x))
    expo.def_abstract_eval(lambda x: x)
    ns.ad.defjvp2(expo, lambda t, ans, x: t * ans)
    grad, vmap = ns.lib.grad, ns.lib.vmap
    x = ns.np.arange(12.0).reshape(3, 4)
    return [
        grad(mul.bind, (0, 1))(2.0, 3.0), vmap(mul.bind)(x, x), vmap(lambda r: total.bind(r, axes=(0,)), 1)(x),
        grad(summed.bind, (0, 1))(1.0, 2.0), grad(cubed.bind)(2.0), grad(grad(expo.bind))(0.5),
    ]  # fmt: skip


def transformed(ns: SimpleNamespace) -> Any:
    lu = ns.lu
    wrap = lambda f: lu.wrap_init(f, debug_info=ns.api_util.debug_info("test", f, (1.0, 1.0), {}))

    @lu.transformation
    def doubled(*args: Any) -> Any:
        outs = yield args, {}
        yield [2 * o for o in outs]

    @lu.transformation_with_aux
    def counted(*args: Any) -> Any:
        outs = yield args, {}
        yield outs, len(outs)

    @lu.transformation2
    def shifted(f: Any, by: Any, *args: Any) -> Any:
        return [o + by for o in f(*args)]

    def pair(x: Any, y: Any) -> Any:
        return [x + y, x * y]

    fun, count = counted(doubled(wrap(pair)))
    first = fun.call_wrapped(2.0, 3.0), count()
    in_tree = ns.lib.tree.structure(((1.0,), {"y": 2.0}))
    flat, out_tree = ns.api_util.flatten_fun(wrap(lambda x, y: {"b": x, "a": (y,)}), in_tree)
    second = flat.call_wrapped(1.0, 2.0), out_tree().num_leaves
    calls: list[Any] = []
    run = lu.cache(lambda f, x: (calls.append(x), f.call_wrapped(x, x))[1])
    third = [run(shifted(wrap(pair), by), 3.0) for by in (1, 1, 2)], calls
    jaxpr, out_avals, consts = ns.pe.trace_to_jaxpr_dynamic(
        doubled(wrap(pair)), [ns.core.ShapedArray((), np.float32)] * 2
    )
    return (
        first,
        second,
        third,
        [str(a) for a in out_avals],
        len(consts),
        ns.core.eval_jaxpr(jaxpr, consts, 1.0, 2.0),
    )


def partly(ns: SimpleNamespace) -> Any:
    pe = ns.pe
    fun = lambda x, y: [ns.lax.sin(x), ns.lax.cos(y) * x, x]
    wrapped = ns.lu.wrap_init(fun, debug_info=ns.api_util.debug_info("test", fun, (1.0, 1.0), {}))
    unknown = pe.PartialVal.unknown(ns.core.ShapedArray((), np.float32))
    jaxpr, outs, consts = pe.trace_to_jaxpr_nounits(wrapped, [pe.PartialVal.known(ns.np.float32(2)), unknown])
    later = ns.core.eval_jaxpr(jaxpr, consts, ns.np.float32(0.5))
    closed = ns.lib.make_jaxpr(lambda x, y: (ns.lax.sin(x), ns.lax.cos(y)))(1.0, 2.0)
    smaller, used = pe.dce_jaxpr(closed.jaxpr, [True, False])
    return (
        [o.is_known() for o in outs],
        [o.get_known() for o in outs],
        later,
        used,
        str(smaller),
        len(jaxpr.invars),
    )


def asked(ns: SimpleNamespace) -> Any:
    e = ns.extend
    seen: list[Any] = []
    look = lambda x: (seen.append((e.unsafe_am_i_under_a_jit_DO_NOT_USE(), e.unsafe_am_i_under_a_vmap_DO_NOT_USE(),
                                   list(e.unsafe_get_axis_names_DO_NOT_USE()), e.nonempty_axis_env_DO_NOT_USE())), x)[1]  # fmt: skip
    look(1.0)
    ns.lib.jit(look)(1.0)
    ns.lib.vmap(look, axis_name="i")(np.ones(1))
    state = e.get_opaque_trace_state()
    seen.append(state == e.get_opaque_trace_state())
    ns.lib.jit(lambda x: (seen.append(state == e.get_opaque_trace_state()), x)[1])(1.0)
    aval = ns.core.ShapedArray((3, 2), np.float32)
    seen += [
        str(e.mapped_aval(3, 0, aval)),
        str(e.unmapped_aval(4, 1, aval)),
        str(e.mapped_aval(3, None, aval)),
    ]
    seen += [e.concrete_or_error(int, 3.5), str(e.primal_dtype_to_tangent_dtype(np.dtype("int32")))]
    seen += [e.valid_jaxtype(v) for v in (1, "a", None, [1], np.ones(1))]
    seen += [
        ns.core.max_dim(3, 4),
        ns.core.min_dim(3, 4),
        str(ns.lib.typeof(1.0)),
        repr(ns.lib.typeof(np.ones((2, 3), np.float32))),
    ]
    seen += [
        aval.str_short(short_dtypes=True),
        aval.size,
        aval.ndim,
        str(aval.to_tangent_aval()),
        str(aval.update(shape=(1,))),
    ]
    return seen


def looked_at(ns: SimpleNamespace) -> Any:
    def f(x: Any) -> Any:
        with ns.lib.named_scope("outer"), ns.lib.named_scope("inner"):
            return ns.np.sin(x) * 2.0

    closed = ns.lib.make_jaxpr(f)(1.0)
    eqn = closed.eqns[0]
    return (
        str(closed).replace(";", "").split(), closed.pretty_print(print_shapes=False).replace(";", "").split(), [str(e.primitive) for e in closed.eqns], str(eqn.source_info.name_stack),
        ns.source.summarize(eqn.source_info), len(eqn.effects), [str(v.aval) for v in eqn.outvars],
        [type(a).__name__ for a in closed.eqns[1].invars], [str(a) for a in closed.in_avals], closed.consts, closed.literals,
        [str(j).replace(";", "").split() for j in ns.extend.subjaxprs(ns.lib.make_jaxpr(ns.lib.jit(f))(1.0).jaxpr)],
        closed.pretty_print(source_info=True).splitlines()[1].split("#")[1],
    )  # fmt: skip


PROGRAMS: dict[str, Program] = {
    "eager": lambda ns: square_add(ns)(2.0, 10.0),
    "jit": lambda ns: ns.lib.jit(square_add(ns))(2.0, 10.0),
    "jvp": lambda ns: ns.lib.jvp(square_add(ns), (2.0, 10.0), (1.0, 1.0)),
    "jvp of jit": lambda ns: ns.lib.jvp(ns.lib.jit(square_add(ns)), (2.0, 10.0), (1.0, 1.0)),
    "grad": lambda ns: ns.lib.grad(square_add(ns), (0, 1))(2.0, 10.0),
    "jit of grad": lambda ns: ns.lib.jit(ns.lib.grad(square_add(ns)))(2.0, 10.0),
    "hessian": lambda ns: ns.lib.hessian(square_add(ns))(2.0, 10.0),
    "vmap": lambda ns: ns.lib.vmap(square_add(ns))(X, Y),
    "jit of vmap": lambda ns: ns.lib.jit(ns.lib.vmap(square_add(ns)))(X, Y),
    "vmap of grad": lambda ns: ns.lib.vmap(ns.lib.grad(square_add(ns)))(X, Y),
    "vmap of vmap": lambda ns: ns.lib.vmap(ns.lib.vmap(square_add(ns), (None, 0)), (0, None))(X, Y),
    "scan": lambda ns: ns.lib.lax.scan(lambda c, x: (square_add(ns)(c, x), c), np.float32(1), Y),
    "checkpoint": lambda ns: ns.lib.grad(ns.lib.checkpoint(square_add(ns)))(2.0, 10.0),
    "printed": lambda ns: str(ns.lib.make_jaxpr(square_add(ns))(2.0, 10.0)),
    "rebuilt": rebuilt,
    "interpreted": interpreted,
    "helpers": helpers,
    "linear_util": transformed,
    "partial_eval": partly,
    "asked": asked,
    "looked at": looked_at,
}


def run(program: Program, ns: SimpleNamespace) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program(ns)


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(ours, (str, bool, type(None))):
        assert ours == theirs
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            assert_same(a, b)
    else:
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6)


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name: str) -> None:
    assert_same(run(PROGRAMS[name], OURS), run(PROGRAMS[name], THEIRS))


MISSING: dict[str, Program] = {
    "nothing": lambda ns: ns.extend.Primitive("q").bind(1.0),
    "abstract evaluation": lambda ns: ns.lib.jit(ns.extend.Primitive("q").bind)(1.0),
    "derivative": lambda ns: ns.lib.grad(ns.extend.Primitive("q").bind)(1.0),
    "batching": lambda ns: ns.lib.vmap(ns.extend.Primitive("q").bind)(np.ones(2)),
    "lowering": lambda ns: ns.lib.jit(known(ns).bind)(1.0),
    "transpose": lambda ns: ns.lib.grad(differentiable(ns).bind)(1.0),
}


def known(ns: SimpleNamespace) -> Any:
    p = ns.extend.Primitive("q")
    p.def_impl(lambda x: x)
    p.def_abstract_eval(lambda x: x)
    return p


def differentiable(ns: SimpleNamespace) -> Any:
    p = known(ns)
    ns.ad.primitive_jvps[p] = lambda primals, tangents: (p.bind(*primals), p.bind(*tangents))
    return p


@pytest.mark.parametrize("name", MISSING)
def test_missing_rules(name: str) -> None:
    for ns in (OURS, THEIRS):
        with pytest.raises(NotImplementedError, match="'q'"):
            run(MISSING[name], ns)


@pytest.mark.parametrize("name", [n for n in dir(jax.errors) if isinstance(getattr(jax.errors, n), type)])
def test_errors_are_caught_as_the_same_builtin_ones(name: str) -> None:
    builtins = [
        [c.__name__ for c in getattr(lib.errors, name).__mro__ if c.__module__ == "builtins"]
        for lib in (anima, jax)
    ]
    assert builtins[0] == builtins[1]


def test_constant_tangents_are_zero_in_both() -> None:
    def program(ns: SimpleNamespace) -> Any:
        p = known(ns)
        ns.ad.primitive_jvps[p] = lambda primals, tangents: (p.bind(*primals), ns.np.zeros_like(primals[0]))
        return ns.lib.grad(p.bind)(1.0), ns.lib.linearize(p.bind, 1.0)[1](2.0)

    assert_same(run(program, OURS), run(program, THEIRS))


def test_primitives_have_the_same_names() -> None:
    theirs = {getattr(jax.lax, n).name for n in dir(jax.lax) if n.endswith("_p")}
    ours = {getattr(anima.lax, n).name for n in dir(anima.lax) if n.endswith("_p")}
    assert len(ours & theirs) > 100
    for n in dir(anima.lax):
        if n.endswith("_p") and hasattr(jax.lax, n):
            assert getattr(anima.lax, n).name == getattr(jax.lax, n).name, n
