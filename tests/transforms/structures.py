"""The transformations and the control flow that random programs are made of.

Invariant: each draws the functions that it needs and one statement that calls them, or raises `Rejected`; what it returns
has the kinds and shapes that it gives to `Maker.bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.transforms.programs import (
    LARGEST,
    Maker,
    Rejected,
    Structure,
    Var,
    tuple_always,
    tuple_text,
)

STRUCTURES: list[Structure] = []
POLICIES = ("dots_saveable", "everything_saveable", "dots_with_no_batch_dims_saveable")


def structure(
    feature: str = "", weight: int = 1, when: Callable[[Maker], bool] = lambda m: True
) -> Callable[[Callable[[Maker], None]], Callable[[Maker], None]]:
    """Declare a structure, possible if anima has `feature`; `weight` times as likely as others."""

    def declare(draw: Callable[[Maker], None]) -> Callable[[Maker], None]:
        entry = Structure(draw, lambda m: (not feature or feature in m.features) and when(m))
        STRUCTURES.extend([entry] * weight)
        return draw

    return declare


def _arguments(m: Maker, kinds: str = "fcib", most: int = 2, largest: int = LARGEST) -> list[Var]:
    found: list[Var] = []
    for _ in range(1 + m.number(most)):
        v = m.pick(kinds, lambda v: v.size <= largest)
        if v not in found:
            found.append(v)
    return found


def _types(variables: Sequence[Var]) -> list[tuple[str, tuple[int, ...]]]:
    return [(v.kind, v.shape) for v in variables]


def _names(variables: Sequence[Var]) -> str:
    return ", ".join(v.name for v in variables)


def _returning(
    m: Maker, args: Sequence[Var], kinds: str = "fcib", most: int = 2, largest: int = LARGEST, **context: Any
) -> tuple[str, list[Var]]:
    """A function of the arguments' types that returns anything, and what."""
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(kinds, most, largest))
        return tuple_text([v.name for v in results])

    return m.define(_types(args), result, **context), results


@structure(weight=2)
def _jit(m: Maker) -> None:
    args = _arguments(m)
    name, results = _returning(m, args)
    how = m.choose(("", "", ", inline=True"))
    m.bind(_types(results), f"jit({name}{how})({_names(args)})")


@structure("checkpoint", weight=2)
def _checkpoint(m: Maker) -> None:
    args = _arguments(m)
    name, results = _returning(m, args)
    policy = m.choose(("", "", "prevent_cse=False", *(f"policy=checkpoint_policies.{p}" for p in POLICIES)))
    m.bind(_types(results), f"checkpoint({name}{', ' if policy else ''}{policy})({_names(args)})")


