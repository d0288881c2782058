"""CompiledCall and CallPlan: which calls share a program, what a run does to its arguments, and that nothing crashes."""

from __future__ import annotations

import collections
import functools
import gc
import random
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anima import _native as nt
from tests.native.support import encode_options

F32 = np.dtype(np.float32)
Miss = Callable[[Any, tuple[Any, ...], dict[str, Any]], tuple[Any, Any]]


def program(
    body: str, inputs: list[str], outputs: list[str], attributes: dict[int, str] | None = None
) -> str:
    """A module whose arguments are %a0, %a1, ...; `body` ends with what `return` takes."""
    marks = attributes or {}
    args = ", ".join(
        f"%a{i}: tensor<{t}>" + (f" {{{marks[i]}}}" if i in marks else "") for i, t in enumerate(inputs)
    )
    types = [f"tensor<{t}>" for t in outputs]
    *lines, results = body.strip().split("\n")
    return (
        f"module {{ func.func @main({args}) -> ({', '.join(types)}) {{\n"
        + "\n".join(lines)
        + f"\nreturn {results}{' : ' + ', '.join(types) if types else ''} }} }}"
    )


ADD = program("%0 = stablehlo.add %a0, %a1 : tensor<3xf32>\n%0", ["3xf32", "3xf32"], ["3xf32"])
DOUBLE = program("%0 = stablehlo.add %a0, %a0 : tensor<3xf32>\n%0", ["3xf32"], ["3xf32"])
DOUBLE_SCALAR = program("%0 = stablehlo.add %a0, %a0 : tensor<f32>\n%0", ["f32"], ["f32"])
DOUBLE_IN_PLACE = program(
    "%0 = stablehlo.add %a0, %a0 : tensor<3xf32>\n%0",
    ["3xf32"],
    ["3xf32"],
    {0: "tf.aliasing_output = 0 : i32"},
)
ADD_IN_PLACE = program(
    "%0 = stablehlo.add %a0, %a1 : tensor<3xf32>\n%0",
    ["3xf32", "3xf32"],
    ["3xf32"],
    {0: "tf.aliasing_output = 0 : i32"},
)


class Maker:
    """Compiles on the shared client, each text once."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.device = client.devices[0]
        self.compile = functools.lru_cache(lambda text: client.compile(text, encode_options()))

    def plan(self, text: str | None, num_leaves: int, shapes: list[tuple[int, ...]], **options: Any) -> Any:
        options.setdefault("device", self.device)
        avals = [(shape, F32, False) for shape in shapes]
        return nt.CallPlan(text and self.compile(text), num_leaves=num_leaves, out_avals=avals, **options)

    def put(self, value: Any, device: int = 0, **options: Any) -> Any:
        return nt.array_from_host(np.asarray(value, np.float32), self.client.devices[device], **options)


@pytest.fixture(scope="module")
def make(client: Any) -> Maker:
    return Maker(client)


@pytest.fixture(autouse=True)
def eager() -> None:
    nt.set_trace(None)


def not_traced(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    raise AssertionError("no trace is ambient")


class Recorder:
    """A miss function that counts, and makes a plan that forwards the first leaf (or has no output)."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __call__(self, call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        self.seen.append((args, kwargs))
        static = set(call.spec or ())
        dynamic = [a for i, a in enumerate(args) if i not in static]
        dynamic += [kwargs[k] for k in sorted(kwargs) if k not in static]
        leaves = nt.tree_leaves(dynamic)
        avals = [((), F32, False)] if leaves else []
        plan = nt.CallPlan(
            None, num_leaves=len(leaves), out_avals=avals, forward=[0] * len(avals), device=self.device
        )
        return "missed", plan


def recorded(make: Maker, **options: Any) -> tuple[Any, Recorder]:
    miss = Recorder(make.device)
    static = (*options.get("static_argnums", ()), *options.get("static_argnames", ()))
    return nt.CompiledCall(lambda: None, miss, not_traced, spec=static, **options), miss


def hits(call: Any, *args: Any, **kwargs: Any) -> bool:
    """Whether a call finds a plan."""
    return call(*args, **kwargs) != "missed"


# ---- which calls share a program ----


def test_same_avals_share(make: Maker) -> None:
    call, miss = recorded(make)
    x, y = make.put([1, 2, 3]), make.put([4, 5, 6])
    assert not hits(call, x)
    assert hits(call, x) and hits(call, y) and hits(call, np.float32([7, 8, 9]))
    assert call(y)[0] is y
    assert len(miss.seen) == 1 and call.cache_len() == 1
    assert not hits(call, make.put([1, 2]))
    assert not hits(call, np.int32([1, 2, 3]))
    assert not hits(call, 1.0)
    assert not hits(call, 1)
    assert not hits(call, True)
    assert not hits(call, 1j)
    assert not hits(call, np.float32(1))
    assert not hits(call)
    assert not hits(call, x, y)
    assert call.cache_len() == len(miss.seen) == 10
    for again in ((x,), (1.5,), (2,), (False,), (2j,), (np.float32(2),), (), (y, x), (make.put([0, 1]),)):
        assert hits(call, *again)
    assert len(miss.seen) == 10


def test_weak_types_are_distinguished(make: Maker) -> None:
    call, _ = recorded(make)
    x = make.put(1.0)
    weak = nt.array_with(x, weak_type=True)
    assert not hits(call, x)
    assert not hits(call, weak)
    assert hits(call, 2.0)  # a Python number is weakly typed
    assert hits(call, x) and hits(call, weak)


