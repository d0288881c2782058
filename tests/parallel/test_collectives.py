"""Collectives between four devices: each against NumPy on the array of all members, and its derivatives against those of `vmap`."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np

import anima
import anima.numpy
from anima import grad, jit, jvp, lax, shard_map, vmap
from tests.lax.members import ALL, Case, N, assert_close, numbers
from tests.parallel.several import Checks
from tests.parallel.support import P, X, equal, line, over, raises, same

checks = Checks(__name__)

CASES = {name: case for name, case in ALL.items() if name != "pcast"}


def on_devices(case: Case, check: bool) -> Any:
    """The case on four devices: of the array of all members, to that of their results."""
    return shard_map(
        lambda block: anima.numpy.expand_dims(case.call(block[0], "i"), 0),
        mesh=line(),
        in_specs=P("i"),
        out_specs=P("i"),
        check_vma=check,
    )


def operands(case: Case) -> tuple[Any, Any, Any]:
    """An array of all members, a tangent, and a cotangent."""
    x = numbers((N, *case.shape))
    return x, numbers(x.shape, 3), numbers(case.oracle(x).shape, 1)


@functools.cache
def results(how: str) -> dict[str, Any]:
    """The value, tangent and gradient of every case, all from one program: a compilation each would take a minute."""
    functions = {
        name: vmap(lambda x, case=case: case.call(x, "i"), axis_name="i")
        if how == "vmap"
        else on_devices(case, how == "checked")
        for name, case in CASES.items()
    }

    def every(given: dict[str, Any]) -> dict[str, Any]:
        found = {}
        for name, (x, t, w) in given.items():
            f = functions[name]
            slope = grad(lambda x, f=f, w=w: (anima.numpy.sin(f(x)) * w).sum())
            found[name] = f(x), jvp(f, (x,), (t,))[1], slope(x)
        return found

    outs: dict[str, Any] = jit(every)({name: operands(case) for name, case in CASES.items()})
    return outs


@checks.each(CASES)
def values_and_derivatives(name: str) -> None:
    case = CASES[name]
    want = results("vmap")[name]
    for how in ("checked", "unchecked"):
        got = results(how)[name]
        assert_close(got[0], case.oracle(operands(case)[0]))
        assert_close(got[1], np.asarray(want[1]))
        assert_close(got[2], np.asarray(want[2]))


DTYPES = (
    "bool", "int2", "int4", "int8", "int32", "uint4", "uint8", "bfloat16", "float16", "complex64", "float8_e4m3fn",
    "float8_e5m2", "float8_e8m0fnu",
)  # fmt: skip

MEMBERS = {
    "psum": lambda a: lax.psum(a, "i"),
    "pmax": lambda a: lax.pmax(a, "i"),
    "pmin in groups": lambda a: lax.pmin(a, "i", axis_index_groups=[[0, 3], [1, 2]]),
    "all_gather": lambda a: lax.all_gather(a, "i"),
    "ppermute": lambda a: lax.ppermute(a, "i", [(0, 1), (3, 0)]),
    "all_to_all": lambda a: lax.all_to_all(anima.numpy.tile(a, 2), "i", 0, 0, tiled=True),
    "psum_scatter": lambda a: lax.psum_scatter(anima.numpy.tile(a, 2), "i", tiled=True),
    "pbroadcast": lambda a: lax.pbroadcast(a, "i", 2),
}


@checks.each(DTYPES)
def dtypes(name: str) -> None:
    """Every dtype travels, in its own bits."""
    dtype = np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)
    x = (np.arange(8) % 2 if name in ("bool", "int2") else np.array([1, 2, 4, 1, 1, 2, 1, 2])).astype(dtype)
    accepted = []
    for member in MEMBERS.values():
        try:
            accepted.append((member, vmap(member, axis_name="i")(x.reshape(4, 2))))
        except TypeError:  # sums of eight-bit numbers, say
            continue

    def every(block: Any) -> Any:
        return [anima.numpy.expand_dims(member(block), 0) for member, _ in accepted]

    found = jit(shard_map(every, mesh=line(), in_specs=P("i"), out_specs=P("i")))(x)
    assert len(accepted) >= 6
    for got, (_, want) in zip(found, accepted):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(np.asarray(got).view(np.uint8), np.asarray(want).view(np.uint8))


@checks
def several_axes() -> None:
    a = numbers((4, 4))
    blocks = [a[:2, :2], a[2:, :2], a[:2, 2:], a[2:, 2:]]
    same(
        over(lambda x: lax.psum(x, ("x", "y")), P("x", "y"), P()),
        lambda a: a[:2, :2] + a[2:, :2] + a[:2, 2:] + a[2:, 2:],
        a,
    )
    equal(over(lambda x: lax.pmax(x, ("y", "x")), P("x", "y"), P())(a), np.max(blocks, 0))
    equal(over(lambda: lax.axis_index(("y", "x"))[None], (), P(("x", "y")))(), [0, 2, 1, 3])
    equal(over(lambda: lax.axis_index(("x", "y"))[None], (), P(("x", "y")))(), [0, 1, 2, 3])
    whole = over(lambda x: lax.all_gather(x, ("y", "x"), tiled=True, to="invarying"), P(("y", "x")), P())
    same(whole, lambda x: x, X)
    rows = over(lambda x: lax.all_gather(x, "y", tiled=True), P(("x", "y")), P("x"), check_vma=False)
    same(rows, lambda x: x, X)
    mixed = over(
        lambda x: (
            lax.psum_scatter(x, ("x", "y"), tiled=True) + lax.ppermute(x[:1], ("y", "x"), [(0, 1), (3, 2)])
        ),
        P(),
        P(("x", "y")),
    )
    same(mixed, lambda x: 4 * x + anima.numpy.stack([x[0] * 0, x[0], x[0], x[0] * 0]), X)


@checks
def with_axes_of_vmap() -> None:
    """One collective over an axis of `vmap` and one of the mesh."""
    x = numbers((4, 3, 6))
    f = over(lambda x: x + lax.psum(x, "b") * lax.axis_index("x"), P("x"), P("x"))
    sums = np.concatenate([0 * x[:2], x[2:]]).sum(1, keepdims=True)
    equal(vmap(f, 1, 1, axis_name="b")(x), x + sums)
    inner = vmap(lambda w, x: w * x + lax.psum(x, ("x", "k")), (None, 0), axis_name="k")
    same(
        over(inner, (P(), P("x")), P("x")), lambda w, x: w * x + x.sum(0), np.float32(2.0), X, argnums=(0, 1)
    )
    gathered = vmap(lambda x: lax.all_gather(x, ("k", "i")).sum(0) + 0 * x, axis_name="k")
    f = shard_map(gathered, mesh=line(), in_specs=P("i"), out_specs=P("i"))
    equal(f(np.arange(8.0).reshape(8, 1)), np.full((8, 1), 28.0))


@checks
def devices_in_another_order() -> None:
    """Indices are those of the mesh, whatever the program's order of devices is."""
    devices = np.array(anima.devices())
    turned = anima.Mesh(devices[[2, 0, 3, 1]], ("i",))
    f = lambda x: lax.ppermute(x, "i", [(0, 1), (1, 2)]) + 10 * lax.axis_index("i")
    want = np.array([0.0, 10.0 + 0, 20.0 + 1, 30.0])
    x = np.arange(4, dtype=np.float32)
    for mesh in (turned, line()):
        g = shard_map(f, mesh=mesh, in_specs=P("i"), out_specs=P("i"))
        equal(g(x), want)
        for own in (turned, line()):
            equal(g(anima.device_put(x, anima.NamedSharding(own, P("i")))), want)
    both = lambda x: shard_map(f, mesh=turned, in_specs=P("i"), out_specs=P("i"))(
        shard_map(f, mesh=line(), in_specs=P("i"), out_specs=P("i"))(x)
    )
    equal(jit(both)(x), [0, 10, 20 + 10, 30 + 0])


