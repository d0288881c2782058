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
    # Under a map over no examples a gather took slices of one example from none; so did scatters write them.
    "seed 0, chunk 10": from_text(
        [Input("a", "i", (0, 2, 2), "array")],
        """
        def f(a):
            b = a[:, 0]
            def f1(c):
                d = c % 5
                return d[d % 2]
            e = vmap(f1, in_axes=(0,), out_axes=0)(b)
            return e
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    ),
    "seed 0, chunk 59": from_text(
        [Input("a", "i", (2, 2, 0), "array"), Input("b", "f", (0, 2), "array")],
        """
        def f(a, b):
            def f0(c):
                d = np.bincount(np.ravel(np.abs(c)) % 3, length=3)
                return d
            e = vmap(f0, in_axes=(2,), out_axes=0)(a)
            def f1(g, h):
                i = updated(h, g % 2, 'multiply', 2)
                return i[g % 2]
            j = vmap(f1, in_axes=(0, 0))(np.sum(a, axis=0).T, b)
            return (e, j)
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    ),
    # A tangent made while tracing was strongly typed where the same one, made eagerly, was weakly typed as its primal.
    "seed 0, chunk 107": from_text(
        [Input('a', 'f', (), 'number')],
        """
        def f(a):
            def f1(b):
                def f0(c):
                    d = np.power(np.square(c) + 0.5, np.sin(c))
                    return d
                e = jit(f0)(b)
                return e
            f_, g = jvp(f1, (a,), (np.cos(a),))
            return g
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # The second derivative of logaddexp was 0 where both operands are equal.
    "seed 0, chunk 151": from_text(
        [Input('a', 'f', (1,), 'array')],
        """
        def f(a):
            b = lax.custom_linear_solve(lambda v: (1.5 + np.square(np.asarray(a, Float))) * v, np.asarray(a, Float), lambda matvec, r: r / (1.5 + np.square(np.asarray(a, Float))), symmetric=True)
            c = -b
            def f1(d):
                def f0(e, f_):
                    g = np.logaddexp(f_, e)
                    return g
                h = vmap(f0, in_axes=(0, 0,), out_axes=0)(a, d)
                return np.sum(h)
            i = hessian(f1)(a)
            return i
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=2, choice=0,
    ),
    # A custom_vmap function inside another one was differentiated forwards, and gave a tangent of zeros that was an array.
    "seed 0, chunk 178": from_text(
        [Input('a', 'f', (2,), 'array'), Input('b', 'f', (2, 2), 'array')],
        """
        def f(a, b):
            def f3(c):
                def f2(d):
                    def f1(e):
                        def f0(f_):
                            g = -f_
                            return np.sum(g)
                        h = grad(f0)(e)
                        return h
                    custom2 = custom_vmap(f1)
                    custom2.def_vmap(lambda size, mapped, *args: (vmap(f1, tuple(0 if m else None for m in mapped))(*args), True))
                    i = custom2(c)
                    return i
                j = vmap(f2, in_axes=(0,), out_axes=0)(c)
                return j
            custom4 = custom_vmap(f3)
            custom4.def_vmap(lambda size, mapped, *args: (vmap(f3, tuple(0 if m else None for m in mapped))(*args), True))
            k = custom4(b)
            return k
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # A custom_vmap function was differentiated forwards where only its reverse derivative was wanted, so custom_vjp failed.
    "seed 0, chunk 190": from_text(
        [Input('a', 'f', (2,), 'array')],
        """
        def f(a):
            def f3(b):
                def f2(c):
                    def f1(d, carry):
                        (e,) = carry
                        f_ = -e
                        def f0(g):
                            h = -g
                            return h
                        custom1 = custom_vjp(f0)
                        custom1.defvjp(lambda *args: (f0(*args), args), lambda args, cotangent: vjp(f0, *args)[1](cotangent))
                        i = custom1(e)
                        return (i,)
                    (j,) = lax.fori_loop(0, 2, f1, (c,))
                    return j
                k = jit(f2)(b)
                return k
            custom4 = custom_vmap(f3)
            custom4.def_vmap(lambda size, mapped, *args: (vmap(f3, tuple(0 if m else None for m in mapped))(*args), True))
            l = custom4(a)
            return l
        """,
        wide=True, mixed=False, forward=False, reverse=True, order=1, choice=0,
    ),
    # The checker's own: a comparison of a Python number is Python's bool where nothing is traced.
    "comparison of a number, seed 2711, chunk 0": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "f", (), "number")],
        """
        def f(a, b):
            c = b > 0.123
            return (a, c)
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=0, choice=0,
    ),
    # Where a program within a rule was divided, the later half had a loop that computed primal values again beside tangents.
    "scan under jit in a rule, seed 2711, chunk 7": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "i", (2,), "array")],
        """
        def f(a, b):
            def f2(c):
                def f1(d):
                    def f0(carry, row):
                        (e, f_,) = carry
                        (g,) = row
                        h = -g
                        i = np.broadcast_to(h * 0.4, (2,))
                        return (f_, i,), ()
                    (j, k,), _ = lax.scan(f0, (d, d,), (d,))
                    l = k @ k
                    return l
                m = jit(f1)(c)
                return m
            custom3 = custom_jvp(f2)
            custom3.defjvp(lambda primals, tangents: jvp(f2, primals, tangents))
            n = custom3(a)
            return n
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # The same where loops are nested: the later half of the outer one had the inner one whole.
    "scan of scans in a rule, seed 2711, chunk 18": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f2(b):
                c = -b
                def f1(carry, row):
                    (d,) = carry
                    (e,) = row
                    def f0(carry, row):
                        (f_,) = carry
                        (g,) = row
                        h = np.einsum('...i,...i->...', f_, f_)
                        i = np.broadcast_to(h * 0.4, (2,))
                        return (i,), ()
                    (j,), _ = lax.scan(f0, (d,), (d,))
                    return (j,), ()
                (k,), _ = lax.scan(f1, (c,), (c,))
                return k
            custom3 = custom_jvp(f2)
            custom3.defjvp(lambda primals, tangents: jvp(f2, primals, tangents))
            l = custom3(a)
            return l
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # An update of a weakly typed array was strongly typed where the index was known, and weakly typed where it was not.
    "update of a weak array, seed 2712, chunk 13": from_text(
        [Input("a", "f", (), "number"), Input("b", "i", (), "number")],
        """
        def f(a, b):
            (f_, g,), (h,) = lax.scan(lambda c, r: ((-c[1], -c[1]), (-c[1],)), (a, a,), None, length=2)
            s = updated(h, b % 2, 'set', 0.5)
            return s
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # The checker's own: the same as "comparison of a number", stacked by a loop.
    "comparison of a number in a scan, seed 2712, chunk 185": from_text(
        [Input("a", "f", (), "number"), Input("b", "f", (2,), "array")],
        """
        def f(a, b):
            def f4(carry, row):
                z = a > 0.123
                return (z,), (z,)
            (aa,), (ab,) = lax.scan(f4, (b[0] > 0,), (b,))
            return ab
        """,
        wide=True, mixed=False, forward=True, reverse=False, order=1, choice=0,
    ),
    # A rule under vmap got the whole cotangent of a sum over the axis, once for each example, and summed it again.
    "sum over an axis in a rule, seed 1927, chunk 5": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f2(h):
                def f1(i):
                    j = lax.psum(i, "axis0")
                    return j
                custom2 = custom_vjp(f1)
                custom2.defvjp(lambda *args: (f1(*args), args), lambda args, cotangent: vjp(f1, *args)[1](cotangent))
                k = custom2(h)
                return k
            l = vmap(f2, in_axes=(0,), out_axes=0, axis_name="axis0")(a)
            return l
        """,
        wide=True, mixed=False, forward=False, reverse=True, order=3, choice=0,
    ),
    # The oracle's own: it combined before it cast what does not fit the array.
    "minimum of truth values and a number, seed 2712, chunk 21": from_text(
        [Input("a", "i", (2,), "array")],
        """
        def f(a):
            m = a > 1
            o = updated(m, a % 2, 'min', -1.3)
            return o
        """,
        wide=True, mixed=True, forward=True, reverse=True, order=0, choice=0,
    ),
    # A result without elements, the first of its dtype, had no place in the pieces of memory that a program returns.
    "seed 4713, chunk 2": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "f", (2,), "array")],
        """
        def f(a, b):
            c = np.asarray(np.floor(np.sum(b) * 1.3), Int) % 4
            def f1(d):
                e = -d
                def f0(f_):
                    g = -f_
                    h = -g
                    return h
                lin1 = linearize(f0, e)[1]
                i = lin1(np.cos(e))
                (j,) = linear_transpose(lin1, e)(np.cos(i))
                k = np.ones((0, 2))
                return np.asarray(k, Float)
            l = lax.switch(c, [f1], b)
            return l
        """,
        wide=True, mixed=True, forward=True, reverse=True, order=1, choice=0,
    ),
    # Loops of derivatives carry known values beside tangents; they were taken for linear.
    "seed 2811, chunk 108": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f5(b):
                c_ = np.sum(b) > 0.123
                def f0(d):
                    e = 0.7
                    return np.asarray(e, Float)
                def f4(f_):
                    def f1(g_):
                        h = -g_
                        i_ = -h
                        j = -i_
                        return j
                    k, l = jvp(f1, (f_,), (np.cos(f_),))
                    def f3(m_):
                        def f2(carry):
                            (n, o, p,) = carry
                            q = 0.7
                            r_ = -q
                            return (n + 1, np.asarray(p, Float), np.asarray(p, Float),)
                        (s, t, u_,) = lax.while_loop(lambda state: state[0] < 2, f2, (0, np.asarray(m_, Float), np.asarray(m_, Float),), max_steps=4)
                        v_ = np.fmax(t, u_)
                        w = -v_
                        return w
                    x_, y_ = jvp(f3, (l,), (np.cos(l),))
                    z = -y_
                    aa = np.sum(z) * 0.4
                    return np.asarray(aa, Float)
                ab = lax.cond(c_, f0, f4, b)
                return ab
            lin6 = lambda *v: jvp(f5, (a,), v)[1]
            ac = lin6(np.cos(a))
            (ad,) = linear_transpose(lin6, a)(np.cos(ac))
            return ad
        """,
        wide=True, mixed=True, forward=True, reverse=True, order=2, choice=0,
    ),
    "seed 2811, chunk 186": from_text(
        [Input("a", "f", (2,), "array")],
        """
        def f(a):
            def f2(b):
                def f1(carry):
                    (c_, d, e,) = carry
                    def f0(f_):
                        g_ = -f_
                        h = -g_
                        return h
                    i_ = jit(f0)(e)
                    j = -i_
                    return (c_ + 1, j, j,)
                (k, l, m_,) = lax.while_loop(lambda state: state[0] < 2, f1, (0, b, b,), max_steps=4)
                n = np.sin(m_)
                o = -n
                return o
            lin3 = lambda *v: jvp(f2, (a,), v)[1]
            p = lin3(np.cos(a))
            (q,) = linear_transpose(lin3, a)(np.cos(p))
            return q
        """,
        wide=True, mixed=False, forward=True, reverse=True, order=1, choice=0,
    ),
    # A loop whose body does not divide gave primal results that were on the tape.
    "seed 2911, chunk 13": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "f", (2,), "array")],
        """
        def f(a, b):
            def f3(c_):
                d = -c_
                e = np.asarray(np.floor(np.sum(d) * 1.3), Int) % 4
                def f2(f_, carry):
                    (g_,) = carry
                    def f1(h):
                        def f0(i_):
                            j = -i_
                            return j
                        custom1 = custom_vmap(f0)
                        custom1.def_vmap(lambda size, mapped, *args: (vmap(f0, tuple(0 if m else None for m in mapped))(*args), True))
                        k = custom1(h)
                        return k
                    l, m_ = jvp(f1, (g_,), (np.cos(g_),))
                    return (np.asarray(m_, Float),)
                (n,) = lax.fori_loop(0, np.abs(e) % 4, f2, (np.asarray(d, Float),))
                return n
            o = jit(f3)(b)
            return o
        """,
        wide=True, mixed=True, forward=True, reverse=False, order=1, choice=0,
    ),
    # Neither operand of a minimum had the derivative where the compiler rounded a sum of a product once, and once not.
    "seed 2912, chunk 55": from_text(
        [Input("a", "f", (2,), "array"), Input("b", "f", (2,), "array"), Input("c_", "f", (2,), "array")],
        """
        def f(a, b, c_):
            def f2(d):
                def f1(e):
                    f_ = -e
                    def f0(g_):
                        h = -g_
                        return h
                    i_ = jit(f0)(f_)
                    return i_
                j = -d
                k = j * d
                return k
            custom3 = custom_vjp(f2)
            custom3.defvjp(lambda *args: (f2(*args), args), lambda args, cotangent: vjp(f2, *args)[1](cotangent))
            l = custom3(c_)
            m_ = -c_
            n = -m_
            o = l + 0.5
            p = np.minimum(o, n)
            return p
        """,
        wide=True, mixed=False, forward=False, reverse=True, order=2, choice=0,
    ),
}  # fmt: skip

PROGRAMS = EARLY | FOUND


@pytest.mark.parametrize("route", dict.fromkeys(ROUTES))
@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, route: str) -> None:
    program: Program = PROGRAMS[name]
    Check(program, route).run()