def test_structure_is_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    x = make.put([1])
    point = collections.namedtuple("point", "x y")
    trees: list[Any] = [
        x, (x,), [x], [[x]], {"a": x}, {"b": x}, {"a": x, "b": x}, (x, None), (None, x), (x, ()),
        collections.OrderedDict(a=x, b=x), collections.OrderedDict(b=x, a=x),
        collections.defaultdict(int, a=x), collections.defaultdict(list, a=x), point(x, x), point(x, None),
    ]  # fmt: skip
    assert not any([hits(call, tree) for tree in trees])
    assert all([hits(call, tree) for tree in trees])
    assert all([hits(call, tree) for tree in reversed(trees)])
    assert hits(call, {"b": x, "a": x})
    assert len(miss.seen) == call.cache_len() == len(trees)


def test_random_calls_hit_exactly_when_their_signature_was_seen(make: Maker) -> None:
    draw = random.Random(0)
    leaves: list[Callable[[], Any]] = [
        lambda: make.put([1.0]), lambda: make.put(1.0), lambda: np.float32([2.0]), lambda: np.float32(2.0),
        lambda: make.put(1.0, committed=True), lambda: draw.random(), lambda: draw.randrange(9), lambda: True,
        lambda: nt.array_with(make.put(1.0), weak_type=True),
    ]  # fmt: skip
    described = [
        "f32[1]",
        "f32",
        "f32[1]",
        "f32",
        "f32 committed",
        "f32 weak",
        "i32 weak",
        "bool weak",
        "f32 weak",
    ]

    def tree(depth: int) -> tuple[Any, str]:
        kind = draw.randrange(5) if depth else 0
        if kind == 0:
            i = draw.randrange(len(leaves))
            return leaves[i](), described[i]
        parts = [tree(depth - 1) for _ in range(draw.randrange(3))]
        values, texts = [p[0] for p in parts], [p[1] for p in parts]
        if kind == 1:
            return tuple(values), f"({texts})"
        if kind == 2:
            return values, f"[{texts}]"
        if kind == 3:
            return None, "None"
        keys = draw.sample("abc", len(parts))
        return dict(zip(keys, values)), f"dict {sorted(zip(keys, texts))}"

    call, _ = recorded(make, static_argnums=(1,))
    seen: set[Any] = set()
    for _ in range(2000):
        parts = [tree(2) for _ in range(draw.randrange(1, 3))]
        args = [p[0] for p in parts]
        texts = [p[1] for p in parts]
        if len(args) > 1:
            args[1] = draw.choice([0, 0.0, False, "0"])
            texts[1] = repr(args[1])
        keywords = {k: tree(1) for k in draw.sample("xyz", draw.randrange(3))}
        signature = (tuple(texts), tuple(sorted((k, t[1]) for k, t in keywords.items())))
        assert hits(call, *args, **{k: t[0] for k, t in keywords.items()}) == (signature in seen), signature
        seen.add(signature)
    assert call.cache_len() == len(seen)


def test_leaves_come_in_sorted_key_order(make: Maker) -> None:
    call = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    plan = make.plan(None, 3, [(), (), ()], forward=(0, 1, 2))
    call({"c": 1.0, "a": 2.0, "b": 3.0})
    for tree in ({"a": 2.0, "b": 3.0, "c": 1.0}, {"b": 3.0, "c": 1.0, "a": 2.0}):
        assert [float(v) for v in call(tree)] == [2.0, 3.0, 1.0]
        tree["".join(["", "a"])] = 5.0
        assert [float(v) for v in call(tree)] == [5.0, 3.0, 1.0]


def test_keywords(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, 1.0, b=2.0, a=3.0)
    assert hits(call, 1.0, a=3.0, b=2.0)
    assert hits(call, 1.0, **{"b": 3.0, "".join(["", "a"]): 2.0})
    assert not hits(call, 1.0, a=3.0, c=2.0)
    assert not hits(call, a=3.0, b=2.0)
    assert not hits(call, 1.0, 2.0, 3.0)
    assert [list(kwargs) for _, kwargs in miss.seen] == [["a", "b"], ["a", "c"], ["a", "b"], []]
    plan = make.plan(None, 3, [(), (), ()], forward=(0, 1, 2))
    ordered = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    ordered(1.0, b=2.0, a=3.0)
    assert [float(v) for v in ordered(1.0, b=2.0, a=3.0)] == [1.0, 3.0, 2.0]
    many = {f"k{i}": float(i) for i in range(30)}
    assert not hits(call, **many)
    assert hits(call, **dict(reversed(many.items())))


def test_options_are_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, 1.0)
    old = nt.swap_thread_options_key(12345)
    try:
        assert not hits(call, 1.0)
        assert hits(call, 1.0)
    finally:
        nt.swap_thread_options_key(old)
    assert hits(call, 1.0)
    assert len(miss.seen) == 2


def test_placement_is_part_of_the_signature(make: Maker) -> None:
    call, miss = recorded(make)
    free, fixed, other = make.put(1.0), make.put(1.0, committed=True), make.put(1.0, 1, committed=True)
    assert not hits(call, free) and not hits(call, fixed) and not hits(call, other)
    assert hits(call, free) and hits(call, fixed) and hits(call, other)
    assert hits(call, make.put(1.0, 1))  # not committed: it goes where the program is
    assert len(miss.seen) == 3


