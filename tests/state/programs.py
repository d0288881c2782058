"""Programs that mutate arrays, written once for Anima, for JAX and for NumPy, whose arrays are mutable as they are.

Each takes a library and a way to compile functions, and returns what it computed: results of functions and the last values
of its references.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class PlainRef:
    """A mutable array of NumPy that gives out copies, as references do."""

    def __init__(self, value: Any) -> None:
        self.array = np.array(value, _single(value))

    def __getitem__(self, index: Any) -> Any:
        return np.array(self.array[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[index] = value


def _single(value: Any) -> Any:
    dtype = np.asarray(value).dtype
    return {"f": np.float32, "i": np.int32}.get(dtype.kind, dtype)


def _row(x: Any, i: int) -> Any:
    """A row, of a reference one that shares its memory."""
    if not isinstance(x, PlainRef):
        return x[i]
    part = PlainRef(0.0)
    part.array = x.array[i]
    return part


class PlainLax:
    """Loops and branches in Python."""

    def scan(
        self, f: Any, init: Any, xs: Any = None, length: int | None = None, reverse: bool = False
    ) -> Any:
        carry, ys = init, []
        count = len(xs[-1] if isinstance(xs, tuple) else xs) if xs is not None else length
        for i in reversed(range(count)) if reverse else range(count):
            row = tuple([_row(x, i) for x in xs]) if isinstance(xs, tuple) else None if xs is None else xs[i]
            carry, y = f(carry, row)
            ys.append(y)
        ys = ys[::-1] if reverse else ys
        return carry, None if ys[0] is None else np.stack(ys)

    def map(self, f: Any, xs: Any) -> Any:
        return self.scan(lambda _, x: (None, f(x)), None, xs)[1]

    def fori_loop(self, lower: int, upper: int, body: Any, val: Any) -> Any:
        for i in range(lower, upper):
            val = body(i, val)
        return val

    def while_loop(self, cond: Any, body: Any, val: Any) -> Any:
        while cond(val):
            val = body(val)
        return val

    def cond(self, pred: Any, first: Any, second: Any, *operands: Any) -> Any:
        return (first if pred else second)(*operands)

    def switch(self, index: Any, branches: Any, *operands: Any) -> Any:
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)


class Library:
    """Anima or JAX."""

    def __init__(self, package: Any, numpy: Any) -> None:
        self.np, self.lax = numpy, package.lax
        self.new_ref, self.freeze, self.ref = package.new_ref, package.freeze, package.ref
        self.jit, self.checkpoint, self.vmap = package.jit, package.checkpoint, package.vmap
        self.grad, self.jvp, self.vjp = package.grad, package.jvp, package.vjp


class PlainModule:
    """The functions of `ref`."""

    def get(self, ref: Any, idx: Any = ...) -> Any:
        return ref[idx]

    def set(self, ref: Any, idx: Any, value: Any) -> None:
        ref[idx] = value

    def swap(self, ref: Any, idx: Any, value: Any) -> Any:
        old = ref[idx]
        ref[idx] = value
        return old

    def addupdate(self, ref: Any, idx: Any, value: Any) -> None:
        np.add.at(ref.array, idx, value)


class Plain:
    """NumPy."""

    def __init__(self) -> None:
        self.np, self.lax, self.ref = np, PlainLax(), PlainModule()
        self.new_ref = PlainRef
        self.freeze = lambda ref: ref[...]
        self.jit = self.checkpoint = lambda f: f


Jit = Callable[[Any], Any]
FIVE = np.arange(5, dtype=np.float32)


def reading_and_writing(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f(x: Any) -> Any:
        ref[0] = x
        ref[1:3] = ref[3:5] * x
        ref[-1] += ref[0]
        return ref[...] + x

    g = jit(f)
    return [g(np.float32(2.0)), g(np.float32(3.0)), ref[...]]


def reference_as_argument(lib: Any, jit: Jit) -> list[Any]:
    def f(ref: Any, x: Any) -> Any:
        ref[2] = ref[2] * x
        return ref[2] + 1

    g = jit(f)
    first, second = lib.new_ref(FIVE), lib.new_ref(FIVE + 1)
    return [
        g(first, np.float32(2.0)),
        g(second, np.float32(3.0)),
        g(first, np.float32(4.0)),
        first[...],
        second[...],
    ]


def two_references_change_places(lib: Any, jit: Jit) -> list[Any]:
    def f(refs: Any) -> None:
        kept = refs["a"][...]
        refs["a"][...] = refs["b"][...]
        refs["b"][...] = kept

    a, b, g = lib.new_ref(FIVE), lib.new_ref(FIVE * 10), jit(f)
    g({"a": a, "b": b})
    first = [a[...], b[...]]
    g({"a": a, "b": b})
    return [*first, a[...], b[...]]


def results_are_not_overwritten(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f() -> Any:
        ref[...] = ref[...] + 1
        return ref[...]

    g, outside = jit(f), ref[...]
    return [g(), g(), ref[...], g(), outside]


def made_inside(lib: Any, jit: Jit) -> list[Any]:
    def f(xs: Any) -> Any:
        sums = lib.new_ref(lib.np.zeros_like(xs))
        for i in range(5):
            sums[i] = xs[i] + (sums[i - 1] if i else np.float32(0))
        return lib.freeze(sums)

    return [jit(f)(FIVE)]


def functions_of_the_module(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f(x: Any) -> Any:
        old = lib.ref.swap(ref, slice(1, 3), lib.np.stack([x, x + 1]))
        lib.ref.set(ref, 0, x * 7)
        lib.ref.addupdate(ref, 3, x)
        lib.ref.addupdate(ref, np.array([4, 4]), lib.np.stack([x, x]))
        return old, lib.ref.get(ref, slice(2, 5))

    return [*jit(f)(np.float32(2.0)), ref[...]]


def jit_in_jit(lib: Any, jit: Jit) -> list[Any]:
    count, total = lib.new_ref(np.int32(0)), lib.new_ref(np.float32(0.0))

    def inner(ref: Any, x: Any) -> Any:
        ref[...] += x
        count[...] += 1
        return ref[...] * 2

    g = jit(inner)

    def outer(x: Any) -> Any:
        return g(total, x) + g(total, x + 1)

    h = jit(outer)
    return [h(np.float32(1.0)), h(np.float32(2.0)), count[...], total[...]]


def matrix_by_index_arrays(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(np.arange(12, dtype=np.float32).reshape(3, 4))

    def f(i: Any, row: Any) -> Any:
        ref[0] = row
        ref[1, 2] = ref[2, 3]
        ref[i, :2] = row[:2] * 2
        ref[np.array([0, 2]), np.array([3, 0])] = row[2:4]
        return ref[:, 1], ref[np.array([0, 0, 1]), np.array([1, 2, 3])]

    return [*jit(f)(np.int32(1), np.full(4, 5.0, np.float32)), ref[...]]


def scan_closes_over(lib: Any, jit: Jit) -> list[Any]:
    ref, read, number = lib.new_ref(FIVE), lib.new_ref(np.float32(3.0)), lib.new_ref(np.int32(0))

    def f(x: Any) -> Any:
        def body(c: Any, i: Any) -> Any:
            ref[i] = ref[i] * c + read[...]
            number[...] += 1
            return c + 1, ref[i] - c

        return lib.lax.scan(body, x, np.arange(5, dtype=np.int32))

    g = jit(f)
    return [*g(np.float32(1.0)), *g(np.float32(2.0)), ref[...], read[...], number[...]]


def scan_backwards_in_scan(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(np.zeros((3, 2), np.float32))

    def f(x: Any) -> Any:
        def outer(c: Any, i: Any) -> Any:
            def inner(d: Any, j: Any) -> Any:
                ref[i, j] = d
                return d * 2, None

            c, _ = lib.lax.scan(inner, c, np.arange(2, dtype=np.int32))
            return c, ref[i].sum()

        return lib.lax.scan(outer, x, np.arange(3, dtype=np.int32), reverse=True)

    return [*jit(f)(np.float32(1.0)), ref[...]]


def scan_makes_its_own(lib: Any, jit: Jit) -> list[Any]:
    def f(xs: Any) -> Any:
        def body(c: Any, x: Any) -> Any:
            ref = lib.new_ref(c)
            ref[...] = ref[...] * 2 + x
            return ref[...], ref[...] - x

        return lib.lax.scan(body, np.float32(1.0) * xs[0], xs)

    return [*jit(f)(FIVE)]


def scan_over_a_reference(lib: Any, jit: Jit) -> list[Any]:
    table, total = lib.new_ref(np.arange(6, dtype=np.float32).reshape(3, 2)), lib.new_ref(np.float32(0.0))

    def f(x: Any) -> Any:
        def body(c: Any, row: Any) -> Any:
            part, y = row
            old = part[...]
            part[0] = old[1] + c
            part[...] = part[...] * y
            total[...] += y
            return c + 1, old

        return lib.lax.scan(body, x, (table, np.arange(3, dtype=np.float32)), reverse=True)

    return [*jit(f)(np.float32(2.0)), table[...], total[...]]


def map_writes(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f(xs: Any) -> Any:
        def one(i: Any) -> Any:
            ref[i] += 1
            return ref[i]

        return lib.lax.map(one, xs)

    return [jit(f)(np.array([0, 2, 2], np.int32)), ref[...]]


def fori_loop_over_references(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            ref[i] += c
            return c * 2

        return lib.lax.fori_loop(1, 4, body, x)

    g = jit(f)
    return [g(np.float32(1.0)), g(np.float32(1.0)), ref[...]]


def fori_loop_with_traced_bounds(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def f(n: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            ref[i] += 1
            return c + ref[i]

        return lib.lax.fori_loop(0, n, body, np.float32(0.0))

    return [jit(f)(np.int32(3)), ref[...]]


def while_loop_over_references(lib: Any, jit: Jit) -> list[Any]:
    ref, step = lib.new_ref(np.float32(1.0)), lib.new_ref(np.float32(3.0))

    def f(n: Any) -> Any:
        def body(c: Any) -> Any:
            ref[...] = ref[...] * step[...]
            return c + 1

        return lib.lax.while_loop(lambda c: c < n, body, n * 0)

    return [jit(f)(np.int32(3)), ref[...], step[...]]


def branches(lib: Any, jit: Jit) -> list[Any]:
    one, two = lib.new_ref(np.float32(0.0)), lib.new_ref(FIVE)

    def yes(x: Any) -> Any:
        one[...] = x
        return x + two[1]

    def no(x: Any) -> Any:
        two[1] = x
        return x

    g = jit(lambda p, x: lib.lax.cond(p, yes, no, x))
    results = []
    for pred in (True, False, True):
        results += [g(np.bool_(pred), np.float32(4.0 + pred)), one[...], two[...]]
    return results


def reference_as_operand_of_a_branch(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(np.float32(0.0))

    def add(r: Any, x: Any) -> None:
        r[...] += x

    g = jit(lambda p, x: lib.lax.cond(p, add, lambda r, x: None, ref, x))
    g(np.bool_(True), np.float32(4.0))
    first = ref[...]
    g(np.bool_(False), np.float32(4.0))
    return [first, ref[...]]


def switches(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(FIVE)

    def write(i: int) -> Any:
        def branch(x: Any) -> Any:
            ref[i] = x
            return ref[i] + i

        return branch

    g = jit(lambda i, x: lib.lax.switch(i, [write(0), write(1), lambda x: x], x))
    return [*[g(np.int32(i), np.float32(10.0 + i)) for i in (2, 0, 1)], ref[...]]


def checkpointed(lib: Any, jit: Jit) -> list[Any]:
    ref = lib.new_ref(np.float32(1.0))

    def f(x: Any) -> Any:
        ref[...] = x * ref[...]
        return ref[...] + 1

    g = jit(lib.checkpoint(f))
    return [g(np.float32(2.0)), g(np.float32(3.0)), ref[...]]


PROGRAMS = {
    f.__name__: f
    for f in (
        reading_and_writing, reference_as_argument, two_references_change_places, results_are_not_overwritten, made_inside,
        functions_of_the_module, jit_in_jit, matrix_by_index_arrays, scan_closes_over, scan_backwards_in_scan,
        scan_makes_its_own, scan_over_a_reference, map_writes, fori_loop_over_references, fori_loop_with_traced_bounds, while_loop_over_references,
        branches, reference_as_operand_of_a_branch, switches, checkpointed,
    )
}  # fmt: skip
