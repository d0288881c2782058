"""Checks of the rows of `docs/differences.md` about primitives and rules that users make."""

from __future__ import annotations

import importlib
from typing import Any

import jax
import pytest

import anima


def lowering_rules(run_python: Any, tmp_path: Any) -> None:
    ours, theirs = (
        importlib.import_module("anima.interpreters.mlir"),
        importlib.import_module("jax.interpreters.mlir"),
    )
    p = anima.extend.core.Primitive("p")
    p.def_abstract_eval(lambda x: x)
    ours.register_lowering(p, lambda ctx, x: [ours.hlo.AddOp(x, x).result])
    assert anima.jit(p.bind)(2.0) == 4.0
    assert hasattr(theirs, "make_ir_context") and not hasattr(ours, "make_ir_context")
    assert str(ours.i32_attr(3)) == str(theirs.ir.IntegerAttr.parse("3 : i32", theirs.make_ir_context()))


def rule_tables(run_python: Any, tmp_path: Any) -> None:
    def tables(lib):
        return (importlib.import_module(f"{lib.__name__}.interpreters.{m}") for m in ("ad", "batching"))

    ad, batching = tables(jax)
    assert isinstance(ad.primitive_jvps, dict)
    with pytest.raises(TypeError):
        batching.primitive_batchers[jax.lax.sin_p]
    ad, batching = tables(anima)
    assert not isinstance(ad.primitive_jvps, dict) and anima.lax.sin_p in ad.primitive_jvps
    assert callable(batching.primitive_batchers[anima.lax.sin_p])


def partial_rules(run_python: Any, tmp_path: Any) -> None:
    theirs, ours = (importlib.import_module(f"{n}.interpreters.partial_eval") for n in ("jax", "anima"))
    scan = jax.lax.scan_p
    assert scan in theirs.partial_eval_jaxpr_custom_rules
    assert not hasattr(ours, "partial_eval_jaxpr_custom_rules")
    assert callable(anima.lax.scan_p.partial)


def lowered_primitives(run_python: Any, tmp_path: Any) -> None:
    def made(lib):
        p = importlib.import_module(f"{lib.__name__}.extend.core").Primitive("p")
        p.def_abstract_eval(lambda x: x)
        mlir = importlib.import_module(f"{lib.__name__}.interpreters.mlir")
        mlir.register_lowering(p, mlir.lower_fun(lambda x: x + x, multiple_results=False))
        return p

    with pytest.raises(NotImplementedError):
        made(jax).bind(2.0)
    assert made(anima).bind(2.0) == 4.0


def call_primitives(run_python: Any, tmp_path: Any) -> None:
    def called(lib, transform):
        lu = importlib.import_module(f"{lib.__name__}.extend.linear_util")
        api_util = importlib.import_module(f"{lib.__name__}.api_util")
        p = importlib.import_module(f"{lib.__name__}.extend.core").CallPrimitive("p")
        f = lambda x: [lib.numpy.sin(x)]
        wrapped = lu.wrap_init(f, debug_info=api_util.debug_info("p", f, (1.0,), {}))
        return transform(lambda x: p.bind(x, subfuns=(wrapped,))[0])(0.0)

    for name in ("grad", "jit"):
        with pytest.raises(NotImplementedError):
            called(jax, getattr(jax, name))
    assert called(anima, anima.grad) == 1.0 and called(anima, anima.jit) == 0.0


EXTENSION_CHECKS = {
    "lowering-rules": lowering_rules,
    "rule-tables": rule_tables,
    "partial-rules": partial_rules,
    "lowered-primitives": lowered_primitives,
    "call-primitives": call_primitives,
}