class Sharding:
    """Stands in for a sharding over two devices: equal by name."""

    def __init__(self, name: str, devices: tuple[Any, ...] = ()) -> None:
        self.name = name
        self.addressable_devices = self.devices = devices

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sharding) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def shard_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] // 2,)


def sharded(make: Maker, name: str, values: list[Any]) -> Any:
    shards = [make.put(value, device) for device, value in enumerate(values)]
    shape = (sum(len(value) for value in values),)
    sharding = Sharding(name, tuple(shard.device for shard in shards))
    return nt.array_from_shards(shape, F32, False, sharding, shards)


def test_shardings_are_compared_by_value(make: Maker) -> None:
    call, miss = recorded(make)
    assert not hits(call, sharded(make, "x", [[1.0], [2.0]]))
    assert not hits(call, sharded(make, "y", [[1.0], [2.0]]))
    assert not hits(call, make.put([1.0, 2.0]))
    assert len(miss.seen) == 3
    assert call.cache_len() == 3
    miss.seen.clear()
    call(sharded(make, "x", [[1.0], [2.0]])), call(sharded(make, "y", [[1.0], [2.0]]))
    assert not miss.seen


# ---- static arguments ----


def test_static_values_of_different_types_differ(make: Maker) -> None:
    call, miss = recorded(make, static_argnums=(0,))
    values: list[Any] = [
        1,
        1.0,
        True,
        1j,
        "1",
        (1,),
        (1.0,),
        (True,),
        ((1,), 2),
        ((1.0,), 2),
        0.0,
        -0.0,
        None,
        b"1",
    ]
    assert not any([hits(call, value, 2.0) for value in values])
    assert all([hits(call, value, 2.0) for value in values])
    assert len(miss.seen) == len(values)
    assert not hits(call, float("nan"), 2.0)
    assert hits(call, float("nan"), 2.0)
    assert not hits(call, 1)


def test_static_positions_and_names(make: Maker) -> None:
    call, miss = recorded(make, static_argnums=(2, 0, 7), static_argnames=("mode", "axis"))
    assert not hits(call, "a", 1.0, "b", mode="m")
    assert hits(call, "a", 2.0, "b", mode="m")
    assert not hits(call, "a", 1.0, "c", mode="m")
    assert not hits(call, "a", 1.0, "b", mode="n")
    assert not hits(call, "a", 1.0, "b", axis="m")
    assert not hits(call, "a", 1.0, "b", axis="m", x=1.0)
    assert not hits(call, "a", 1.0)
    assert hits(call, "a", 3.0, "b", x=2.0, axis="m")
    assert len(miss.seen) == 6


def test_flat_calls(make: Maker) -> None:
    call, miss = recorded(make, flat=True)
    miss_plan = make.plan(None, 2, [()], forward=(0,), single=True)
    miss.__class__ = type(
        "Fixed", (Recorder,), {"__call__": lambda self, *a: (self.seen.append(a), ("missed", miss_plan))[1]}
    )
    assert not hits(call, 1.0, 2.0, axis=0)
    assert hits(call, 3.0, 2.0, axis=0)
    assert not hits(call, 1.0, 2.0, axis=0.0)
    assert not hits(call, 1.0, 2.0, axis=(0, 1))
    assert hits(call, 1.0, 2.0, axis=(0, 1))
    assert call.cache_len() == 3
    assert not hits(call, [1.0], 2.0, axis=0)  # a container is no leaf: every time Python's affair
    assert not hits(call, [1.0], 2.0, axis=0)
    assert call.cache_len() == 3


def test_values_that_cannot_be_hashed_go_to_python(make: Maker) -> None:
    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        raise ValueError("static arguments must be hashable")

    call = nt.CompiledCall(None, miss, not_traced, static_argnums=(0,))
    for value in ([1], {}, np.ones(3), (1, [2]), make.put(1.0)):
        with pytest.raises(ValueError, match="hashable"):
            call(value, 1.0)
    assert call.cache_len() == 0


def test_leaves_of_foreign_types_go_to_python(make: Maker) -> None:
    call, miss = recorded(make)
    for _ in range(2):
        for value in (object(), "text", b"bytes", [1.0, "x"], np.array(["x"]), np.array([object()]), {1}):
            assert not hits(call, value)
    assert call.cache_len() == 0
    assert len(miss.seen) == 14


def test_errors_of_user_code_come_through(make: Maker) -> None:
    class Static:
        def __init__(self, fail: str) -> None:
            self.fail = fail

        def __hash__(self) -> int:
            if self.fail == "hash":
                raise ZeroDivisionError
            return 1

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

    call, _ = recorded(make, static_argnums=(0,))
    with pytest.raises(ZeroDivisionError):
        call(Static("hash"), 1.0)
    assert not hits(call, Static("eq"), 1.0)
    with pytest.raises(ZeroDivisionError):
        call(Static("eq"), 1.0)

    def fails(call: Any, args: Any, kwargs: Any) -> Any:
        raise KeyError("from miss")

    with pytest.raises(KeyError, match="from miss"):
        nt.CompiledCall(None, fails, not_traced)(1.0)


@pytest.mark.parametrize("answer", [None, 3, (1,), (1, 2), (1, None, None), [1, None]])
def test_miss_that_returns_garbage(answer: Any) -> None:
    call = nt.CompiledCall(None, lambda *_: answer, not_traced)
    with pytest.raises(TypeError, match="miss function"):
        call(1.0)