@checks
def kinds_of_values() -> None:
    """Types say what varies: what `pcast` and `all_gather` do to them, and what they refuse."""
    seen = []

    def f(x: Any) -> Any:
        seen.append(anima.typeof(x).varying)
        seen.append(anima.typeof(lax.psum(x, "x")).varying)
        seen.append(anima.typeof(lax.pcast(lax.psum(x, "x"), "x", to="varying")).varying)
        seen.append(anima.typeof(x + 1).varying)
        seen.append(anima.typeof(lax.all_gather(x, "x", to="invarying")).varying)
        seen.append(anima.typeof(lax.psum(x, "x", axis_index_groups=[[0], [1]])).varying)
        seen.append(anima.typeof(lax.axis_index("y")).varying)
        with raises(ValueError, "pcast", "varies along 'x' already"):
            lax.pcast(x, "x", to="varying")
        return x

    over(f, P("x"), P("x"))(X)
    axis = frozenset({"x"})
    assert seen == [axis, frozenset(), axis, axis, frozenset(), axis, frozenset({"y"})]
    with raises(ValueError, "to='invarying'", "check_vma=True"):
        over(lambda x: lax.all_gather(x, "x", to="invarying"), P("x"), P(), check_vma=False)(X)


@checks
def unbound_names() -> None:
    for call in (
        lambda x: lax.psum(x, "z"),
        lambda x: x + lax.axis_index("z"),
        lambda x: lax.all_gather(x, "z"),
    ):
        with raises(NameError, "unbound axis name: z", "x, y"):
            over(call, P("x"), P("x"))(X)
    with raises(NameError, "unbound axis name: y"):
        over(lambda x: lax.psum(x, "y"), P("x"), P("x"), axis_names={"x"})(X)


