"""Functions with state in objects and containers, closures, methods, lambdas, nested functions, and transformations inside."""

# ruff: noqa: C417, SIM, PIE, RET, RUF015  (written as people write)

from functools import partial, reduce

import anima
import anima.numpy as np
from anima.transforms.convert import do_not_convert

LIMIT = 3


class Counter:
    def __init__(self):
        self.count = 0
        self.history = [0, 0]
        self.__hidden = 2

    def add(self, x):
        if x > 0:
            self.count = self.count + x
            self.history[0] = x
        else:
            self.history[1] = self.history[1] + 1

    def scaled(self, x):
        return x * self.__hidden if x > 1 else x


class Doubling(Counter):
    def scaled(self, x):
        if x > 5:
            return super().scaled(x)
        return -super().scaled(x)

    def __call__(self, x):
        return x if x > 0 else -x


def attributes(x):
    c = Counter()
    c.add(x)
    c.add(x - 2)
    return c.count, c.history


def method(x):
    return Counter().scaled(x)


def inherited(x):
    return Doubling().scaled(x)


def callable_object(x):
    return Doubling()(x)


def dictionary(x):
    d = {"a": x, "n": 0}
    if x > 0:
        d["a"] += 1
        d["n"] = 5
    return d["a"] * d["n"]


def dictionary_loop(x):
    d = {"total": 0, "name": "sum"}
    for v in x:
        d["total"] += v
    return d["total"]


def list_state(x):
    state = [0.0, 1.0]
    while state[0] < x:
        state[0] = state[0] + state[1]
        state[1] *= 1.5
    return state


def same_list(x):
    a = [x]
    b = a
    if x > 0:
        a = b
        a[0] = 5.0
    a[0] += 1
    return b[0], a[0]


def list_of_branch(x):
    if x > 0:
        parts = [x]
    else:
        parts = [0.0]
    parts.append(1.0)
    parts[0] += 1
    return parts


def local_list(x):
    if x > 0:
        parts = []
        parts.append(x)
        parts.append(x * 2)
        y = sum(parts)
    else:
        y = x
    return y


def helper(x):
    if x > LIMIT:
        return x - LIMIT
    return x


def calls_helper(x):
    return helper(x) + helper(2 * x)


def nested_function(x):
    def inner(y):
        if y > x:
            return y
        return x

    return inner(2.0) + inner(0.0)


def nonlocal_state(x):
    count = 0

    def visit(v):
        nonlocal count
        if v > 0:
            count += 1

    visit(x)
    visit(x - 1)
    return count


def make_scaler(k):
    def scale(x):
        return x * k if x > k else x

    return scale


closure = make_scaler(3)
by_lambda = lambda x: x if x > 0 else x * 0.1
first, second = (lambda x: x if x > 1 else 1), (lambda x: -x if x > 1 else 2)


def lambdas(x):
    steps = [lambda v: v + 1 if v > 0 else v, lambda v: v * 2]
    for step in steps:
        x = step(x)
    return x


def default_arguments(x, /, low=0, *rest, high=5, **more):
    if x < low:
        return low
    if x > high:
        return high
    return x


def starred(x):
    head, *tail = x
    for a, (b, c) in zip(tail, [(1, 2), (3, 4), (5, 6)]):
        if a > 0:
            head += a * b
        else:
            head -= c
    return head


def partials(x):
    return partial(clamped, high=2.0)(x)


def clamped(x, high):
    return high if x > high else x


def vmapped_inside(x):
    return anima.vmap(helper)(x).sum()  # in plain Python its `if` could not see single examples


def grad_inside(x):
    def loss(v):
        if v > 0:
            return v**3
        return v**2

    return anima.grad(loss)(x)


def reduced(x):
    return reduce(lambda a, b: a if a > b else b, [x, x * 2, 3.0 - x])


def mapped(x):
    return sum(map(lambda v: v if v > 1 else 0.0, [x, x + 1, x - 1]))


@do_not_convert
def left_alone(x):
    return x * 2


def calls_unconverted(x):
    return left_alone(x) if x > 0 else x


def recursion(x, depth=3):
    if depth == 0:
        return x
    return recursion(x + 1 if x > 0 else x - 1, depth - 1)


def pytree_loop(x):
    params = {"w": 1.0, "b": (0.0,)}
    for v in x:
        params = {"w": params["w"] * v, "b": (params["b"][0] + 1 if v > 0 else params["b"][0],)}
    return params


A = np.array
X = A([3.0, -1.0, 4.0, 1.5])
CASES = [
    (attributes, [(3,), (1,), (-1,)]),
    (method, [(3.0,), (0.5,)]),
    (inherited, [(9.0,), (3.0,), (0.5,)]),
    (callable_object, [(2,), (-2,)]),
    (dictionary, [(2.0,), (-2.0,)]),
    (dictionary_loop, [(X,)]),
    (list_state, [(5.0,), (-1.0,)]),
    (same_list, [(2.0,), (-2.0,)]),
    (list_of_branch, [(2.0,), (-2.0,)]),
    (local_list, [(2.0,), (-2.0,)]),
    (calls_helper, [(1.0,), (2.0,), (9.0,)]),
    (nested_function, [(1.0,), (5.0,)]),
    (nonlocal_state, [(2.0,), (0.5,), (-1.0,)]),
    (closure, [(2.0,), (5.0,)]),
    (by_lambda, [(2.0,), (-5.0,)]),
    (first, [(2,), (0,)]),
    (second, [(2,), (0,)]),
    (lambdas, [(2.0,), (-2.0,)]),
    (default_arguments, [(-1,), (3,), (9,), (9, 10)]),
    (starred, [(X,)]),
    (partials, [(1.0,), (5.0,)]),
    (grad_inside, [(2.0,), (-2.0,)]),
    (reduced, [(0.5,), (2.0,)]),
    (mapped, [(0.5,), (2.0,)]),
    (calls_unconverted, [(0.5,), (-2.0,)]),
    (recursion, [(0.5,), (-2.0,)]),
    (pytree_loop, [(X,)]),
]