def test_plan_for_another_number_of_leaves(make: Maker) -> None:
    plan = make.plan(None, 3, [()], forward=(2,))
    call = nt.CompiledCall(None, lambda *_: (None, plan), not_traced)
    with pytest.raises(ValueError, match="3 leaves, the call has 1"):
        call(1.0)
    assert call.cache_len() == 0


def test_miss_without_a_plan_is_asked_every_time() -> None:
    calls: list[Any] = []
    call = nt.CompiledCall(None, lambda *a: (calls.append(a), None), not_traced)
    call(1.0), call(1.0)
    assert len(calls) == 2 and call.cache_len() == 0


def test_ambient_trace() -> None:
    seen: list[Any] = []
    call = nt.CompiledCall(None, not_traced, lambda *a: seen.append(a) or "traced", static_argnums=(0,))
    nt.set_trace("trace")
    try:
        assert call([1], 2, k=3) == "traced"
    finally:
        nt.set_trace(None)
    assert seen == [(call, ([1], 2), {"k": 3})]


# ---- running ----


def test_execution(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x, y = make.put([1, 2, 3]), make.put([10, 20, 30])
    for _ in range(3):
        out = call(x, y)
        assert np.asarray(out).tolist() == [11, 22, 33]
    assert plan.calls == 3
    assert np.asarray(call(x, np.float32([1, 1, 1]))).tolist() == [2, 3, 4]
    assert (out.shape, out.dtype, out.weak_type, out.committed) == ((3,), F32, False, False)
    assert call.cache_len() == 1


def test_arguments_on_other_devices(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    x, elsewhere = make.put([1, 2, 3]), make.put([1, 1, 1], 1)
    out = plan.execute([elsewhere, x])
    assert np.asarray(out).tolist() == [2, 3, 4]
    assert out.device is make.device and elsewhere.device is make.client.devices[1]
    with pytest.raises(ValueError, match="not on the devices"):
        plan.execute([make.put([1, 1, 1], 1, committed=True), x])


def test_committed_outputs(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True, committed=True)
    assert plan.execute([make.put([1, 2, 3]), make.put([1, 2, 3])]).committed


def test_kept_and_consts(make: Maker) -> None:
    const = make.put([100, 200, 300])
    plan = make.plan(ADD, 3, [(3,)], single=True, kept=(2,), consts=(const,))
    for _ in range(2):
        assert np.asarray(plan.execute([1.0, 2.0, make.put([1, 2, 3])])).tolist() == [101, 202, 303]
    const.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        make.plan(ADD, 1, [(3,)], consts=(const,))
    const = make.put([1, 1, 1])
    plan = make.plan(ADD, 1, [(3,)], single=True, consts=(const,))
    const.delete()  # the plan keeps the contents
    assert np.asarray(plan.execute([make.put([1, 2, 3])])).tolist() == [2, 3, 4]


def test_forwarded_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 2, [(3,), (), (3,)], kept=(1,), forward=(1, 0, -1))
    x, scalar = make.put([1, 2, 3]), make.put(5.0)
    same, first, doubled = plan.execute([scalar, x])
    assert same is x and first is scalar
    assert np.asarray(doubled).tolist() == [2, 4, 6]
    number = make.plan(None, 1, [()], forward=(0,), single=True).execute([7.0])
    assert float(number) == 7.0 and type(number) is nt.ArrayImpl
    elsewhere = make.put([1, 2, 3], 1)
    assert plan.execute([scalar, elsewhere])[0].device is make.device
    x.delete()
    with pytest.raises(RuntimeError, match="deleted"):
        make.plan(None, 1, [(3,)], forward=(0,)).execute([x])


def test_output_structure(make: Maker) -> None:
    body = "%0 = stablehlo.add %a0, %a0 : tensor<3xf32>\n%1 = stablehlo.multiply %a0, %a0 : tensor<3xf32>\n%0, %1"
    text = program(body, ["3xf32"], ["3xf32", "3xf32"])
    tree = nt.tree_structure({"double": 1, "square": (2, None)})
    plan = make.plan(text, 1, [(3,), (3,)], out_tree=tree)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = make.put([1, 2, 3])
    for _ in range(2):
        out = call(x)
        assert nt.tree_structure(out) == tree == plan.out_tree
        assert np.asarray(out["square"][0]).tolist() == [1, 4, 9]
    assert [np.asarray(v).tolist() for v in make.plan(text, 1, [(3,), (3,)]).execute([x])] == [
        [2, 4, 6],
        [1, 4, 9],
    ]
    assert make.plan(None, 0, []).execute([]) == []


def test_numbers_are_put(make: Maker) -> None:
    plan = make.plan(DOUBLE_SCALAR, 1, [()], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    assert [float(call(v)) for v in (1.0, 2.5, -3.0, 2.5)] == [2.0, 5.0, -6.0, 5.0]
    with pytest.raises(OverflowError, match="1000000000000"):
        recorded(make)[0](10**30)


def test_deleted_arguments(make: Maker) -> None:
    plan = make.plan(DOUBLE, 1, [(3,)], single=True)
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = make.put([1, 2, 3])
    call(x)
    x.delete()
    for use in (lambda: call(x), lambda: plan.execute([x])):
        with pytest.raises(RuntimeError, match="deleted"):
            use()
    assert np.asarray(call(make.put([1, 1, 1]))).tolist() == [2, 2, 2]


# ---- donation ----


def test_donation_runs_in_place(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    x = make.put([1, 2, 3])
    for expected in (2, 4, 8):
        address = x.unsafe_buffer_pointer()
        out = call(x)
        assert x.is_deleted()
        assert out.unsafe_buffer_pointer() == address
        assert np.asarray(out).tolist() == [expected, 2 * expected, 3 * expected]
        x = nt.array_with(out)
        del out
    with pytest.raises(RuntimeError, match="deleted, or donated"):
        deleted = make.put([1, 2, 3])
        call(deleted), call(deleted)


def test_donated_memory_that_others_use_is_copied(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    x = make.put([1, 2, 3])
    view = np.asarray(x)
    twin = nt.array_with(make.put([5, 6, 7]))
    assert np.asarray(plan.execute([x])).tolist() == [2, 4, 6]
    assert x.is_deleted() and view.tolist() == [1, 2, 3]
    original = make.put([5, 6, 7])
    twin = nt.array_with(original)
    assert np.asarray(plan.execute([original])).tolist() == [10, 12, 14]
    assert original.is_deleted() and not twin.is_deleted()
    assert np.asarray(twin).tolist() == [5, 6, 7]


def test_donating_host_values_and_moved_arrays(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    host = np.float32([1, 2, 3])
    assert np.asarray(plan.execute([host])).tolist() == [2, 4, 6]
    assert host.tolist() == [1, 2, 3]
    elsewhere = make.put([1, 2, 3], 1)
    assert np.asarray(plan.execute([elsewhere])).tolist() == [2, 4, 6]
    assert elsewhere.is_deleted()


def test_donating_an_array_that_is_used_twice(make: Maker) -> None:
    both = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0, 1))
    one = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0,))
    x = make.put([1, 2, 3])
    with pytest.raises(ValueError, match="donated twice"):
        both.execute([x, x])
    with pytest.raises(ValueError, match="another argument"):
        one.execute([x, x])
    assert not x.is_deleted()
    scalars = program(
        "%0 = stablehlo.add %a0, %a1 : tensor<f32>\n%0",
        ["f32", "f32"],
        ["f32"],
        {0: "tf.aliasing_output = 0 : i32"},
    )
    plan = make.plan(scalars, 2, [()], single=True, donate=(0, 1))
    a, b = make.put(1.0), make.put(1.0)  # two arrays, perhaps with one buffer
    assert float(plan.execute([a, b])) == 2.0
    assert a.is_deleted() and b.is_deleted()


def test_donating_unused_and_forwarded_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 3, [(3,), (3,)], kept=(0,), donate=(1, 2), forward=(-1, 1))
    x, forwarded, unused = make.put([1, 2, 3]), make.put([4, 5, 6]), make.put([7, 8, 9])
    doubled, out = plan.execute([x, forwarded, unused])
    assert np.asarray(doubled).tolist() == [2, 4, 6]
    assert np.asarray(out).tolist() == [4, 5, 6] and out is not forwarded
    assert forwarded.is_deleted() and unused.is_deleted() and not x.is_deleted()


