"""`custom_linear_solve` and `custom_root`: derivatives are those of the solution, whatever finds it."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima import lax
from tests.lax.control.helpers import assert_trees_close, compilations, derivatives

A = onp.array([[2.0, 1.0, 0.3], [0.4, 3.0, 0.1], [0.2, 0.5, 4.0]], onp.float32)
B = onp.array([1.0, 2.0, -1.0], onp.float32)


def iterated(matvec: Any, b: Any) -> Any:
    """Richardson's iteration, until little changes: a loop without a reverse derivative."""

    def step(state: Any) -> Any:
        x, _, count = state
        change = anima.tree.map(lambda b, y: 0.2 * (b - y), b, matvec(x))
        size = sum(abs(c).sum() for c in anima.tree.leaves(change))
        return anima.tree.map(np.add, x, change), size, count + 1

    start = anima.tree.map(np.zeros_like, b), np.float32(1), 0
    return lax.while_loop(lambda state: (state[1] > 1e-8) & (state[2] < 200), step, start)[0]


def solved(a: Any, b: Any) -> Any:
    return lax.custom_linear_solve(lambda x: a @ x, b, iterated, iterated)


def unrolled(a: Any, b: Any) -> Any:
    return lax.fori_loop(0, 120, lambda i, x: x + 0.2 * (b - a @ x), np.zeros_like(b))


LOSS = lambda solver: lambda a, b: (solver(a, b) ** 3).sum()


def test_the_solution_is_that_of_the_equation() -> None:
    want = onp.linalg.solve(A, B)
    assert_trees_close(solved(A, B), want)
    assert_trees_close(anima.jit(solved)(A, B), want)


def test_derivatives_of_linear_solves_to_second_order() -> None:
    directions = (A * 0.1 + 0.05, B * 0.3)
    ours, theirs = derivatives(LOSS(solved), directions), derivatives(LOSS(unrolled), directions)
    for name in ours:
        want = anima.jit(theirs[name])(A, B)
        assert_trees_close(ours[name](A, B), want, 1e-4, name)


def test_gradients_of_linear_solves_by_the_formula() -> None:
    weights = onp.array([1.0, -2.0, 0.5], onp.float32)
    gradient = anima.grad(lambda a, b: (weights * solved(a, b)).sum(), (0, 1))(A, B)
    dual = onp.linalg.solve(A.T, weights)
    assert_trees_close(gradient, (-onp.outer(dual, onp.linalg.solve(A, B)), dual))
    assert_trees_close(anima.jacrev(solved, 1)(A, B), onp.linalg.inv(A))
    assert_trees_close(anima.jacfwd(solved, 1)(A, B), onp.linalg.inv(A))


@pytest.mark.parametrize("axes", [(None, 0), (0, None), (0, 0)])
def test_batches_of_linear_solves(axes: tuple[int | None, ...]) -> None:
    args = [x if d is None else onp.stack([x, x * 0.5 + 0.2, x * 0.9]) for x, d in zip((A, B), axes)]
    for fun in (LOSS(solved), anima.grad(LOSS(solved), (0, 1))):
        got = anima.vmap(fun, axes)(*args)
        for i in range(3):
            one = [x if d is None else x[i] for x, d in zip(args, axes)]
            assert_trees_close(anima.tree.map(lambda g, i=i: g[i], got), fun(*one), 1e-4)


def test_symmetric_maps_need_one_solver() -> None:
    symmetric = A + A.T
    solve = lambda a, b: lax.custom_linear_solve(
        lambda x: a @ x, b, lambda m, b: iterated(lambda x: m(x) / 2, b / 2), symmetric=True
    )
    assert_trees_close(anima.jacrev(solve, 1)(symmetric, B), onp.linalg.inv(symmetric))
    got = anima.grad(lambda a: solve(a, B).sum())(symmetric)
    dual, x = onp.linalg.solve(symmetric, onp.ones(3)), onp.linalg.solve(symmetric, B)
    assert_trees_close(got, -onp.outer(dual, x).astype(onp.float32))


def test_pytrees_and_auxiliary_data() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return iterated(matvec, b), {"used": np.asarray(7), "norm": b["y"] * 2}

    def fun(scale: Any, b: Any) -> Any:
        matvec = lambda x: {"x": scale * x["x"] + x["y"], "y": 2.0 * x["y"]}
        return lax.custom_linear_solve(matvec, b, solve, solve, has_aux=True)

    b = {"x": np.arange(1.0, 4.0), "y": np.asarray(3.0)}
    x, aux = fun(2.5, b)
    assert_trees_close(x, {"x": (onp.arange(1.0, 4.0) - 1.5) / 2.5, "y": onp.float32(1.5)})
    assert int(aux["used"]) == 7 and float(aux["norm"]) == 6.0
    gradient = anima.grad(lambda s, b: fun(s, b)[0]["x"].sum(), (0, 1))(2.5, b)
    assert_trees_close(gradient[0], -(onp.arange(1.0, 4.0) - 1.5).sum() / 2.5**2)
    assert_trees_close(gradient[1], {"x": onp.full(3, 0.4), "y": onp.float32(-0.6)})
    tangents = anima.jvp(fun, (2.5, b), (1.0, b))[1]
    assert float(tangents[1]["norm"]) == 0.0  # auxiliary data has no derivative
    rows = anima.vmap(fun, (0, None))(np.array([2.5, 4.0]), b)[0]["x"]
    assert_trees_close(rows[1], (onp.arange(1.0, 4.0) - 1.5) / 4.0)


