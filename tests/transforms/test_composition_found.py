"""Programs that failed once, as the composition test printed them, with the seed that drew them.

Invariant: nothing here is left out because it is like another one: each was a bug of its own. `composition.py` says how to
read a seed; a later version of the generator may draw another program from it.
"""

from __future__ import annotations

import pytest

from tests.transforms.checking import ROUTES, Check, from_text
from tests.transforms.programs import Input, Program

pytestmark = pytest.mark.cpu

# Found while the generator was being written, when a seed was one program.
EARLY = {
    # The index of a loop whose upper bound is traced was strongly typed, and weakly typed if the bound was known.
    "fori_loop index, seed 97": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "i", (), "array")],
        """
        def f(a, b):
            def f0(c, carry):
                (d, e,) = carry
                return (np.asarray(a, Float), c,)
            (g, h,) = lax.fori_loop(0, np.abs(b) % 4, f0, (np.asarray(a, Float), b,))
            return h
        """,
        wide=True, mixed=False, forward=True, reverse=False, order=0, choice=4336,
    ),
    # The diagonal of matrices without elements was a gather of slices larger than what they were taken from.
    "trace of empty matrices, seed 103, chunk 0": from_text(
        [Input("a", "c", (0, 2, 1), "array"), Input("b", "f", (0, 0), "array")],
        """
        def f(a, b):
            c = np.trace(a)
            d = np.trace(b)
            return (c, d)
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=1919,
    ),
}  # fmt: skip

FOUND = {
    # A rule of a batched function did not expect the constants that the function's program had captured.
    "seed 100, chunk 0": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f0(b):
                c = np.array([0.3, -1.2])
                return np.sum(c) * np.sin(b)
            custom1 = custom_jvp(f0)
            custom1.defjvp(lambda primals, tangents: jvp(f0, primals, tangents))
            d = jit(vmap(custom1))(a)
            return d
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=1038,
    ),
    "seed 100, chunk 0, the same with custom_vjp": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f0(b):
                c = np.array([0.3, -1.2])
                return np.sum(c) * np.sin(b)
            custom1 = custom_vjp(f0)
            custom1.defvjp(lambda *args: (f0(*args), args), lambda args, cotangent: vjp(f0, *args)[1](cotangent))
            d = jit(vmap(custom1))(a)
            return d
        """,
        wide=True, mixed=False, forward=False, reverse=True, order=1, choice=1038,
    ),
    # A call of a custom_vmap function in a program stayed whole where only its tangents were unknown.
    "seed 22, chunk 7": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f2(b):
                c = 0.7
                d = np.asarray(np.floor(c * 1.3), Int) % 4
                def f1(carry):
                    (e, g,) = carry
                    def f0(h):
                        i = -h
                        return i
                    custom1 = custom_vmap(f0)
                    custom1.def_vmap(lambda size, mapped, *args: (vmap(f0, tuple(0 if m else None for m in mapped))(*args), True))
                    j = custom1(g)
                    return (e + 1, j,)
                (k, l,) = lax.while_loop(lambda state: state[0] < np.abs(d) % 4, f1, (0, b,))
                return l
            custom3 = custom_jvp(f2)
            custom3.defjvp(lambda primals, tangents: jvp(f2, primals, tangents))
            m = custom3(a)
            return m
        """,
        wide=True, mixed=False, forward=True, reverse=False, order=1, choice=0,
    ),
    # The value of a custom_vmap function that calls jit was a tracer of the linearisation, leaked.
    "seed 31, chunk 5": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f1(c):
                def f0(d):
                    e = -d
                    return e
                g = jit(f0)(c)
                return g
            custom2 = custom_vmap(f1)
            custom2.def_vmap(lambda size, mapped, *args: (vmap(f1, tuple(0 if m else None for m in mapped))(*args), True))
            h = custom2(a)
            return h
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    ),
    # A custom_vmap function inside another one was not a program yet when its rule for tangents was asked to divide it.
    "seed 0, chunk 32": from_text(
        [Input("a", "f", (), "array")],
        """
        def f(a):
            def f1(d):
                def f0(e):
                    g = -e
                    return g
                custom1 = custom_vmap(f0)
                custom1.def_vmap(lambda size, mapped, *args: (vmap(f0, tuple(0 if m else None for m in mapped))(*args), True))
                h = custom1(d)
                return h
            custom2 = custom_vmap(f1)
            custom2.def_vmap(lambda size, mapped, *args: (vmap(f1, tuple(0 if m else None for m in mapped))(*args), True))
            i = custom2(a)
            return i
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    ),
    "seed 0, chunk 52": from_text(
        [Input("a", "f", (2, 2, 0), "array")],
        """
        def f(a):
            def f1(b):
                c = np.linspace(0, 1, 2) * np.sum(b)
                def f0(d):
                    g = -d
                    return g
                custom1 = custom_vmap(f0)
                custom1.def_vmap(lambda size, mapped, *args: (vmap(f0, tuple(0 if m else None for m in mapped))(*args), True))
                h = custom1(c)
                return h
            custom2 = custom_jvp(f1)
            custom2.defjvp(lambda primals, tangents: jvp(f1, primals, tangents))
            i = custom2(a)
            return i * i
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=2,
    ),
}  # fmt: skip

PROGRAMS = EARLY | FOUND


@pytest.mark.parametrize("route", dict.fromkeys(ROUTES))
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, route: str) -> None:
    program: Program = PROGRAMS[name]
    Check(program, route).run()