def test_failure_leaves_donated_arrays_as_they_are(make: Maker) -> None:
    plan = make.plan(ADD_IN_PLACE, 2, [(3,)], single=True, donate=(0,))
    x, wrong = make.put([1, 2, 3]), make.put([1, 2, 3, 4])
    with pytest.raises(Exception, match=r"."):
        plan.execute([x, wrong])
    assert not wrong.is_deleted()
    if not x.is_deleted():
        assert np.asarray(x).tolist() == [1, 2, 3]


def test_large_donations(make: Maker) -> None:
    count = 200
    marks = {i: f"tf.aliasing_output = {i} : i32" for i in range(count)}
    lines = "\n".join(f"%r{i} = stablehlo.add %a{i}, %a{i} : tensor<f32>" for i in range(count))
    text = program(
        lines + "\n" + ", ".join(f"%r{i}" for i in range(count)), ["f32"] * count, ["f32"] * count, marks
    )
    plan = make.plan(text, count, [()] * count, donate=range(count))
    leaves = [make.put(float(i)) for i in range(count)]
    outs = plan.execute(leaves)
    assert [float(v) for v in outs] == [2.0 * i for i in range(count)]
    assert all(leaf.is_deleted() for leaf in leaves)
    leaves = [make.put(float(i)) for i in range(count - 1)]
    with pytest.raises(ValueError, match="donated twice"):
        plan.execute([*leaves, leaves[17]])


# ---- several devices ----


@pytest.fixture(scope="module")
def spmd(client: Any) -> Any:
    text = """module attributes {mhlo.num_partitions = 2 : i32} {
      func.func @main(%a: tensor<4xf32> {mhlo.sharding = "{devices=[2]<=[2]}"})
          -> (tensor<4xf32> {mhlo.sharding = "{devices=[2]<=[2]}"}) {
        %0 = stablehlo.add %a, %a : tensor<4xf32>
        return %0 : tensor<4xf32> } }"""
    return client.compile(text, encode_options(2, (0, 1)))