def test_forward_mode_needs_no_transposed_solver() -> None:
    fun = lambda b: lax.custom_linear_solve(lambda x: A @ x, b, iterated)
    assert_trees_close(anima.jacfwd(fun)(B), onp.linalg.inv(A))
    with pytest.raises(TypeError, match=r"transpose_solve is required.*symmetric=True"):
        anima.grad(lambda b: fun(b).sum())(B)


def test_linear_solves_inside_loops() -> None:
    fun = lambda solver: lambda a, b: lax.scan(lambda c, _: (solver(a, c), None), b, None, length=3)[0].sum()
    want = anima.jit(anima.grad(fun(unrolled), (0, 1)))(A, B)
    assert_trees_close(anima.jit(anima.grad(fun(solved), (0, 1)))(A, B), want, 1e-4)


# --- custom_root ------------------------------------------------------------------------------


def newton(f: Any, x: Any) -> Any:
    """Until little changes: a loop without a reverse derivative."""

    def step(state: Any) -> Any:
        x, _, count = state
        value, slope = anima.jvp(f, (x,), (np.ones_like(x),))
        return x - value / slope, abs(value), count + 1

    start = x, np.ones_like(x), 0
    return lax.while_loop(lambda state: (state[1] > 1e-6) & (state[2] < 50), step, start)[0]


def cube_root(a: Any, guess: Any = 1.5) -> Any:
    return lax.custom_root(lambda x: x**3 - a, guess, newton, lambda g, y: y / g(np.ones_like(y)))


def test_roots_and_their_derivatives() -> None:
    value = lambda a: a ** (1 / 3)
    for transform in (
        lambda f: f,
        anima.jit,
        anima.grad,
        lambda f: anima.jit(anima.grad(f)),
        lambda f: anima.grad(anima.grad(f)),
        lambda f: lambda a: anima.jvp(anima.grad(f), (a,), (2.0,)),
        lambda f: lambda a: anima.grad(lambda a: anima.jvp(f, (a,), (2.0,))[1])(a),
    ):
        for a in (8.0, 0.5):
            assert_trees_close(transform(cube_root)(a), transform(value)(a), 1e-4)
    xs = np.array([1.0, 8.0, 27.0])
    assert_trees_close(anima.vmap(cube_root)(xs), value(xs), 1e-4)
    assert_trees_close(anima.vmap(anima.grad(cube_root))(xs), anima.vmap(anima.grad(value))(xs), 1e-4)
    assert_trees_close(anima.vmap(cube_root, (None, 0))(8.0, np.array([1.0, 3.0])), onp.full(2, 2.0), 1e-4)


def test_the_guess_and_the_solver_count_as_constant() -> None:
    assert float(anima.grad(cube_root, 1)(8.0, 1.5)) == 0.0
    through = lambda a: lax.custom_root(
        lambda x: x - 3.0, a, lambda f, x: x * 0 + a * 0 + 3.0, lambda g, y: y / g(1.0)
    )
    assert float(anima.grad(through)(2.0)) == 0.0


def system(solver: Any) -> Any:
    def fun(a: Any, b: Any) -> Any:
        f = lambda x: {"u": a @ x["u"] + 0.1 * np.sin(x["v"]) - b, "v": x["v"] - 0.3 * x["u"]}
        return solver(f, {"u": np.zeros(3), "v": np.zeros(3)})

    return lambda a, b: sum((leaf**2).sum() for leaf in anima.tree.leaves(fun(a, b)))


def relaxed(f: Any, x: Any) -> Any:
    return lax.fori_loop(0, 150, lambda i, x: anima.tree.map(lambda x, y: x - 0.2 * y, x, f(x)), x)


def test_systems_of_equations_to_second_order() -> None:
    def tangent_solve(g: Any, y: Any) -> Any:
        return relaxed(lambda x: anima.tree.map(np.subtract, g(x), y), anima.tree.map(np.zeros_like, y))

    root = system(lambda f, x: lax.custom_root(f, x, relaxed, tangent_solve))
    through = system(relaxed)
    directions = (A * 0.1 + 0.05, B * 0.3)
    ours, theirs = derivatives(root, directions), derivatives(through, directions)
    for name in ours:
        assert_trees_close(anima.jit(ours[name])(A, B), anima.jit(theirs[name])(A, B), 2e-4, name)