@structure(weight=4)
def _vmap(m: Maker) -> None:
    mapped = m.pick(wanted=lambda v: bool(v.shape))
    first = m.number(len(mapped.shape))
    size = mapped.shape[first]
    args, axes = [mapped], [str(first - len(mapped.shape) if m.maybe(4) else first)]
    types = [(mapped.kind, mapped.shape[:first] + mapped.shape[first + 1 :])]
    for _ in range(m.number(3)):
        v = m.pick()
        places = [None, *[i for i, n in enumerate(v.shape) if n == size]]
        axis = m.choose(places[::-1])
        args.append(v)
        axes.append(str(axis))
        types.append((v.kind, v.shape if axis is None else v.shape[:axis] + v.shape[axis + 1 :]))
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(largest=LARGEST // max(size, 1)))
        return tuple_text([v.name for v in results])

    axis = f"axis{m.depth}" if "collectives" in m.features and m.maybe(4) else ""
    name = m.define(types, result, axis=(axis, size) if axis else None)
    outs = [m.number(len(v.shape) + 1) for v in results]
    shown = [i - len(v.shape) - 1 if m.maybe(4) else i for i, v in zip(outs, results)]
    in_axes = f"in_axes={tuple_always(axes)}"
    out_axes = f"out_axes={tuple_text(list(map(str, shown)))}"
    found = [(v.kind, (*v.shape[:i], size, *v.shape[i:])) for v, i in zip(results, outs)]
    more = f', axis_name="{axis}"' if axis else ""
    m.bind(found, f"vmap({name}, {in_axes}, {out_axes}{more})({_names(args)})")


_COLLECTIVES = (
    ("fci", "lax.psum({a}, {axis})"),
    ("fc", "lax.pmean({a}, {axis})"),
    ("fi", "lax.pmax({a}, {axis})"),
    ("fi", "lax.pmin({a}, {axis})"),
    ("fc", "{a} - lax.pmean(np.sin(np.real({a})), {axis})"),
    ("fc", "np.sum(lax.all_gather({a}, {axis}), axis=0)"),
    ("fc", "np.cumsum(lax.all_gather({a}, {axis}), axis=0)[0]"),
    ("fcib", "lax.ppermute({a}, {axis}, [(0, 1), (1, 0)])"),
    ("fc", "{a} * lax.axis_index({axis})"),
    ("fc", "{a} / lax.psum(1, {axis})"),
)


@structure("collectives", weight=6, when=lambda m: bool(m.axes))
def _collective(m: Maker) -> None:
    kinds, text = m.choose(_COLLECTIVES)
    a = m.pick(kinds)
    if "ppermute" in text and "ppermute" not in m.features:
        raise Rejected
    name, size = m.choose(m.axes[::-1])
    if "ppermute" in text and size != 2:
        raise Rejected
    if "[0]" in text and size == 0:  # there is no first one
        raise Rejected
    m.highest = 3  # NumPy cannot follow
    m.bind(_types([a]), text.format(a=a.name, axis=f'"{name}"'))


def _scalar(m: Maker) -> str:
    """A real scalar that depends on a recent value."""
    v = m.pick("fc", lambda v: v.size > 0) if any(v.kind in "fc" for v in m.scope) else m.exactly("f", ())
    text = f"np.real({v.name})" if v.kind == "c" else v.name
    return f"np.sum({text})" if v.shape else text


@structure(weight=4, when=lambda m: m.order < 2)
def _grad(m: Maker) -> None:
    first = m.pick("fc", lambda v: v.size <= 6)
    args = [first, *[m.pick(wanted=lambda v: v.size <= 12) for _ in range(m.number(2))]]
    both = len(args) == 2 and args[1].kind in "fc" and args[1].size <= 6 and m.maybe(2)
    form = m.choose(("grad", "value_and_grad", "aux"))
    aux: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        scalar = _scalar(m)
        if form != "aux":
            return scalar
        aux.extend(m.results(most=1))
        return f"({scalar}, {aux[0].name})"

    name = m.define(_types(args), result, reverse=True, order=1)
    grads = _types(args[: 1 + both])
    pattern = "({}, {})" if both else "{}"
    how = ", argnums=(0, 1)" if both else ""
    if form == "grad":
        m.bind(grads, f"grad({name}{how})({_names(args)})", pattern)
    elif form == "aux":
        call = f"grad({name}{how}, has_aux=True)({_names(args)})"
        m.bind([*grads, *_types(aux)], call, f"{pattern}, {{}}")
    else:
        call = f"value_and_grad({name}{how})({_names(args)})"
        m.bind([("f", ()), *grads], call, f"{{}}, {pattern}")


@structure(weight=2, when=lambda m: m.order < 3 and m.forward)
def _jvp(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args, "fc", forward=True, order=1)
    if not m.forward:
        raise Rejected
    primals = tuple_always([v.name for v in args])
    tangents = tuple_always([f"np.cos({v.name})" for v in args])
    pattern = tuple_text(["{}"] * len(results))
    m.bind(
        [*_types(results), *_types(results)], f"jvp({name}, {primals}, {tangents})", f"{pattern}, {pattern}"
    )


@structure(when=lambda m: m.order < 3 and m.forward)
def _linearize(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args, "fc", forward=True, order=1)
    if not m.forward:
        raise Rejected
    pattern = tuple_text(["{}"] * len(results))
    lin = f"lin{m.functions}"
    m.bind(_types(results), f"linearize({name}, {_names(args)})", f"{pattern}, {lin}")
    m.bind(_types(results), f"{lin}({', '.join(f'np.cos({v.name})' for v in args)})", pattern)


@structure(when=lambda m: m.order < 2)
def _vjp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    name, results = _returning(m, args, "fc", reverse=True, order=1)
    pull = f"pull{m.functions}"
    values = m.bind(
        _types(results), f"vjp({name}, {_names(args)})", f"{tuple_text(['{}'] * len(results))}, {pull}"
    )
    cts = tuple_text([f"np.cos({v.name})" for v in values])
    m.bind(_types(args), f"{pull}({cts})", tuple_always(["{}"] * len(args)))


@structure(weight=2, when=lambda m: m.order < 2 and m.forward)
def _transposed_derivative(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    name, results = _returning(m, args, "fc", forward=True, reverse=True, order=1)
    if not m.forward:
        raise Rejected
    primals = tuple_always([v.name for v in args])
    linearized = f"linearize({name}, {_names(args)})[1]"
    linear = m.choose((linearized, f"jit({linearized})", f"lambda *v: jvp({name}, {primals}, v)[1]"))
    _transposed(m, linear, args, _types(results))


@structure(when=lambda m: m.order < 1)
def _transposed_pullback(m: Maker) -> None:
    args = _arguments(m, "fc", largest=4)
    name, results = _returning(m, args, "fc", largest=4, reverse=True, order=2)
    forward = m.bind(_types(results), f"{name}({_names(args)})", tuple_text(["{}"] * len(results)))
    linear = f"lambda *c: vjp({name}, {_names(args)})[1](c{'[0]' if len(results) == 1 else ''})"
    _transposed(m, linear, forward, _types(args), tuple_always)


@structure()
def _transposed_function(m: Maker) -> None:
    x = m.pick("fc", lambda v: v.size <= 9)
    found: list[Var] = []

    def statements(variables: Sequence[Var]) -> None:
        found.extend(variables)
        for _ in range(1 + m.number(3)):
            found.append(m.linear(found[-1]))

    name = m.define(_types([x]), lambda _: found[-1].name, statements=statements, reverse=True)
    _transposed(m, name, [x], _types(found[-1:]))


def _transposed(
    m: Maker,
    linear: str,
    args: Sequence[Var],
    types: Sequence[tuple[str, tuple[int, ...]]],
    packed: Callable[[Sequence[str]], str] = tuple_text,
) -> None:
    """Call a linear function with results of these types, put together as `packed` says, and its transpose."""
    lin = f"lin{m.functions}"
    m.body.append(f"{lin} = {linear}")
    pattern = packed(["{}"] * len(types))
    values = m.bind(types, f"{lin}({', '.join(f'np.cos({v.name})' for v in args)})", pattern)
    transpose = f"linear_transpose({lin}, {_names(args)})"
    call = m.choose((transpose, f"jit({transpose})"))
    cts = packed([f"np.cos({v.name})" for v in values])
    m.bind(_types(args), f"{call}({cts})", tuple_always(["{}"] * len(args)))


@structure(when=lambda m: m.order < 2 and m.forward)
def _jacobian(m: Maker) -> None:
    which = m.choose(("jacrev", "jacfwd", "hessian"))
    x = m.pick("f", lambda v: v.size <= 4)
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        if which == "hessian":
            return _scalar(m)
        results.extend(m.results("f", most=1, largest=4))
        return results[0].name

    context: dict[str, Any] = dict(forward=which != "jacrev", reverse=which != "jacfwd")
    name = m.define(_types([x]), result, order=2 if which == "hessian" else 1, **context)
    if not m.forward and which != "jacrev":
        raise Rejected
    out = (*x.shape, *x.shape) if which == "hessian" else (*results[0].shape, *x.shape)
    m.bind([("f", out)], f"{which}({name})({x.name})")


def _carry(m: Maker) -> list[tuple[Var, str]]:
    """What a loop carries, and as what text each starts."""
    chosen = []
    for _ in range(1 + m.number(2)):
        v = m.pick(wanted=lambda v: v.size <= 9)
        chosen.append((v, m.typed(v)))
    return chosen


def _next(m: Maker, carry: Sequence[tuple[Var, str]]) -> list[str]:
    """The texts of the carry's next values."""
    return [m.typed(m.exactly(v.kind, v.shape)) for v, _ in carry]


@structure(weight=4)
def _scan(m: Maker) -> None:
    carry = _carry(m)
    rows: list[Var] = []
    if m.number(4) < 3 and any(v.shape for v in m.scope):
        rows.append(m.pick(wanted=lambda v: bool(v.shape)))
        if m.maybe(3):
            rows.append(m.pick(wanted=lambda v: v.shape[:1] == rows[0].shape[:1]))
    length = rows[0].shape[0] if rows else m.choose((2, 1, 3, 0))
    ys: list[Var] = []

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        c, x = tuple_always(names[: len(carry)]), tuple_always(names[len(carry) :])
        return "carry, row", [f"{c} = carry", *([f"{x} = row"] if rows else [])]

    def result(_: Sequence[Var]) -> str:
        after = _next(m, carry)
        if m.maybe(2):
            ys.extend(m.results(largest=9))
        return f"{tuple_always(after)}, {tuple_always([v.name for v in ys])}"

    types = [*_types([v for v, _ in carry]), *[(v.kind, v.shape[1:]) for v in rows]]
    name = m.define(types, result, head)
    if "checkpoint" in m.features and m.maybe(4):
        name = f"checkpoint({name})"
    how = m.choose(("", ", reverse=True", ", unroll=2", ", unroll=True"))
    xs = tuple_always([v.name for v in rows]) if rows else f"None, length={length}"
    call = f"lax.scan({name}, {tuple_always([t for _, t in carry])}, {xs}{how})"
    found = [*_types([v for v, _ in carry]), *[(v.kind, (length, *v.shape)) for v in ys]]
    left = f"{tuple_always(['{}'] * len(carry))}, {tuple_always(['{}'] * len(ys)) if ys else '_'}"
    m.bind(found, call, left)


@structure(weight=2)
def _cond(m: Maker) -> None:
    count = m.choose((2, 2, 3, 1))
    args = _arguments(m)
    index = m.exactly("b" if count == 2 else "i", ())
    results: list[Var] = []

    def first(_: Sequence[Var]) -> str:
        results.extend(m.results())
        return tuple_text([f"np.asarray({v.name}, {m.dtypes[v.kind]})" for v in results])

    def other(_: Sequence[Var]) -> str:
        made = [m.exactly(v.kind, v.shape) for v in results]
        return tuple_text([f"np.asarray({v.name}, {m.dtypes[v.kind]})" for v in made])

    names = [m.define(_types(args), first if i == 0 else other) for i in range(count)]
    if count == 2:
        m.bind(_types(results), f"lax.cond({index.name}, {names[0]}, {names[1]}, {_names(args)})")
    else:
        m.bind(_types(results), f"lax.switch({index.name}, [{', '.join(names)}], {_names(args)})")


@structure(weight=2)
def _fori(m: Maker) -> None:
    carry = _carry(m)
    bound = m.choose(("2", "3", "1", "0"))
    steps = ""
    bounded = "max_steps" in m.features and m.number(2)
    if (bounded or not m.under_reverse) and m.maybe(3):
        bound = f"np.abs({m.exactly('i', ()).name}) % 4"
        steps = m.choose((", max_steps=4", ", max_steps=3")) if bounded else ""
        m.reverse &= bool(bounded)

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        return f"{names[0]}, carry", [f"{tuple_always(names[1:])} = carry"]

    name = m.define(
        [("i", ()), *_types([v for v, _ in carry])], lambda _: tuple_always(_next(m, carry)), head
    )
    call = f"lax.fori_loop(0, {bound}, {name}, {tuple_always([t for _, t in carry])}{steps})"
    m.bind(_types([v for v, _ in carry]), call, tuple_always(["{}"] * len(carry)))


@structure(weight=2, when=lambda m: not m.under_reverse or "max_steps" in m.features)
def _while(m: Maker) -> None:
    bounded = "max_steps" in m.features and (m.under_reverse or m.number(2))
    m.reverse &= bool(bounded)
    carry = _carry(m)
    bound = m.choose(("2", "3", "0"))
    if m.maybe(2):
        bound = f"np.abs({m.exactly('i', ()).name}) % 4"
    test = f"state[0] < {bound}"
    if m.maybe(2):
        test = f"({test}) & (np.sum(np.real(state[1])) < 1.234)"

    def head(names: Sequence[str]) -> tuple[str, list[str]]:
        return "carry", [f"{tuple_always(names)} = carry"]

    def result(variables: Sequence[Var]) -> str:
        return tuple_always([f"{variables[0].name} + 1", *_next(m, carry)])

    name = m.define([("i", ()), *_types([v for v, _ in carry])], result, head)
    steps = m.choose((", max_steps=4", ", max_steps=3")) if bounded else ""
    call = (
        f"lax.while_loop(lambda state: {test}, {name}, {tuple_always(['0', *[t for _, t in carry]])}{steps})"
    )
    m.bind(
        [("i", ()), *_types([v for v, _ in carry])],
        call,
        tuple_always(["{}"] * (1 + len(carry))),
    )


@structure()
def _map(m: Maker) -> None:
    x = m.pick(wanted=lambda v: bool(v.shape))
    results: list[Var] = []

    def result(_: Sequence[Var]) -> str:
        results.extend(m.results(largest=9))
        return tuple_text([v.name for v in results])

    name = m.define([(x.kind, x.shape[1:])], result)
    how = m.choose(("", ", batch_size=2"))
    found = [(v.kind, (x.shape[0], *v.shape)) for v in results]
    m.bind(found, f"lax.map({name}, {x.name}{how})")


@structure()
def _associative(m: Maker) -> None:
    x = m.pick("f", lambda v: bool(v.shape))
    fun = m.choose(("np.add", "np.maximum", "lambda u, v: u + v + 0.1 * u * v", "np.logaddexp"))
    axis = m.number(len(x.shape))
    how = m.choose(("", ", reverse=True"))
    m.bind(_types([x]), f"lax.associative_scan({fun}, {x.name}, axis={axis}{how})")


@structure("custom_jvp")
def _custom_jvp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    name, results = _returning(m, args, "fc", sealed=True, forward=True, order=1)
    if not m.forward:
        raise Rejected
    made = f"custom{m.functions}"
    m.body += [
        f"{made} = custom_jvp({name})",
        f"{made}.defjvp(lambda primals, tangents: jvp({name}, primals, tangents))",
    ]
    m.bind(_types(results), f"{made}({_names(args)})")


@structure("custom_vjp", when=lambda m: not m.under_forward)
def _custom_vjp(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    m.forward = False
    name, results = _returning(m, args, "fc", sealed=True, reverse=True, order=1)
    made = f"custom{m.functions}"
    backward = f"lambda args, cotangent: vjp({name}, *args)[1](cotangent)"
    m.body += [
        f"{made} = custom_vjp({name})",
        f"{made}.defvjp(lambda *args: ({name}(*args), args), {backward})",
    ]
    m.bind(_types(results), f"{made}({_names(args)})")


@structure("custom_gradient", when=lambda m: not m.under_forward)
def _custom_gradient(m: Maker) -> None:
    args = _arguments(m, "fc", largest=6)
    m.forward = False
    name, results = _returning(m, args, "fc", sealed=True, reverse=True, order=1)
    first = "[0]" if len(args) == 1 else ""
    rule = f"lambda *args: ({name}(*args), lambda cotangent: vjp({name}, *args)[1](cotangent){first})"
    m.bind(_types(results), f"custom_gradient({rule})({_names(args)})")


@structure("custom_vmap")
def _custom_vmap(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args, sealed=True, unnamed=True)
    if m.maybe(2):
        m.bind(_types(results), f"sequential_vmap({name})({_names(args)})")
        return
    made = f"custom{m.functions}"
    batched = tuple_text(["True"] * len(results))
    m.body += [
        f"{made} = custom_vmap({name})",
        f"{made}.def_vmap(lambda size, mapped, *args: "
        f"(vmap({name}, tuple(0 if m else None for m in mapped))(*args), {batched}))",
    ]
    m.bind(_types(results), f"{made}({_names(args)})")


@structure("closure_convert")
def _closure_convert(m: Maker) -> None:
    args = _arguments(m, "fc")
    name, results = _returning(m, args)
    made = f"made{m.functions}"
    m.body.append(f"{made}, more = closure_convert({name}, {_names(args)})")
    m.bind(_types(results), f"{made}({_names(args)}, *more)")


@structure("custom_linear_solve")
def _linear_solve(m: Maker) -> None:
    b = m.pick("f")
    a = m.pick("f", lambda v: v.shape in ((), b.shape))
    factor = f"(1.5 + np.square(np.asarray({a.name}, Float)))"
    how = m.choose((", symmetric=True", f", lambda vecmat, r: r / {factor}"))
    solve = f"lambda matvec, r: r / {factor}"
    call = f"lax.custom_linear_solve(lambda v: {factor} * v, np.asarray({b.name}, Float), {solve}{how})"
    m.bind(_types([b]), call)


@structure("custom_root")
def _root(m: Maker) -> None:
    a = m.pick("f")
    newton = "lambda g, x0: lax.fori_loop(0, 40, lambda i, x: x - g(x) / (3 * x * x + 1), x0)"
    equation = f"lambda x: x ** 3 + x - {a.name}"
    call = f"lax.custom_root({equation}, np.asarray(0 * {a.name}, Float), {newton}, lambda g, y: y / g(np.ones_like(y)))"
    m.bind(_types([a]), call)