def test_sharded_execution_and_refusal(make: Maker, spmd: Any) -> None:
    devices = make.client.devices[:2]
    plan = nt.CallPlan(
        spmd,
        num_leaves=1,
        out_avals=[((4,), F32, False)],
        single=True,
        out_shardings=(Sharding("x"),),
        device=devices,
    )
    refused: list[Any] = []

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        if args[0].sharding.name != "x" or call.cache_len() > 0:
            refused.append(args)
        return "missed", plan if not call.cache_len() else None

    call = nt.CompiledCall(None, miss, not_traced)
    x = sharded(make, "x", [[1.0, 2.0], [3.0, 4.0]])
    assert call(x) == "missed"
    out = call(x)
    assert out.sharding == Sharding("x") and out.committed
    assert [np.asarray(s).tolist() for s in out.addressable_shards_data] == [[2.0, 4.0], [6.0, 8.0]]
    swapped = nt.array_from_shards(
        (4,),
        F32,
        False,
        Sharding("x", (devices[1], devices[0])),
        [make.put([1.0, 2.0], 1), make.put([3.0, 4.0], 0)],
    )
    assert call(swapped) == "missed" and len(refused) == 1
    assert call.cache_len() == 1
    for bad in (make.put([1, 2, 3, 4]), np.ones(4, np.float32), swapped):
        with pytest.raises(ValueError, match="sharded"):
            plan.execute([bad])


def test_refusal_may_replace_the_plan(make: Maker) -> None:
    wrong = make.plan(DOUBLE, 1, [(3,)], single=True, device=make.device)
    right = nt.CallPlan(
        make.client.compile(DOUBLE, encode_options(1, (1,))),
        num_leaves=1,
        out_avals=[((3,), F32, False)],
        single=True,
        device=make.client.devices[1],
    )
    plans = iter([wrong, right])
    call = nt.CompiledCall(None, lambda *_: ("missed", next(plans)), not_traced)
    x = make.put([1, 2, 3], 1, committed=True)
    assert call(x) == "missed" and call(x) == "missed"
    assert np.asarray(call(x)).tolist() == [2, 4, 6]
    assert call.cache_len() == 1


# ---- construction ----

BAD_PLANS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"executable": 3}, TypeError, "executable"),
    ({"num_leaves": -1}, TypeError, "num_leaves"),
    ({"num_leaves": "x"}, TypeError, "."),
    ({"kept": (2,)}, ValueError, "kept"),
    ({"kept": (-1,)}, ValueError, "kept"),
    ({"kept": 3}, TypeError, "kept"),
    ({"kept": (2**70,)}, ValueError, "."),
    ({"consts": (1.0,)}, TypeError, "consts"),
    ({"consts": 1.0}, TypeError, "consts"),
    ({"out_avals": ()}, ValueError, "outputs"),
    ({"out_avals": (((3,), F32, False),) * 2}, ValueError, "outputs"),
    ({"out_avals": (3,)}, TypeError, "out_avals"),
    ({"out_avals": (((3,), F32),)}, TypeError, "out_avals"),
    ({"out_avals": (((-3,), F32, False),)}, ValueError, "."),
    ({"out_avals": (((3,), "nonsense", False),)}, TypeError, "."),
    ({"out_tree": 3}, TypeError, "PyTreeDef"),
    ({"out_tree": nt.tree_structure((1, 2))}, ValueError, "out_tree"),
    ({"out_shardings": (None, None)}, ValueError, "out_shardings"),
    ({"donate": (5,)}, ValueError, "donate"),
    ({"donate": (0,), "kept": (0, 0)}, ValueError, "donated"),
    ({"forward": (5,)}, ValueError, "forward"),
    ({"forward": (-2,)}, ValueError, "forward"),
    ({"forward": (0,)}, ValueError, "outputs"),
    ({"forward": (0, 0)}, ValueError, "forward"),
    ({"device": 3}, TypeError, "device"),
    ({"device": ()}, ValueError, "device"),
    ({"executable": None, "forward": (0,), "device": None}, TypeError, "device"),
    ({"executable": None, "forward": (0,), "kept": (0,)}, ValueError, "executable"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD_PLANS)
