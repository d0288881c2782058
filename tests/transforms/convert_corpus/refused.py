"""Functions that cannot be converted, each with an input and a part of the reason."""

# ruff: noqa: C416, SIM, PIE, RET, RUF015  (written as people write)

import anima.numpy as np


def shapes_differ(x):
    if x > 0:
        return np.zeros(2)
    return np.zeros(3)


def returns_none(x):
    if x > 0:
        return x


def used_undefined(x):
    if x > 0:
        y = x
    return y


def string_result(x):
    label = "a" if x > 0 else "b"
    return len(label) + x


def used_poison(x):
    if x > 0:
        name = "positive"
    else:
        name = "negative"
    return x + len(name)


def growing(x):
    while x.sum() < 100:
        x = np.concatenate([x, x])
    return x


def growing_list(x):
    found = []
    while x > 1:
        found.append(x)
        x = x / 2
    return found


def filtered(x):
    return [v for v in x if v > 0]


def caught(x):
    try:
        if x < 0:
            raise ValueError("negative")
    except ValueError:
        x = 0.0
    return x


def by_name(x):
    if x > 0:
        y = 1
    return locals()["y"]


def final_return(x):
    try:
        x = x + 1
    finally:
        return x  # noqa: B012


def array_truth(x):
    if x > 0:
        return 1
    return 2


def numpy_in_place(x):
    import numpy

    total = numpy.zeros(2)
    if x > 0:
        total += 1
    return total + x


def endless_recursion(n):
    if n <= 1:
        return 1
    return n * endless_recursion(n - 1)


def maybe_no_iteration(n):
    for i in range(n):
        last = i
    return last


def takes_next(x):
    items = iter([1, 2])
    if x > 0:
        x = x + next(items)
    return x


def dictionary_key(x):
    d = {}
    if x > 0:
        d["new"] = x
    return len(d) + x


def comprehension_range(n):
    return sum([i for i in range(n)])


def first_value_in_loop(n):
    k = 2
    while k * k <= n:
        if n % k == 0:
            result = k
            break
        k += 1
    else:
        result = n
    return result


def always_raises(n):
    for i in range(n):
        raise ValueError(i)
    return n


def list_in_branch(x):
    found = [x]
    if x > 0:
        found.append(x)
    return found


def one_of_two_lists(x):
    kept = [x]
    if x > 0:
        changed = kept
    else:
        changed = [0.0]
    changed[0] = 7.0
    return kept[0]


def set_in_branch(x):
    seen = {1}
    if x > 0:
        seen.add(2)
    return len(seen) + x


A = np.array
CASES = [
    (shapes_differ, (1.0,), "what the function returns as float32[2] on one way"),
    (returns_none, (1.0,), "what the function returns"),
    (used_undefined, (1.0,), "gives y a value on one way only"),
    (string_result, (1.0,), "'a' on one way and as 'b' on the other"),
    (used_poison, (1.0,), "leaves name as 'positive' on one way"),
    (growing, (A([1.0]),), "from float32[1] to float32[2]"),
    (growing_list, (9.0,), "starts with a list as 0 items"),
    (filtered, (A([1.0]),), "comprehension whose length"),
    (caught, (1.0,), "a try statement around it"),
    (by_name, (1.0,), "locals()"),
    (final_return, (1.0,), "finally"),
    (array_truth, (A([1.0, 2.0]),), ".any() or .all()"),
    (numpy_in_place, (1.0,), "type ndarray in place"),
    (endless_recursion, (3,), "recursion"),
    (maybe_no_iteration, (3,), "gets a value only if the for loop"),
    (first_value_in_loop, (9,), "gives result a value on one way only"),
    (always_raises, (3,), "every iteration"),
    (list_in_branch, (1.0,), "leaves a list as 2 items"),
    (one_of_two_lists, (1.0,), "may be one of several"),
    (set_in_branch, (1.0,), "the items [1, 2]"),
    (takes_next, (1.0,), "next()"),
    (dictionary_key, (1.0,), "leaves a dict"),
    (comprehension_range, (3,), "number of items depends on a traced value"),
]