@checks
def slices_of_lengths_that_differ() -> None:
    chance = np.random.default_rng(0)
    for per_member in (1, 2):
        count = N * per_member
        send = chance.integers(0, 3, (N, N, per_member))  # by sender and receiver
        starts = (np.cumsum(send.reshape(N, count), 1) - send.reshape(N, count)).reshape(send.shape)
        by_receiver = send.transpose(1, 0, 2).reshape(N, count)
        places = (np.cumsum(by_receiver, 1) - by_receiver).reshape(N, N, per_member).transpose(1, 0, 2)
        data, rest = numbers((N, 24, 2)), numbers((N, 30, 2), 5)
        want = rest.copy()
        for sender, receiver, k in np.ndindex(N, N, per_member):
            first, size, place = (t[sender, receiver, k] for t in (starts, send, places))
            want[receiver, place : place + size] = data[sender, first : first + size]
        tables = [t.reshape(N, count).astype(np.int32) for t in (starts, send, places)]
        tables.append(by_receiver.astype(np.int32))

        def exchange(x: Any, y: Any, *tables: Any) -> Any:
            return lax.ragged_all_to_all(x, y, *tables, axis_name="i")

        def blocks(*args: Any) -> Any:
            return exchange(*[a[0] for a in args])[None]

        f = shard_map(blocks, mesh=line(), in_specs=P("i"), out_specs=P("i"))
        assert_close(f(data, rest, *tables), want)
        assert_close(vmap(exchange, axis_name="i")(data, rest, *tables), want)
        slope = jit(grad(lambda x, y: (f(x, y, *tables) ** 2).sum() / 2, (0, 1)))(data, rest)
        sent = np.zeros((N, 24, 1), bool)
        for sender in range(N):
            sent[sender, : send[sender].sum()] = True
        assert_close(slope[0], np.where(sent, data, 0))
        assert_close(slope[1], np.where(want == rest, rest, 0))
    table = np.zeros(4, np.int32)
    bad = {
        "must be integers": (data[0], rest[0], table.astype(np.float32), table, table, table),
        "multiple of 4": (data[0], rest[0], table[:3], table[:3], table[:3], table[:3]),
        "as long as the others": (data[0], rest[0], table, np.zeros(8, np.int32), table, table),
        "rows of one shape": (data[0], rest[0, :, :1], table, table, table, table),
        "one dtype": (data[0], rest[0].astype(np.float16), table, table, table, table),
    }
    for words, args in bad.items():
        with raises((ValueError, TypeError), "ragged_all_to_all", words):
            vmap(lambda _, args=args: exchange(*args), axis_name="i")(np.arange(4))