def test_bad_plans_are_refused(
    make: Maker, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    good: dict[str, Any] = {
        "executable": make.compile(DOUBLE),
        "num_leaves": 2,
        "kept": (0,),
        "out_avals": (((3,), F32, False),),
        "device": make.device,
    }
    nt.CallPlan(good.pop("executable"), **good)
    if "executable" in change:
        del good["kept"]
    arguments = {**good, **change}
    with pytest.raises(error, match=message):
        nt.CallPlan(arguments.pop("executable", make.compile(DOUBLE)), **arguments)


def test_plans_check_devices(make: Maker) -> None:
    with pytest.raises(ValueError, match="device"):
        make.plan(DOUBLE, 1, [(3,)], device=make.client.devices[1])
    with pytest.raises(ValueError, match="consts"):
        make.plan(ADD, 1, [(3,)], consts=(make.put([1, 2, 3], 1),))
    with pytest.raises(TypeError, match="out_avals"):
        nt.CallPlan(make.compile(DOUBLE), num_leaves=1)
    with pytest.raises(ValueError, match="single"):
        nt.CallPlan(None, num_leaves=0, out_avals=[], single=True, device=make.device)


def test_outputs_are_checked_against_the_program(make: Maker) -> None:
    x = make.put([1, 2, 3])
    for aval in (((4,), F32, False), ((3,), np.dtype(np.int32), False)):
        plan = nt.CallPlan(make.compile(DOUBLE), num_leaves=1, out_avals=[aval], device=make.device)
        with pytest.raises(ValueError, match="output 0"):
            plan.execute([x])


def test_execute_checks_its_leaves(make: Maker) -> None:
    plan = make.plan(DOUBLE, 1, [(3,)])
    with pytest.raises(ValueError, match="expected 1 leaves, got 2"):
        plan.execute([1.0, 2.0])
    with pytest.raises(TypeError, match="leaf 0"):
        plan.execute(["x"])
    with pytest.raises(TypeError, match="leaves"):
        plan.execute(3)
    with pytest.raises(Exception, match=r"."):
        plan.execute([make.put([1, 2, 3, 4])])  # the program's sizes


def test_bad_calls_are_refused() -> None:
    for arguments, options in (
        ((), {}),
        ((None, 3, print), {}),
        ((None, print, 3), {}),
        ((None, print, print), {"static_argnums": (-1,)}),
        ((None, print, print), {"static_argnums": ("x",)}),
        ((None, print, print), {"static_argnames": "ab"}),
        ((None, print, print), {"static_argnames": (3,)}),
        ((None, print, print), {"cache_size": -1}),
        ((None, print, print), {"name": 3}),
        ((None, print, print), {"nothing": 3}),
    ):
        with pytest.raises((TypeError, ValueError)):
            nt.CompiledCall(*arguments, **options)


# ---- as a Python object ----


def test_looks_like_a_function(make: Maker) -> None:
    def original(x: Any) -> Any:
        """The documentation."""

    call = nt.CompiledCall(original, lambda *a: ("missed", None), not_traced, name="original", spec={"a": 1})
    functools.update_wrapper(call, original)
    assert (
        call.__name__ == "original" and call.__doc__ == "The documentation." and call.__wrapped__ is original
    )
    assert (call.fun, call.name, call.spec) == (original, "original", {"a": 1})
    call.spec = "other"
    assert call.spec == "other"
    assert repr(call) == "<CompiledCall original>"
    assert weakref.ref(call)() is call
    assert len({call, call}) == 1
    with pytest.raises(AttributeError):
        call.fun = 3


def test_binds_like_a_method() -> None:
    seen: list[Any] = []
    call = nt.CompiledCall(None, lambda c, args, kwargs: (seen.append((args, kwargs)), None), not_traced)

    class Owner:
        method = call
        __add__ = call
        __getitem__ = call

    owner = Owner()
    owner.method(1, k=2)
    bound = owner.method
    bound(3)
    owner + 4
    owner[5]
    Owner.method(6)
    assert seen == [((owner, 1), {"k": 2}), ((owner, 3), {}), ((owner, 4), {}), ((owner, 5), {}), ((6,), {})]
    assert Owner.method is call and bound.__self__ is owner


def test_attributes_of_the_type_can_be_set() -> None:
    nt.CompiledCall.lower_for_test = lambda self: self.name
    try:
        assert nt.CompiledCall(None, print, print, name="x").lower_for_test() == "x"
    finally:
        del nt.CompiledCall.lower_for_test


# ---- the cache ----


def test_cache_is_bounded_and_drops_the_oldest(make: Maker) -> None:
    call, miss = recorded(make, cache_size=3, static_argnums=(0,))
    for i in range(3):
        call(i, 1.0)
    assert hits(call, 0, 1.0)
    call(3, 1.0)  # drops 1, the one not used for longest
    assert call.cache_len() == 3
    assert [hits(call, i, 1.0) for i in (0, 2, 3)] == [True, True, True]
    assert not hits(call, 1, 1.0)
    assert len(miss.seen) == 5
    for i in range(100):
        call(i, 1.0)
    assert call.cache_len() == 3
    none, miss = recorded(make, cache_size=0)
    assert not hits(none, 1.0) and not hits(none, 1.0) and none.cache_len() == 0


def test_clearing(make: Maker) -> None:
    first, _ = recorded(make)
    second, _ = recorded(make)
    first(1.0), second(1.0), second(1)
    first.clear_cache()
    assert (first.cache_len(), second.cache_len()) == (0, 2)
    assert not hits(first, 1.0) and hits(second, 1.0)
    nt.clear_all_caches()
    assert (first.cache_len(), second.cache_len()) == (0, 0)
    assert not hits(second, 1.0) and hits(second, 1.0)


def test_clearing_while_python_runs(make: Maker) -> None:
    """From a miss, a hash, a comparison, a flattening function and a destructor."""

    class Clears:
        def __init__(self, value: int) -> None:
            self.value = value

        def __hash__(self) -> int:
            call.clear_cache()
            return hash(self.value)

        def __eq__(self, other: object) -> bool:
            nt.clear_all_caches()
            return isinstance(other, Clears) and self.value == other.value

        def __del__(self) -> None:
            call.clear_cache()

    call, miss = recorded(make, static_argnums=(0,))
    other, _ = recorded(make, static_argnums=(0,))
    kept = Clears(5)
    for i in range(50):
        call(Clears(i % 3), float(i))
        call(kept, 1.0)
        call(i % 4, 1.0)
        other(Clears(i % 2), 1.0)
    assert miss.seen

    def clearing_miss(c: Any, args: Any, kwargs: Any) -> Any:
        c.clear_cache()
        return "missed", plan

    plan = make.plan(None, 1, [()], forward=(0,))
    clearing = nt.CompiledCall(None, clearing_miss, not_traced)
    assert not hits(clearing, 1.0) and clearing.cache_len() == 0

    class Node:
        pass

    nt.register_node(Node, lambda n: (treed.clear_cache() or (1.0,), "aux"), lambda aux, children: Node())
    treed, _ = recorded(make)
    for _ in range(5):
        treed(Node())
        treed([Node(), 1.0])


def test_calls_from_within_miss(make: Maker) -> None:
    plan = make.plan(None, 1, [()], forward=(0,))

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        n = kwargs["n"]
        if n > 0:
            call(*args, n=n - 1)
            call(*args, n=n)  # the same signature again, which is being made
        return "missed", plan

    budget = iter(range(20))

    def bounded(call: Any, args: Any, kwargs: Any) -> Any:
        return miss(call, args, kwargs) if next(budget, None) is not None else ("missed", plan)

    call = nt.CompiledCall(None, bounded, not_traced, static_argnames=("n",))
    call(1.0, n=3)
    assert call.cache_len() == 4
    endless = nt.CompiledCall(None, lambda c, a, k: c(*a), not_traced)
    with pytest.raises(RecursionError):
        endless(1.0)


# ---- memory and threads ----


class Token:
    """Something with a weak reference."""


def test_cycles_are_collected(make: Maker) -> None:
    def through_function() -> Token:
        token = Token()

        def miss(call: Any, args: Any, kwargs: Any) -> Any:
            return token, make.plan(None, 1, [()], forward=(0,), keepalive=token)

        call = nt.CompiledCall(token, miss, not_traced, spec=token)
        call.itself = call
        token.call = call  # type: ignore[attr-defined]
        call(1.0)
        return token

    def through_static() -> Token:
        token = Token()
        call, _ = recorded(make, static_argnums=(0,))
        call(token, 1.0)
        token.call = call  # type: ignore[attr-defined]
        return token

    def through_aux() -> Token:
        class Node:
            aux: Any = None

        nt.register_node(Node, lambda n: ((1.0,), n.aux), lambda aux, children: None)
        node, token = Node(), Token()
        node.aux = token
        call, _ = recorded(make)
        call(node)
        assert call.cache_len() == 1
        token.call = call  # type: ignore[attr-defined]
        return token

    def through_sharding() -> Token:
        token = Token()
        x = sharded(make, "x", [[1.0], [2.0]])
        x.sharding.token = token
        call, _ = recorded(make)
        call(x)
        token.call = call  # type: ignore[attr-defined]
        return token

    for build in (through_function, through_static, through_aux, through_sharding):
        refs = [weakref.ref(build()) for _ in range(3)]
        gc.collect()
        assert [ref() for ref in refs] == [None] * 3, build.__name__


def test_nothing_leaks(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    static, leaf = Token(), make.put([1, 2, 3])
    call = nt.CompiledCall(None, lambda c, args, k: (None, plan), not_traced, static_argnames=("s",))
    tree = {"a": leaf, "b": [leaf]}

    def work() -> None:
        for _ in range(3):
            call(tree, s=static)
            call(leaf, leaf, s=static)
            call(leaf, np.float32([1, 2, 3]), s=static)
        call.clear_cache()
        for bad in (lambda: plan.execute([leaf]), lambda: plan.execute([leaf, "x"])):
            with pytest.raises((TypeError, ValueError)):
                bad()

    work()
    gc.collect()
    counts = [sys.getrefcount(o) for o in (plan, static, leaf, call, tree)]
    for _ in range(30):
        work()
    gc.collect()
    assert [sys.getrefcount(o) for o in (plan, static, leaf, call, tree)] == counts


def test_plan_lives_as_long_as_its_entry(make: Maker) -> None:
    token = Token()
    ref = weakref.ref(token)
    call, _ = recorded(make, static_argnums=(0,))
    call(token, 1.0)
    del token
    gc.collect()
    assert ref() is None or len(_.seen) == 1  # the recorder keeps what it has seen
    _.seen.clear()
    gc.collect()
    assert ref() is not None
    call.clear_cache()
    gc.collect()
    assert ref() is None


def test_threads_hammering_one_call(make: Maker) -> None:
    plan = make.plan(ADD, 2, [(3,)], single=True)
    errors: list[BaseException] = []
    stop = threading.Event()

    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        return plan.execute(args), plan

    call = nt.CompiledCall(None, miss, not_traced, static_argnames=("s",), cache_size=5)

    def work(seed: int) -> None:
        try:
            x, y = make.put([seed] * 3), make.put([1, 2, 3])
            for i in range(300):
                out = call(x, y, s=(seed * i) % 9)
                if i % 50 == 0:
                    assert np.asarray(out).tolist() == [seed + 1, seed + 2, seed + 3]
        except BaseException as e:
            errors.append(e)

    def clear() -> None:
        while not stop.wait(0.001):
            call.clear_cache()
            nt.clear_all_caches()
            gc.collect(0)

    cleaner = threading.Thread(target=clear)
    cleaner.start()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    cleaner.join()
    assert not errors
    assert call.cache_len() <= 5


def test_threads_donating_and_deleting_the_same_array(make: Maker) -> None:
    plan = make.plan(DOUBLE_IN_PLACE, 1, [(3,)], single=True, donate=(0,))
    call = nt.CompiledCall(None, lambda c, args, k: (plan.execute(args), plan), not_traced)
    call(make.put([1, 2, 3]))
    outcomes: collections.Counter[str] = collections.Counter()
    arrays = [make.put([i, 2, 3]) for i in range(200)]

    def work() -> None:
        for x in arrays:
            try:
                call(x)
                outcomes["ran"] += 1
            except RuntimeError as e:
                assert "deleted" in str(e).lower() or "donated" in str(e).lower()
                outcomes["refused"] += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes["ran"] + outcomes["refused"] == 600
    assert outcomes["ran"] >= 200
    assert all(x.is_deleted() for x in arrays)
