"""What the tests of compiled calls share: small programs, plans, and a miss function that counts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from anima import _native as nt
from tests.native.support import encode_options

F32 = np.dtype(np.float32)


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