def test_the_linear_function_may_be_transformed() -> None:
    """`tangent_solve` may take the matrix of the linear function, by any of the transformations."""
    for matrix_of in (anima.jacfwd, anima.jacrev):

        def tangent_solve(g: Any, y: Any, matrix_of: Any = matrix_of) -> Any:
            return relaxed(lambda x: matrix_of(g)(y) @ x - y, np.zeros_like(y))

        def fun(a: Any, b: Any, tangent_solve: Any = tangent_solve) -> Any:
            return lax.custom_root(lambda x: a @ x - b, np.zeros(3), relaxed, tangent_solve)

        assert_trees_close(anima.jacfwd(fun, 1)(A, B), onp.linalg.inv(A), 1e-4)
        assert_trees_close(anima.jit(anima.jacrev(fun, 1))(A, B), onp.linalg.inv(A), 1e-4)


def test_auxiliary_data_of_roots() -> None:
    fun = lambda a: lax.custom_root(
        lambda x: x**3 - a,
        1.5,
        lambda f, x: (newton(f, x), {"count": 5, "double": a * 2}),
        lambda g, y: y / g(1.0),
        has_aux=True,
    )
    x, aux = fun(8.0)
    assert_trees_close((x, aux["count"], aux["double"]), (onp.float32(2), onp.int32(5), onp.float32(16)))
    (dx, daux) = anima.jvp(fun, (8.0,), (1.0,))[1]
    assert_trees_close(dx, onp.float32(1 / 12))
    assert float(daux["double"]) == 0.0
    assert_trees_close(anima.grad(fun, has_aux=True)(8.0)[0], onp.float32(1 / 12))


def test_integers_have_roots_but_no_derivatives() -> None:
    half = lambda a: lax.custom_root(lambda x: 2 * x - a, 0, lambda f, x: x - f(x) // 2, lambda g, y: y)
    assert int(half(6)) == 3
    with pytest.raises(TypeError, match="only roots of floating point"):
        anima.grad(
            lambda a: lax.custom_root(lambda x: 1.0 * x - a, 0, lambda f, x: x, lambda g, y: y).astype(float)
        )(1.0)


def test_the_root_may_have_another_dtype_than_the_guess() -> None:
    fun = lambda a: lax.custom_root(
        lambda x: x * x - a, 1, lambda f, x: np.sqrt(a), lambda g, y: y / g(np.ones_like(y))
    )
    assert_trees_close(anima.value_and_grad(fun)(9.0), (onp.float32(3), onp.float32(1 / 6)))


def test_programs_are_found_in_memory() -> None:
    gradient = anima.grad(lambda a: solved(a, B).sum())
    gradient(A)
    assert compilations(lambda: gradient(A * 1.1)) == 0


# --- misuse -----------------------------------------------------------------------------------

IDENTITY = lambda x: x
ROOT = (IDENTITY, 1.0, lambda f, x: x, lambda g, y: y)


def linear(
    matvec: Any = IDENTITY, b: Any = B, solve: Any = lambda m, b: b, *more: Any, **options: Any
) -> Any:
    return lax.custom_linear_solve(matvec, b, solve, *more, **options)


def root(**changes: Any) -> Any:
    names = ("f", "initial_guess", "solve", "tangent_solve")
    return lax.custom_root(**dict(zip(names, ROOT)) | changes)


PAIR = lambda m, b: (b, b)
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda: linear(3), TypeError, "custom_linear_solve: matvec must be a function"),
    (lambda: linear(solve=None), TypeError, "solve must be a function"),
    (lambda: linear(IDENTITY, B, lambda m, b: b, 3), TypeError, "transpose_solve must be a function"),
    (lambda: linear(b={"k": "a"}), TypeError, r"b\['k'\] has type str"),
    (lambda: linear(lambda x: (x, x)), ValueError, r"matvec \(<lambda>\) must return a pytree built as b is"),
    (lambda: linear(lambda x: x[:1]), ValueError, r"b is float32\[3\] and the result's leaf is float32\[1\]"),
    (
        lambda: linear(lambda x: {"k": x["k"].astype(int)}, {"k": B}),
        ValueError,
        r"b\['k'\] is float32\[3\] and the result's leaf \['k'\] is int32\[3\]",
    ),
    (lambda: linear(solve=PAIR), ValueError, r"solve \(<lambda>\) must return a pytree built as b is"),
    (lambda: linear(has_aux=True), ValueError, "must return a pair.*it returns an array"),
    (lambda: linear(IDENTITY, B, lambda m, b: b, PAIR), ValueError, r"transpose_solve .*built as b is"),
    (lambda: root(f=1), TypeError, "custom_root: f must be a function"),
    (lambda: root(tangent_solve=None), TypeError, "tangent_solve must be a function"),
    (lambda: root(initial_guess="a"), TypeError, "initial_guess has type str"),
    (
        lambda: root(f=lambda x: (x, x)),
        TypeError,
        r"f \(<lambda>\) must return a pytree built as initial_guess",
    ),
    (lambda: root(solve=PAIR), TypeError, "solve .*built as initial_guess is"),
    (lambda: root(tangent_solve=PAIR), TypeError, "tangent_solve .*built as initial_guess is"),
    (lambda: root(has_aux=True), ValueError, "solve .* must return a pair"),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
def test_misuse(number: int) -> None:
    call, error, message = WRONG[number]
    with pytest.raises(error, match=message):
        call()
