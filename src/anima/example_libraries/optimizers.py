"""Optimisers as triples of pure functions, and schedules of step sizes.

Invariant: an optimiser is written for one array; `optimizer` makes it one of pytrees. Its state is a pytree that remembers the
structures of the parameters and of the state of each, so gradients of another structure are refused. A step size is a number
or a schedule: a function from the number of the step to a number.

>>> import anima.numpy as np
>>> from anima import grad
>>> from anima.example_libraries import optimizers
>>> opt_init, opt_update, get_params = optimizers.momentum(step_size=0.1, mass=0.5)
>>> state = opt_init({"x": np.array([1.0, -2.0])})
>>> for step in range(50):
...     state = opt_update(step, grad(lambda p: np.sum(p["x"] ** 2))(get_params(state)), state)
>>> print(np.abs(get_params(state)["x"]).max() < 1e-4)
True
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import anima.numpy as np
from anima._native import PyTreeDef
from anima.core.trace import is_value
from anima.tree_util import (
    register_pytree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_unflatten,
)

Array = Any
Params = Any  # the parameters of a model: a pytree of arrays
State = Any  # what an optimiser keeps for one array: a pytree
Updates = Params  # gradients, in the structure of the parameters
Step = int
Schedule = Callable[[Step], float]


class OptimizerState(NamedTuple):
    """The state of an optimiser for a pytree of parameters; a pytree whose leaves are those of `packed_state`.

    Attributes:
      packed_state: for each parameter the list of the leaves of its state.
      tree_def: the structure of the parameters.
      subtree_defs: the structure of the state of each.
    """

    packed_state: tuple[list[Any], ...]
    tree_def: PyTreeDef
    subtree_defs: tuple[PyTreeDef, ...]


register_pytree_node(
    OptimizerState,
    lambda state: ((state.packed_state,), (state.tree_def, state.subtree_defs)),
    lambda defs, children: OptimizerState(children[0], *defs),
)

InitFn = Callable[[Params], OptimizerState]
UpdateFn = Callable[[Step, Updates, OptimizerState], OptimizerState]
ParamsFn = Callable[[OptimizerState], Params]


class Optimizer(NamedTuple):
    """An optimiser.

    Attributes:
      init_fn: from parameters to the first state.
      update_fn: from the number of the step (the first is 0), gradients and a state to the next state.
      params_fn: from a state to the parameters.
    """

    init_fn: InitFn
    update_fn: UpdateFn
    params_fn: ParamsFn


def optimizer(opt_maker: Callable[..., Any]) -> Callable[..., Optimizer]:
    """Makes an optimiser of pytrees of one that is written for a single array.

    Args:
      opt_maker: a function that returns a triple for one array: `init(x)` returns a state, a pytree; `update(i, g, state)`
        the next one; `get_params(state)` the array.
    Returns:
      The function that returns an `Optimizer`. Its `update_fn` raises TypeError for gradients of another structure than the
      parameters, and if an update changes the structure of a state.

    >>> import anima.numpy as np
    >>> from anima.example_libraries import optimizers
    >>> @optimizers.optimizer
    ... def signed(step_size):
    ...     return lambda x: x, lambda i, g, x: x - step_size * np.sign(g), lambda x: x
    >>> init, update, get = signed(0.5)
    >>> print(get(update(0, [np.array([3.0, -7.0])], init([np.zeros(2)])))[0])
    [-0.5  0.5]
    """

    @functools.wraps(opt_maker)
    def make(*args: Any, **kwargs: Any) -> Optimizer:
        init, update, get_params = opt_maker(*args, **kwargs)

        def init_fn(x0_tree: Params) -> OptimizerState:
            leaves, tree = tree_flatten(x0_tree)
            return _packed(tree, [init(x) for x in leaves])

        def update_fn(i: Any, grad_tree: Updates, opt_state: OptimizerState) -> OptimizerState:
            leaves, tree = tree_flatten(grad_tree)
            if tree != opt_state.tree_def:
                raise TypeError(
                    f"{opt_maker.__name__}: the gradients must have the structure of the parameters, {opt_state.tree_def}, "
                    f"got {tree}"
                )
            states = _states(opt_state)
            result = _packed(tree, [update(i, g, state) for g, state in zip(leaves, states)])
            for before, after in zip(opt_state.subtree_defs, result.subtree_defs):
                if before != after:
                    raise TypeError(
                        f"{opt_maker.__name__}: an update must keep the structure of the state, {before}, but made it {after}"
                    )
            return result

        def params_fn(opt_state: OptimizerState) -> Params:
            return tree_unflatten(opt_state.tree_def, [get_params(s) for s in _states(opt_state)])

        return Optimizer(init_fn, update_fn, params_fn)

    return make


def _packed(tree: PyTreeDef, states: list[State]) -> OptimizerState:
    flat = [tree_flatten(state) for state in states]
    return OptimizerState(tuple(leaves for leaves, _ in flat), tree, tuple(treedef for _, treedef in flat))


def _states(opt_state: OptimizerState) -> list[State]:
    return [
        tree_unflatten(treedef, leaves)
        for treedef, leaves in zip(opt_state.subtree_defs, opt_state.packed_state)
    ]


# --- optimisers -------------------------------------------------------------------------------


@optimizer
def sgd(step_size: Any) -> Any:
    """Gradient descent: `x - step_size * g`.

    Source: Robbins and Monro, "A stochastic approximation method" (1951).

    >>> import anima.numpy as np
    >>> init, update, get = sgd(0.5)
    >>> print(get(update(0, np.array([2.0]), init(np.array([1.0])))))
    [0.]
    """
    step_size = make_schedule(step_size)
    return lambda x: x, lambda i, g, x: x - step_size(i) * g, lambda x: x


@optimizer
def momentum(step_size: Any, mass: Any) -> Any:
    """Gradient descent with momentum: `v = mass * v + g`, then `x - step_size * v`.

    Source: Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).

    Args:
      step_size: a number or a schedule.
      mass: which part of the velocity stays.

    >>> import anima.numpy as np
    >>> init, update, get = momentum(1.0, 0.5)
    >>> print(get(update(1, np.array([0.0]), update(0, np.array([2.0]), init(np.array([3.0]))))))
    [0.]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - step_size(i) * velocity, velocity

    return init, update, _first