@checks
def slices_as_one_operation() -> None:
    # Everybody sends its first row to all: cotangents of a row that is sent often are summed.
    zeros, ones = np.zeros((N, N), np.int32), np.ones((N, N), np.int32)
    tables = (zeros, ones, np.repeat(np.arange(N, dtype=np.int32)[:, None], N, 1), ones)
    data, rest = numbers((N, 2, 3)), numbers((N, N + 1, 3), 5)

    def blocks(*args: Any) -> Any:
        return lax.ragged_all_to_all(*[a[0] for a in args], axis_name="i")[None]

    f = shard_map(blocks, mesh=line(), in_specs=P("i"), out_specs=P("i"))
    assert "ragged_all_to_all" in str(anima.make_jaxpr(f)(data, rest, *tables))
    want = np.concatenate([np.repeat(data[None, :, 0], N, 0), rest[:, N:]], 1)
    assert_close(f(data, rest, *tables), want)
    assert_close(jit(f)(data, rest, *tables), want)
    cube = lambda x: (f(x, rest, *tables) ** 3).sum()
    slope = np.zeros_like(data)
    slope[:, 0] = N * 3 * data[:, 0] ** 2
    assert_close(jit(grad(cube))(data), slope)
    along = np.zeros_like(data)
    along[:, 0] = N * 6 * data[:, 0]
    assert_close(jit(anima.jvp, static_argnums=0)(grad(cube), (data,), (np.ones_like(data),))[1], along)
    tangent = jit(lambda x, t: anima.jvp(lambda y: f(x, y, *tables), (rest,), (t,))[1])(data, rest)
    assert_close(tangent, np.concatenate([np.zeros_like(rest[:, :N]), rest[:, N:]], 1))
    several = np.stack([data, -data])
    each = vmap(f, in_axes=(0, None, *[None] * 4))(several, rest, *tables)
    assert_close(each, np.stack([want, np.concatenate([-want[:, :N], want[:, N:]], 1)]))
    for dtype in ("bool", "int8", "bfloat16", "complex64"):
        x, y = (anima.numpy.asarray(v * 4).astype(dtype) for v in (data, rest))
        got = f(x, y, *(t.astype(np.int16) for t in tables))
        assert got.dtype == dtype
        equal(got[:, :N].astype("complex64"), np.repeat(np.asarray(x[None, :, 0]).astype("complex64"), N, 0))


@checks
def messages() -> None:
    pairs = [(0, 1), (1, 2), (3, 0)]

    def f(x: Any) -> Any:
        message = lax.psend(x * 2, "i", pairs)
        return lax.precv(message, anima.ShapeDtypeStruct(x.shape, x.dtype), "i", pairs)

    x = np.arange(1.0, 5.0, dtype=np.float32)
    equal(shard_map(f, mesh=line(), in_specs=P("i"), out_specs=P("i"))(x), [8, 2, 4, 0])
    with raises(ValueError, "precv", "(2,)", "float32[1]"):
        wrong = lambda x: lax.precv(
            lax.psend(x, "i", pairs), anima.ShapeDtypeStruct((2,), x.dtype), "i", pairs
        )
        shard_map(wrong, mesh=line(), in_specs=P("i"), out_specs=P("i"))(x)


test_on_four_devices = checks.test()
