"""`named_scope`, `named_call` and `ensure_compile_time_eval`."""

from __future__ import annotations

from typing import Any

import pytest

import anima
import anima.numpy as np
from anima import errors, grad, jit, lax, vmap


def scopes(f: Any, *args: Any) -> dict[str, str]:
    """The scopes around each operation of a program, by its name."""
    return {e.primitive.name: str(e.source_info.name_stack) for e in anima.make_jaxpr(f)(*args).eqns}


def test_scopes_nest_and_end() -> None:
    def f(x: Any) -> Any:
        x = np.sin(x)
        with anima.named_scope("outer"):
            x = np.cos(x)
            with anima.named_scope("inner"):
                x = np.tan(x)
            x = np.exp(x)
        return np.log(x)

    assert scopes(f, 1.0) == {"sin": "", "cos": "outer", "tan": "outer/inner", "exp": "outer", "log": ""}


def test_scopes_end_with_an_exception() -> None:
    def f(x: Any) -> Any:
        try:
            with anima.named_scope("failing"):
                raise ValueError
        except ValueError:
            pass
        return np.sin(x)

    assert scopes(f, 1.0) == {"sin": ""}


def test_decorators_and_named_call() -> None:
    @anima.named_scope("layer")
    def layer(x: Any) -> Any:
        """Documented."""
        return np.sin(x)

    assert scopes(layer, 1.0) == {"sin": "layer"}
    assert scopes(lambda x: layer(layer(x)), 1.0) == {"sin": "layer"}

    def block(x: Any, *, k: Any) -> Any:
        return np.cos(x) * k

    named = anima.named_call(block)
    assert named.__name__ == "block"
    assert scopes(lambda x: named(x, k=2.0), 1.0)["cos"] == "block"
    assert scopes(lambda x: anima.named_call(block, name="b")(x, k=2.0), 1.0)["cos"] == "b"
    assert float(named(0.0, k=3.0)) == 3


def test_inner_programs_have_their_own_scopes() -> None:
    def f(x: Any) -> Any:
        with anima.named_scope("outer"):
            return jit(lambda y: np.sin(y))(x)

    [eqn] = anima.make_jaxpr(f)(1.0).eqns
    assert str(eqn.source_info.name_stack) == "outer"
    [inner] = eqn.params["jaxpr"].eqns
    assert str(inner.source_info.name_stack) == ""
    assert "jit(f)/outer/jit" in jit(f).lower(1.0).as_text(debug_info=True)


@pytest.mark.parametrize(
    "derive", [grad, lambda f: lambda x: anima.jvp(f, (x,), (x,)), lambda f: lambda x: vmap(f)(x[None])[0]]
)
def test_derived_operations_keep_the_scope(derive: Any) -> None:
    def f(x: Any) -> Any:
        with anima.named_scope("s"):
            return np.sin(x)

    assert {scope for scope in scopes(derive(f), np.float32(1)).values() if scope} == {"s"}


def test_scopes_do_not_change_the_program() -> None:
    def f(x: Any) -> Any:
        with anima.named_scope("name"):
            return x * 2

    plain = jit(lambda x: x * 2).lower(1.0).as_text().replace("_lambda", "f")
    assert jit(f).lower(1.0).as_text().replace("jit_f", "jit_f") == plain
    with anima.named_scope("eager"):
        assert float(f(2.0)) == 4


@pytest.mark.parametrize(("name", "error"), [(3, TypeError), (None, TypeError), ("", ValueError)])
def test_bad_names(name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="name"), anima.named_scope(name):
        pass


def test_bad_functions() -> None:
    with pytest.raises(TypeError, match="named_call expects a function"):
        anima.named_call(3)
    with pytest.raises(TypeError, match="name must be a string"):
        anima.named_call(np.sin, name=3)


# --- ensure_compile_time_eval -----------------------------------------------------------------


def test_known_values_are_computed_now() -> None:
    concrete: list[Any] = []

    @jit
    def f(x: Any) -> Any:
        with anima.ensure_compile_time_eval():
            y = np.arange(4.0) + 1
            z = [y, jit(lambda v: v * 2)(y), vmap(np.sin)(y), grad(lambda v: np.sin(v).sum())(y)]
            z += [lax.cond(y.sum() > 0, lambda: y, lambda: -y), lax.fori_loop(0, 3, lambda i, c: c + i, 0)]
            z += [lax.scan(lambda c, v: (c + v, c), 0.0, y)[0]]
            concrete.extend(z)
            if y.sum() > 3:
                x = x + float(y[0])
        return x * len(y)

    assert float(f(1.0)) == 8
    assert all(type(v) is type(np.ones(3)) for v in concrete)


def test_traced_values_stay_traced() -> None:
    @jit
    def f(x: Any) -> Any:
        with anima.ensure_compile_time_eval():
            y = x + np.ones(3)
            z = jit(lambda v: v * 2)(y)
            assert anima.make_jaxpr(lambda: z)().consts[0] is z
            with pytest.raises(errors.TracerBoolConversionError):
                bool(x > 0)
            with pytest.raises(errors.TracerArrayConversionError):
                __import__("numpy").asarray(y)
        return z + np.ones(3)

    assert f(1.0).tolist() == [5, 5, 5]


def test_inside_other_transformations() -> None:
    def f(x: Any) -> Any:
        with anima.ensure_compile_time_eval():
            n = int(np.asarray([1, 2]).sum())
            y = x**n
        return y

    assert float(grad(f)(2.0)) == 12 == float(jit(grad(f))(2.0)) == float(grad(jit(f))(2.0))
    assert jit(vmap(f))(np.arange(3.0)).tolist() == [0, 1, 8]
    assert float(f(2.0)) == 8
    with anima.ensure_compile_time_eval(), anima.ensure_compile_time_eval():
        assert float(jit(f)(2.0)) == 8


def test_effects_happen_now() -> None:
    seen: list[Any] = []

    @jit
    def f(x: Any) -> Any:
        with anima.ensure_compile_time_eval():
            anima.debug.callback(seen.append, 3)
            assert [int(v) for v in seen] == [3]
        return x

    f(1.0)
    f(2.0)
    assert len(seen) == 1


def test_the_block_ends_with_an_exception() -> None:
    @jit
    def f(x: Any) -> Any:
        try:
            with anima.ensure_compile_time_eval():
                raise ValueError
        except ValueError:
            pass
        return np.ones(()) + x

    assert float(f(1.0)) == 2