@optimizer
def nesterov(step_size: Any, mass: Any) -> Any:
    """Gradient descent with a momentum that looks ahead: `v = mass * v + g`, then `x - step_size * (mass * v + g)`.

    Source: Nesterov, "A method for solving the convex programming problem with convergence rate O(1/k^2)" (1983), in the
    form of Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).

    Args:
      step_size: a number or a schedule.
      mass: which part of the velocity stays.

    >>> import anima.numpy as np
    >>> init, update, get = nesterov(1.0, 0.5)
    >>> print(get(update(0, np.array([2.0]), init(np.array([3.0])))))
    [0.]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, velocity = state
        velocity = mass * velocity + g
        return x - step_size(i) * (mass * velocity + g), velocity

    return init, update, _first


@optimizer
def adagrad(step_size: Any, momentum: Any = 0.9) -> Any:
    """Steps divided by the root of the sum of all squared gradients, with momentum.

    `s = s + g**2`, `m = (1 - momentum) * g / sqrt(s) + momentum * m`, then `x - step_size * m`; an element that never had a
    gradient does not move. Source: Duchi et al., "Adaptive subgradient methods for online learning and stochastic
    optimization" (2011).

    Args:
      step_size: a number or a schedule.
      momentum: which part of the mean step stays.

    >>> import anima.numpy as np
    >>> init, update, get = adagrad(1.0, momentum=0.0)
    >>> print(get(update(0, np.array([5.0, 0.0]), init(np.ones(2)))))
    [0. 1.]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0), np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, mean = state
        squares = squares + np.square(g)
        mean = (1 - momentum) * (g * _inverse_root(squares)) + momentum * mean
        return x - step_size(i) * mean, squares, mean

    return init, update, _first


