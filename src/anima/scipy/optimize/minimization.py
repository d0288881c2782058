"""`minimize`: the choice of a method and its options.

Invariant: methods work on vectors of real numbers; a complex vector is its real parts and then its imaginary parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import anima.numpy as np
from anima import dtypes, lax
from anima.numpy.promotion import array_like
from anima.scipy.optimize.quasi_newton import Codes, Limits, Memory, State, descend, recent, whole
from anima.transforms.autodiff import value_and_grad
from anima.transforms.jit import jit


class OptimizeResults(NamedTuple):
    """What `minimize` returns.

    Attributes:
      x: the point where it stopped.
      success: whether the gradient is small enough there.
      status: 0: it is; 1: `maxiter` iterations were made; 5: a line search found no better point. BFGS: 3: rounding errors leave
        no better point. L-BFGS: 2, 3: `maxfun` or `maxgrad` evaluations were made; 4: the last step changed too little.
      fun, jac: the value and the gradient at `x`.
      hess_inv: the approximation of the inverse Hessian, or None if the method has none.
      nfev, njev: how often the function, and its gradient, were evaluated.
      nit: the number of iterations.
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


def _bfgs(
    n: int,
    dtype: Any,
    maxiter: int | None = None,
    norm: Any = np.inf,
    gtol: Any = 1e-5,
    line_search_maxiter: int = 10,
) -> tuple[Memory, Limits, Codes]:
    return (
        whole(n, dtype),
        Limits(gtol, norm, 200 * n if maxiter is None else maxiter, line_search_maxiter),
        Codes(),
    )


def _lbfgs(
    n: int,
    dtype: Any,
    maxiter: int | None = None,
    norm: Any = np.inf,
    maxcor: int = 10,
    ftol: Any = 2.220446049250313e-09,
    gtol: Any = 1e-5,
    maxfun: Any = None,
    maxgrad: Any = None,
    maxls: int = 20,
) -> tuple[Memory, Limits, Codes]:
    limits = Limits(gtol, norm, 200 * n if maxiter is None else maxiter, maxls, ftol, maxfun, maxgrad)
    return recent(n, maxcor, dtype), limits, Codes(narrow=Codes().search)


_METHODS: dict[str, Callable[..., tuple[Memory, Limits, Codes]]] = {
    "bfgs": _bfgs,
    "l-bfgs-experimental-do-not-rely-on-this": _lbfgs,
}


def _options(method: str, tol: Any, options: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(options or {})
    known = list(inspect.signature(_METHODS[method]).parameters)[2:]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"minimize: options has {', '.join(map(repr, unknown))}, which method {method!r} does not know; it knows "
            f"{', '.join(known)}"
        )
    if tol is not None:
        for name in {"ftol", "gtol"} & set(known):
            given.setdefault(name, tol)
    return given


def _start(x0: Any) -> Any:
    x = np.asarray(array_like("minimize", x0, "x0"))
    if x.ndim != 1:
        raise ValueError(
            f"minimize: x0 must be a vector, got shape {x.shape}; use flatten_util.ravel_pytree for other arrays"
        )
    if not dtypes.is_inexact(x.dtype):
        raise TypeError(
            f"minimize: x0 must be of a floating-point dtype, got {dtypes.dtype_name(x.dtype)}; derivatives by integers do not "
            "exist"
        )
    return lax.convert_element_type_p.bind(x, new_dtype=x.dtype, weak_type=False)


def _counted(number: Any) -> Any:
    """An integer of the default dtype, weakly typed."""
    return lax.convert_element_type_p.bind(number, new_dtype=dtypes.canonicalize_dtype(int), weak_type=True)


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    method: str,
    tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:
    """A local minimum of a differentiable function of a vector.

    Args:
      fun: from a vector, and `args`, to a real number.
      x0: where to start: a vector of a floating-point dtype; or of a complex one, of which real and imaginary parts are the
        unknowns.
      args: what else `fun` takes, a tuple.
      method: "BFGS", which keeps an approximation of the inverse Hessian, or "l-bfgs-experimental-do-not-rely-on-this",
        which keeps the last steps only. Capital letters are as small ones.
      tol: the value of the options `gtol` and `ftol` if these are not given.
      options: by name. For both: `maxiter`, 200 for each unknown by default; `gtol`: the norm of the gradient that is small
        enough, 1e-5; `norm`: the order of that norm, infinity. BFGS: `line_search_maxiter`, the most evaluations
        of a line search, 10. L-BFGS: `maxls`, the same, 20; `maxcor`: how many steps are kept, 10; `ftol`: the relative
        decrease that is too small to go on, 2.2e-9; `maxfun` and `maxgrad`: the most evaluations, checked after each line search.
    Returns:
      `OptimizeResults`. Steps satisfy the strong Wolfe conditions as far as rounding errors and the limits allow. Of a complex
      `x0` the inverse Hessian is that of the real parts and then the imaginary parts.
    Raises:
      TypeError: `args` is no tuple, `x0` is of integers, an option is unknown, or `fun` does not return a real number.
      ValueError: there is no such method, or `x0` is no vector.

    It can be compiled and mapped. Forward-mode derivatives by `x0`, `args` and what `fun` refers to are those of the
    iteration, with the lengths of steps as constants.

    >>> import anima.numpy as np
    >>> from anima.scipy import optimize
    >>> rosenbrock = lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    >>> found = optimize.minimize(rosenbrock, np.array([-1.2, 1.0]), method="BFGS", tol=1e-3)
    >>> print(found.x.round(2), found.success)
    [1. 1.] True
    """
    if not isinstance(args, tuple):
        raise TypeError(f"minimize: args must be a tuple, got {args!r}; write args=(value,)")
    name = method.lower()
    if name not in _METHODS:
        raise ValueError(f"minimize: method must be 'BFGS' or {list(_METHODS)[1]!r}, got {method!r}")
    chosen = _options(name, tol, options)
    x0 = _start(x0)
    x, unpacked = x0, lambda x: x
    if dtypes.is_complex(x0.dtype):
        x, unpacked = np.concatenate([x0.real, x0.imag]), _complex

    def evaluate(x: Any) -> tuple[Any, Any]:
        value, gradient = value_and_grad(lambda x: fun(unpacked(x), *args))(x)
        return lax.convert_element_type_p.bind(value, new_dtype=value.dtype, weak_type=False), gradient

    memory, limits, codes = _METHODS[name](x.shape[0], x.dtype, **chosen)
    state = jit(lambda x: descend(evaluate, x, memory, limits, codes))(x)  # one program, compiled once
    return _results(state, x0, codes, state.memory[0] if name == "bfgs" else None)


def _complex(x: Any) -> Any:
    parts = x.reshape(2, -1)
    return lax.complex(parts[0], parts[1])


def _results(state: State, x0: Any, codes: Codes, inverse: Any) -> OptimizeResults:
    x, gradient = state.x, state.gradient
    if dtypes.is_complex(x0.dtype):
        x, gradient = _complex(x), np.conj(_complex(gradient))  # as `grad` has it
    return OptimizeResults(
        x=x,
        success=state.status == codes.converged,
        status=_counted(state.status),
        fun=state.value,
        jac=gradient,
        hess_inv=inverse,
        nfev=_counted(state.evaluations),
        njev=_counted(state.evaluations),
        nit=_counted(state.iterations),
    )
