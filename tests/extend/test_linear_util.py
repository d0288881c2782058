"""Transformations of functions: order, stores, equality, caching."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from anima import api_util, tree
from anima.extend import linear_util as lu


@lu.transformation
def scaled(by: int, *args: Any, **kwargs: Any) -> Any:
    results = yield tuple(10 * a for a in args), kwargs
    yield [by * r for r in results]


@lu.transformation_with_aux
def counted(*args: Any, **kwargs: Any) -> Any:
    results = yield args, kwargs
    yield results, len(results)


def pair(x: int, n: int = 1) -> list[int]:
    return [x, x + n]


def test_transformations_see_arguments_and_results() -> None:
    assert scaled(lu.wrap_init(pair), 3).call_wrapped(1) == [30, 33]
    assert scaled(lu.wrap_init(pair), 3).call_wrapped(1, n=5) == [30, 45]
    assert scaled(lu.wrap_init(pair, {"n": 5}), 3).call_wrapped(1) == [30, 45]
    # The one applied last sees the arguments first.
    assert scaled(scaled(lu.wrap_init(pair), 1), 2).call_wrapped(1) == [200, 202]


def test_stores() -> None:
    fun, count = counted(lu.wrap_init(pair))
    with pytest.raises(lu.StoreException, match="empty"):
        count()
    assert fun.call_wrapped(1) == [1, 2] and count() == 2
    with pytest.raises(lu.StoreException, match="occupied"):
        fun.call_wrapped(1)

    @lu.transformation_with_aux2
    def noted(f: Any, store: Any, *args: Any) -> Any:
        store.store(args)
        return f(*args)

    fun, note = noted(lu.wrap_init(pair), use_eq_store=True)
    fun.call_wrapped(1)
    fun.call_wrapped(1)
    assert note() == (1,)
    with pytest.raises(lu.StoreException, match=r"holds \(1,\), and a second call gave \(2,\)"):
        fun.call_wrapped(2)


def test_merge_linear_aux() -> None:
    (a, aux_a), (b, aux_b) = counted(lu.wrap_init(pair)), counted(lu.wrap_init(pair))
    with pytest.raises(lu.StoreException, match="none of the functions"):
        lu.merge_linear_aux(aux_a, aux_b)
    b.call_wrapped(1)
    assert lu.merge_linear_aux(aux_a, aux_b) == (False, 2)
    a.call_wrapped(1)
    with pytest.raises(lu.StoreException, match="both functions"):
        lu.merge_linear_aux(aux_a, aux_b)
    assert lu.merge_linear_aux(aux_a, counted(lu.wrap_init(pair))[1]) == (True, 2)


def test_equality_is_that_of_function_and_transformations() -> None:
    f = lu.wrap_init(pair)
    assert f == lu.wrap_init(pair) and hash(f) == hash(lu.wrap_init(pair))
    assert scaled(f, 2) == scaled(lu.wrap_init(pair), 2) != scaled(f, 3)
    assert f != scaled(f, 2) and lu.wrap_init(pair, {"n": 1}) != f
    assert f.debug_info.func_name == "pair" and f.debug_info.func_filename == __file__
    assert "Core: pair" in repr(scaled(f, 2)) and "scaled" in repr(scaled(f, 2))


def test_the_cache_calls_once_and_fills_stores() -> None:
    calls: list[Any] = []

    @lu.cache
    def run(fun: lu.WrappedFun, x: int) -> Any:
        calls.append(x)
        return fun.call_wrapped(x)

    for _ in range(2):
        fun, count = counted(lu.wrap_init(pair))
        assert run(fun, 1) == [1, 2] and count() == 2
    assert calls == [1]
    run(counted(lu.wrap_init(pair))[0], 2)
    assert calls == [1, 2]
    run.evict_function(pair)
    run(counted(lu.wrap_init(pair))[0], 1)
    assert calls == [1, 2, 1]
    run.cache_clear()
    run(counted(lu.wrap_init(pair))[0], 1)
    assert calls == [1, 2, 1, 1]


def test_the_cache_keeps_no_function_alive() -> None:
    @lu.cache
    def run(fun: lu.WrappedFun) -> int:
        return int(fun.call_wrapped())

    def local() -> int:
        return 3

    alive = weakref.ref(local)
    assert run(lu.wrap_init(local)) == 3
    del local
    gc.collect()
    assert alive() is None


def test_flattening() -> None:
    fun = lambda x, *, y: {"b": x[0], "a": y}
    flat, out_tree = api_util.flatten_fun(lu.wrap_init(fun), tree.structure((((0, 0),), {"y": 0})))
    assert flat.call_wrapped(1, 2, 3) == [3, 1]
    assert out_tree() == tree.structure({"a": 0, "b": 0})
    flat, out_tree = api_util.flatten_fun_nokwargs(lu.wrap_init(pair), tree.structure((0, 0)))
    assert flat.call_wrapped(1, 2) == [1, 3] and out_tree() == tree.structure([0, 0])


def test_names() -> None:
    def f(x: Any, *rest: Any, scale: Any = 1) -> None: ...

    info = api_util.debug_info("mine", f, ({"w": [1, 2]}, 3, (4,)), {"scale": 5})
    assert info.arg_names == ("x['w'][0]", "x['w'][1]", "rest[0]", "rest[1][0]", "scale")
    assert info.func_name.endswith("f") and info.func_filename == __file__ and info.func_lineno
    assert info.filter_arg_names([True, False, False, False, True]) == ("x['w'][0]", "scale")
    assert info.safe_arg_names(2) == ("", "") and info.safe_arg_names(5) == info.arg_names
    assert info.replace_func_name("g").func_filename == info.func_filename
    assert info.with_unknown_names().arg_names is None
    assert api_util.debug_info("mine", f, (1, 2), {}, static_argnums=(0,)).arg_names == ("rest[0]",)


def test_argnums_partial() -> None:
    fun, dynamic = api_util.argnums_partial(lu.wrap_init(pair), 0, (1, 5))
    assert dynamic == (1,) and fun.call_wrapped(7) == [7, 12]
    assert fun == api_util.argnums_partial(lu.wrap_init(pair), 0, (2, 5))[0]
    assert fun != api_util.argnums_partial(lu.wrap_init(pair), 0, (1, 6))[0]
    with pytest.raises(ValueError, match="not hashable"):
        api_util.argnums_partial(lu.wrap_init(pair), 0, (1, [5]))
    fun, _ = api_util.argnums_partial(lu.wrap_init(lambda a, b: a + b), -1, ([5], [6]), False)
    assert fun.call_wrapped([7]) == [5, 7]


def test_flatten_axes() -> None:
    assert api_util.flatten_axes(
        "axes", tree.structure((({"a": 1, "b": 2},), {"k": 3})), ({"a": 1, "b": None},), kws=True
    ) == [1, None, 0]
    with pytest.raises(ValueError, match=r"at axes\['c'\]|keys"):
        api_util.flatten_axes("axes", tree.structure({"a": 1}), {"c": 0})