@optimizer
def rmsprop(step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8) -> Any:
    """Steps divided by the root of a running mean of squared gradients.

    `a = gamma * a + (1 - gamma) * g**2`, then `x - step_size * g / sqrt(a + eps)`. Source: Tieleman and Hinton, lecture 6.5
    of "Neural networks for machine learning" (2012).

    Args:
      step_size: a number or a schedule.
      gamma: which part of the mean stays.
      eps: added to the mean.

    >>> import anima.numpy as np
    >>> init, update, get = rmsprop(1.0, gamma=0.0)
    >>> print(get(update(0, np.array([5.0, -0.1]), init(np.ones(2)))).round(3))
    [0. 2.]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares = state
        squares = squares * gamma + np.square(g) * (1.0 - gamma)
        return x - step_size(i) * g / np.sqrt(squares + eps), squares

    return init, update, _first


@optimizer
def rmsprop_momentum(step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8, momentum: Any = 0.9) -> Any:
    """`rmsprop` with momentum: `m = momentum * m + step_size * g / sqrt(a + eps)`, then `x - m`.

    Args:
      step_size: a number or a schedule.
      gamma, eps: as in `rmsprop`.
      momentum: which part of the last step is taken again.

    >>> import anima.numpy as np
    >>> init, update, get = rmsprop_momentum(1.0, gamma=0.0, momentum=0.5)
    >>> state = update(0, np.array([5.0]), init(np.ones(1)))
    >>> print(get(update(1, np.array([0.0]), state)).round(3))
    [-0.5]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0), np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, squares, step = state
        squares = squares * gamma + np.square(g) * (1.0 - gamma)
        step = momentum * step + step_size(i) * g / np.sqrt(squares + eps)
        return x - step, squares, step

    return init, update, _first


@optimizer
def adam(step_size: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> Any:
    """Adam: the running mean of gradients over the root of that of their squares, both corrected for their start at 0.

    `m = (1 - b1) * g + b1 * m`, `v = (1 - b2) * g**2 + b2 * v`, and in step `i`, counted from 0,
    `x - step_size * (m / (1 - b1**(i + 1))) / (sqrt(v / (1 - b2**(i + 1))) + eps)`. Source: Kingma and Ba, "Adam: a method for
    stochastic optimization" (2015), algorithm 1.

    Args:
      step_size: a number or a schedule.
      b1, b2: which parts of the means stay.
      eps: added to the root.

    >>> import anima.numpy as np
    >>> init, update, get = adam(0.5)
    >>> print(get(update(0, np.array([5.0, -0.1]), init(np.ones(2)))).round(3))
    [0.5 1.5]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0), np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, squares = state
        mean = (1 - b1) * g + b1 * mean
        squares = (1 - b2) * np.square(g) + b2 * squares
        corrected = mean / (1 - b1 ** (i + 1))
        spread = squares / (1 - b2 ** (i + 1))
        return x - step_size(i) * corrected / (np.sqrt(spread) + eps), mean, squares

    return init, update, _first


@optimizer
def adamax(step_size: Any, b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> Any:
    """AdaMax: the running mean of gradients over a decaying maximum of their absolute values.

    `m = (1 - b1) * g + b1 * m`, `u = max(b2 * u, abs(g))`, and in step `i`, counted from 0,
    `x - step_size / (1 - b1**(i + 1)) * m / (u + eps)`. Source: Kingma and Ba, "Adam: a method for stochastic optimization"
    (2015), algorithm 2.

    Args:
      step_size: a number or a schedule.
      b1, b2: which parts of mean and maximum stay.
      eps: added to the maximum.

    >>> import anima.numpy as np
    >>> init, update, get = adamax(0.5)
    >>> print(get(update(0, np.array([5.0, -0.1]), init(np.ones(2)))).round(3))
    [0.5 1.5]
    """
    step_size = make_schedule(step_size)

    def init(x0: Any) -> Any:
        return x0, np.zeros_like(x0), np.zeros_like(x0)

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, largest = state
        mean = (1 - b1) * g + b1 * mean
        largest = np.maximum(b2 * largest, np.abs(g))
        size = step_size(i) / (1 - b1 ** (i + 1))
        return x - size * mean / (largest + eps), mean, largest

    return init, update, _first


@optimizer
def sm3(step_size: Any, momentum: Any = 0.9) -> Any:
    """Adagrad with as many sums as there are rows and columns, not elements.

    Each dimension `d` has a vector `s[d]`. An element's sum is the least of its vectors' entries and `g**2` together;
    `s[d]` becomes the largest sum along the other dimensions. The step is that of `adagrad`. Source: Anil et al.,
    "Memory-efficient adaptive optimization" (2019), algorithm SM3-II.

    Args:
      step_size: a number or a schedule.
      momentum: which part of the mean step stays.

    >>> import anima.numpy as np
    >>> init, update, get = sm3(1.0, momentum=0.0)
    >>> print(get(update(0, np.array([[5.0, 0.0], [-1.0, 2.0]]), init(np.ones((2, 2))))))
    [[0. 1.]
     [2. 0.]]
    """
    step_size = make_schedule(step_size)

    def along(vector: Any, d: int, ndim: int) -> Any:
        return np.expand_dims(vector, [other for other in range(ndim) if other != d])

    def init(x0: Any) -> Any:
        x = np.asarray(x0)
        return x, np.zeros_like(x), [np.zeros(n, x.dtype) for n in x.shape or (1,)]

    def update(i: Any, g: Any, state: Any) -> Any:
        x, mean, sums = state
        ndim = max(x.ndim, 1)  # a scalar is a vector of one element
        least = functools.reduce(np.minimum, [along(s, d, ndim) for d, s in enumerate(sums)])
        total = least.reshape(x.shape) + np.square(g) if x.ndim == 0 else least + np.square(g)
        mean = (1 - momentum) * (g * _inverse_root(total)) + momentum * mean
        grid = np.atleast_1d(total)
        sums = [np.max(grid, [other for other in range(ndim) if other != d], initial=0) for d in range(ndim)]
        return x - step_size(i) * mean, mean, sums

    return init, update, _first


def _first(state: Any) -> Any:
    return state[0]


def _inverse_root(squares: Any) -> Any:
    """`1 / sqrt(squares)`, and 0 where there is nothing yet."""
    return np.where(squares > 0, 1.0 / np.sqrt(squares), 0.0)


# --- schedules --------------------------------------------------------------------------------


def constant(step_size: Any) -> Schedule:
    """The schedule that is always `step_size`.

    >>> constant(0.1)(100)
    0.1
    """
    return lambda i: step_size


def exponential_decay(step_size: Any, decay_steps: Any, decay_rate: Any) -> Schedule:
    """The schedule `step_size * decay_rate ** (i / decay_steps)`.

    >>> exponential_decay(1.0, 10, 0.5)(20)
    0.25
    """
    return lambda i: step_size * decay_rate ** (i / decay_steps)


def inverse_time_decay(
    step_size: Any, decay_steps: Any, decay_rate: Any, staircase: bool = False
) -> Schedule:
    """The schedule `step_size / (1 + decay_rate * i / decay_steps)`.

    Args:
      staircase: whether `i / decay_steps` is rounded down.

    >>> inverse_time_decay(1.0, 10, 1.0)(10)
    0.5
    """
    if staircase:
        return lambda i: step_size / (1 + decay_rate * np.floor(i / decay_steps))
    return lambda i: step_size / (1 + decay_rate * i / decay_steps)


def polynomial_decay(step_size: Any, decay_steps: Any, final_step_size: Any, power: Any = 1.0) -> Schedule:
    """The schedule from `step_size` to `final_step_size`, which it has from step `decay_steps` on.

    In between it is `final_step_size + (step_size - final_step_size) * (1 - i / decay_steps) ** power`.

    >>> print(polynomial_decay(1.0, 10, 0.5)(5))
    0.75
    """

    def schedule(i: Any) -> Any:
        left = 1 - np.minimum(i, decay_steps) / decay_steps
        return left**power * (step_size - final_step_size) + final_step_size

    return schedule


def piecewise_constant(boundaries: Any, values: Any) -> Schedule:
    """The schedule that is `values[k]` once `i` is greater than `k` of the boundaries.

    Args:
      boundaries: increasing numbers of steps.
      values: one number more than there are boundaries.
    Raises:
      ValueError: these are no sequences of such lengths.

    >>> schedule = piecewise_constant([10, 20], [1.0, 0.5, 0.1])
    >>> print(schedule(10), schedule(11))
    1.0 0.5
    """
    boundaries, values = np.array(boundaries), np.array(values)
    if boundaries.ndim != 1 or values.ndim != 1:
        raise ValueError(
            "piecewise_constant: boundaries and values must be sequences of numbers, got arrays of the shapes "
            f"{boundaries.shape} and {values.shape}"
        )
    if boundaries.shape[0] != values.shape[0] - 1:
        raise ValueError(
            f"piecewise_constant: there must be one value more than boundaries, got {values.shape[0]} and {boundaries.shape[0]}"
        )
    return lambda i: values[np.sum(i > boundaries)]


def make_schedule(scalar_or_schedule: Any) -> Schedule:
    """The schedule of a step size: functions are schedules already, numbers become constant ones.

    Raises:
      TypeError: it is neither.

    >>> make_schedule(0.1)(5), make_schedule(lambda i: i)(5)
    (0.1, 5)
    """
    if callable(scalar_or_schedule):
        return scalar_or_schedule
    number = isinstance(scalar_or_schedule, numbers.Number) or is_value(scalar_or_schedule)
    if not number or np.ndim(scalar_or_schedule):
        raise TypeError(
            f"a step size must be a number or a function of the number of the step, got {scalar_or_schedule!r}"
        )
    return constant(scalar_or_schedule)


# --- gradients and states ---------------------------------------------------------------------


def l2_norm(tree: Any) -> Any:
    """The root of the sum of the squares of all elements of a pytree.

    >>> import anima.numpy as np
    >>> print(l2_norm({"w": np.array([3.0]), "b": 4.0}))
    5.0
    """
    return np.sqrt(sum(np.vdot(x, x) for x in tree_leaves(tree)))


def clip_grads(grad_tree: Any, max_norm: Any) -> Any:
    """Gradients scaled down together, so that their `l2_norm` is at most `max_norm`.

    Source: Pascanu et al., "On the difficulty of training recurrent neural networks" (2013).

    >>> import anima.numpy as np
    >>> print(clip_grads(np.array([3.0, 4.0]), 2.5))
    [1.5 2. ]
    """
    norm = l2_norm(grad_tree)
    return tree_map(lambda g: np.where(norm < max_norm, g, g * (max_norm / norm)), grad_tree)


class JoinPoint:
    """The state of an optimiser for one parameter, as a leaf of the tree of the parameters.

    >>> list(JoinPoint((1, 2)))
    [(1, 2)]
    """

    def __init__(self, subtree: Any) -> None:
        self.subtree = subtree

    def __iter__(self) -> Iterator[Any]:
        yield self.subtree


def unpack_optimizer_state(opt_state: OptimizerState) -> Any:
    """A state as a tree like the parameters, with a `JoinPoint` for each: plain enough to be saved.

    >>> import anima.numpy as np
    >>> tree = unpack_optimizer_state(momentum(0.1, 0.9).init_fn({"w": np.ones(2)}))
    >>> print(*tree["w"].subtree)
    [1. 1.] [0. 0.]
    """
    return tree_unflatten(opt_state.tree_def, [JoinPoint(state) for state in _states(opt_state)])


def pack_optimizer_state(marked_pytree: Any) -> OptimizerState:
    """The state that `unpack_optimizer_state` made such a tree of.

    Raises:
      TypeError: a leaf of the tree is no `JoinPoint`.

    >>> import anima.numpy as np
    >>> init, update, get = momentum(0.1, 0.9)
    >>> print(get(pack_optimizer_state(unpack_optimizer_state(init(np.ones(2))))))
    [1. 1.]
    """
    leaves, tree = tree_flatten(marked_pytree)
    for leaf in leaves:
        if not isinstance(leaf, JoinPoint):
            raise TypeError(
                f"pack_optimizer_state: every leaf must be a JoinPoint, as unpack_optimizer_state makes them, got {leaf!r}"
            )
    return _packed(tree, [leaf.subtree for leaf in leaves])
