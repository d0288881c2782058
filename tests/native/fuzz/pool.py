"""What random cases are made of: good values by the name of a parameter, bad ones, and objects that misbehave.

Invariant: the native module is loaded without the Python layers above it, so only what is said here calls it; after
`Pool.end()` its hooks, switches and clients are as before.
"""

from __future__ import annotations

import collections
import gc
import os
import random
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from tests.native.support import encode_options, plugin_path


def _load() -> Any:
    """The native module, in a package that runs no code of its own."""
    if "anima" not in sys.modules:
        places = [os.path.join(place, "anima") for place in sys.path if place]
        package = types.ModuleType("anima")
        package.__path__ = [place for place in places if os.path.isdir(place)]
        sys.modules["anima"] = package
    import anima._native

    return anima._native


nt = _load()
F32 = np.dtype(np.float32)
CODES = {
    1: np.bool_, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64,
    6: np.uint8, 7: np.uint16, 8: np.uint32, 9: np.uint64,
    10: np.float16, 11: np.float32, 12: np.float64, 13: ml_dtypes.bfloat16,
    14: np.complex64, 15: np.complex128, 21: ml_dtypes.int4,
}  # fmt: skip
ONE = encode_options()
ADD = """
module @add {
  func.func public @main(%a: tensor<3xf32>, %b: tensor<3xf32>) -> tensor<3xf32> {
    %0 = stablehlo.add %a, %b : tensor<3xf32>
    return %0 : tensor<3xf32>
  }
}
"""
IN_PLACE = ADD.replace("%a: tensor<3xf32>", "%a: tensor<3xf32> {tf.aliasing_output = 0 : i32}")
SCALAR = IN_PLACE.replace("3xf32", "f32")
F3 = ((3,), F32, False)


class Rows:
    """A sharding over some devices, by rows; what it says can be made wrong."""

    is_fully_addressable = True

    def __init__(self, *devices: Any) -> None:
        self.devices = devices
        self.addressable_devices = set(devices)
        self.factor = len(devices)

    def shard_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0] // self.factor, *shape[1:])


class Key:
    """An extended dtype: pairs of words."""

    physical_element = ((2,), np.dtype(np.uint32))


class Shrinking:
    """An extended dtype that changes its mind."""

    def __init__(self) -> None:
        self.asked = 0

    @property
    def physical_element(self) -> Any:
        self.asked += 1
        return ((2 if self.asked < 3 else 10**7,), np.dtype(np.uint32))


def _hostile_method(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self.pool.misbehave(self, name, args)

    method.__name__ = name
    return method


_HOSTILE = [
    "__index__",
    "__int__",
    "__float__",
    "__complex__",
    "__bool__",
    "__len__",
    "__getitem__",
    "__iter__",
    "__next__",
    "__eq__",
    "__lt__",
    "__hash__",
    "__call__",
    "__repr__",
    "__str__",
    "__array__",
    "__dlpack__",
    "__dlpack_device__",
    "__contains__",
    "__getattr__",
    "__buffer__",
    "shard_shape",
]


def hostile_class(base: type) -> type:
    """A class all of whose special methods misbehave."""
    body: dict[str, Any] = {name: _hostile_method(name) for name in _HOSTILE}
    if base is not object:
        for name in ("__getattr__", "__len__", "__iter__", "__getitem__"):
            if base in (int, float, str, tuple, list, dict):
                body.pop(name, None)
    for name in ("physical_element", "addressable_devices", "devices", "_fields", "__fields__"):
        body[name] = property(lambda self, name=name: self.pool.misbehave(self, name, ()))
    return type(f"Hostile{base.__name__.title()}", (base,), body)


HOSTILE = {base: hostile_class(base) for base in (object, int, float, str, tuple, list, dict)}


class Chaos:
    """Garbage in a cycle: when it is collected, something happens."""

    def __init__(self, pool: Pool) -> None:
        self.pool, self.me = pool, self

    def __del__(self) -> None:
        self.pool.act()


class Pool:
    """Values, and the state of the module around a case."""

    rng: random.Random

    def __init__(self) -> None:
        for code, scalar in CODES.items():
            nt.register_dtype(code, np.dtype(scalar))
        self.plugin = nt.load_plugin(plugin_path())
        self.closed = self.plugin.create_client({"cpu_device_count": 1})
        self.closed_executable = self.closed.compile(ADD, ONE)
        self.closed_array = nt.array_from_host(np.ones(3, np.float32), self.closed.devices[0])
        self.closed.close()
        self.acting = False
        self.acts = 0
        self.renew()

    def renew(self) -> None:
        """A client, and what belongs to it."""
        self.client = self.plugin.create_client({"cpu_device_count": 2})
        nt.register_python_callback_target(self.client)
        self.device = self.client.devices[0]
        self.programs = [self.client.compile(text, ONE) for text in (ADD, IN_PLACE, SCALAR)]
        self.serialized = self.programs[0].serialize()

    def begin(self, rng: random.Random) -> None:
        """Take over a source of chance for one case."""
        self.rng = rng
        self.arrays: list[Any] = []
        self.containers: list[Any] = [[], {}, set()]
        self.calls: list[Any] = []
        self.acts = 12
        self.restore()
        if rng.random() < 0.15:
            for _ in range(3):
                Chaos(self)
            gc.set_threshold(rng.randrange(1, 6))

    def end(self) -> None:
        """Undo what a case has switched."""
        gc.set_threshold(700)
        self.restore()
        self.arrays, self.calls, self.containers = [], [], []
        if self.client.closed:
            self.renew()

    def restore(self) -> None:
        """Hooks and switches as they are between cases."""
        nt.set_trace(None)
        nt.swap_thread_x64(-1)
        nt.swap_thread_options_key(-1)
        nt.set_options_key(0)
        nt.set_x64(False)
        nt.set_index_device(lambda: self.device)
        nt.set_traceback_filter(lambda traceback: traceback)
        nt.set_key_classes(*[lambda key: ("key", key)] * 4)
        nt.set_array_hooks(
            make_aval=lambda *parts: parts,
            make_sharding=Rows,
            default_device=lambda: self.device,
            assemble=lambda x: np.concatenate([np.asarray(part) for part in x.addressable_shards_data]),
        )

    def check_health(self) -> None:
        """The module still computes."""
        x = nt.array_from_host(np.array([1, 2, 3], np.float32), self.device)
        assert np.asarray(self.programs[0].execute([[x, x]], [F3])[0][0]).tolist() == [2, 4, 6]
        # Leaves of a type that is new: any other may have become a node, by register_node.
        first, second = leaves = [type("Leaf", (), {})() for _ in range(2)]
        assert nt.tree_leaves({"a": [first, (second, None)]}) == leaves

    # ---- mischief ----

    def act(self) -> None:
        """Change something under the feet of the code that is running."""
        if self.acting or self.acts == 0:
            return
        self.acting = True
        self.acts -= 1
        try:
            self.rng.choice(
                [
                    self.delete_arrays, self.change_containers, self.clear_caches, gc.collect, self.replace_hooks,
                    lambda: nt.swap_thread_x64(self.rng.randrange(-1, 2)), lambda: None, lambda: None,
                    lambda: nt.live_arrays(), lambda: nt.swap_thread_options_key(self.rng.randrange(5)),
                    self.look_at_everything, self.call_again,
                ]
            )()  # fmt: skip
        except Exception:
            pass
        finally:
            self.acting = False

    def delete_arrays(self) -> None:
        for array in self.arrays:
            array.delete()

    def change_containers(self) -> None:
        for container in self.containers:
            if isinstance(container, list):
                container[:] = [1] * self.rng.randrange(20)
            elif isinstance(container, dict):
                container.update({f"new {i}": i for i in range(self.rng.randrange(40))})
                if self.rng.random() < 0.5:
                    container.clear()

    def clear_caches(self) -> None:
        nt.clear_all_caches()
        for call in self.calls:
            call.clear_cache()

    def replace_hooks(self) -> None:
        def make(*args: Any) -> Any:
            return self.any()

        nt.set_array_hooks(
            make_aval=make, make_sharding=make, default_device=lambda: self.device, assemble=make
        )
        nt.set_key_classes(make, make, make, make)
        nt.set_traceback_filter(make)

    def look_at_everything(self) -> None:
        # Not at tuples: Python itself shows those that tuple() is filling.
        for thing in gc.get_objects():
            if type(thing) is list and len(thing) < 9:
                for item in thing:
                    type(item)

    def call_again(self) -> None:
        for call in self.calls:
            call(1.0)

    def misbehave(self, owner: Any, name: str, args: tuple[Any, ...]) -> Any:
        """What a special method of a hostile object does."""
        if name == "__getattr__" and args[0].startswith("__"):
            raise AttributeError(args[0])
        self.act()
        choice = self.rng.random()
        if name in ("__hash__", "__repr__", "__str__", "__len__", "__index__", "__bool__") and choice < 0.6:
            return {"__hash__": 7, "__repr__": "hostile", "__str__": "", "__len__": self.rng.randrange(4),
                    "__index__": self.rng.randrange(-2, 5), "__bool__": True}[name]  # fmt: skip
        if name == "__next__" and choice < 0.5:
            raise StopIteration
        if choice < 0.3:
            raise self.rng.choice([ValueError, TypeError, KeyError, AttributeError, RecursionError])(
                "hostile"
            )
        if choice < 0.5:
            return owner
        return self.any() if choice < 0.95 else NotImplemented

    def hostile(self) -> Any:
        base = self.rng.choice(list(HOSTILE))
        made = HOSTILE[base].__new__(HOSTILE[base])
        made.__dict__["pool"] = self
        return made

    # ---- values ----

    def put(self, value: Any, device: int = 0, **options: Any) -> Any:
        array = nt.array_from_host(np.asarray(value), self.client.devices[device], **options)
        self.arrays.append(array)
        return array

    def floats(self, device: int = 0) -> Any:
        return self.put(np.arange(3, dtype=np.float32), device, committed=self.rng.random() < 0.3)

    def sharded(self) -> Any:
        rows = Rows(*self.client.devices)
        parts = [self.put(np.ones((2, 2), np.float32), d) for d in range(2)]
        made = nt.array_from_shards((4, 2), F32, False, rows, parts)
        rows.factor = self.rng.choice([2, 2, 1, 4, 7])
        self.arrays.append(made)
        return made

    def deleted(self) -> Any:
        array = self.floats()
        array.delete()
        return array

    def array(self) -> Any:
        make = self.rng.choice(
            [
                self.floats, self.floats, self.floats, lambda: self.floats(1), self.sharded, self.deleted,
                lambda: self.put(1.5), lambda: self.put(np.ones((0, 3), np.int32)), lambda: self.closed_array,
                lambda: nt.array_with(self.put(np.ones((3, 2), np.uint32)), dtype=Key()),
                lambda: self.put(np.ones(3, ml_dtypes.int4)), lambda: self.put(np.ones(3, ml_dtypes.bfloat16)),
                lambda: self.put(np.array(True)), lambda: self.put(np.ones((2, 3), np.complex64)),
                lambda: nt.array_with(self.floats(), weak_type=True),
                lambda: self.put(np.ones(20000, np.float32)),
            ]
        )  # fmt: skip
        return make()

    def number(self) -> Any:
        return self.rng.choice(
            [0, 1, -1, 2, 3, 5, 255, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, -(2**63), 2**64, 10**30, True, 0.0, -0.0,
             0.5, 1e300, float("nan"), float("inf"), 1j, np.float32(1.5), np.int64(-3), np.uint64(2**64 - 1),
             np.bool_(True), np.float16(1), ml_dtypes.bfloat16(2)]
        )  # fmt: skip

    def numpy(self) -> Any:
        base = np.arange(24, dtype=self.rng.choice(list(CODES.values())[1:12])).reshape(2, 3, 4)
        odd = [
            lambda: base, lambda: base.T, lambda: base[::-1, ::2], lambda: base.byteswap().view(base.dtype.newbyteorder()),
            lambda: base[:0], lambda: np.array(1.5), lambda: np.array(["text"]), lambda: np.array([object()]),
            lambda: np.array("2020-01-01", "M8[D]"), lambda: np.zeros(3, "i4,f4"), lambda: np.ma.masked_array([1, 2], [1, 0]),
            lambda: np.broadcast_to(np.float32(1), (5, 5)), lambda: np.frombuffer(bytes(13), np.uint8)[1:9].view(np.int64),
            lambda: np.zeros((1,) * 33, np.float32) if self.rng.random() < 0.1 else base, lambda: np.longdouble(1),
            lambda: nt.aligned_empty((4, 4), np.float32), lambda: np.matrix([[1.0]]), lambda: base.astype(ml_dtypes.bfloat16),
        ]  # fmt: skip
        return self.rng.choice(odd)()

    def text(self) -> str:
        return self.rng.choice(
            ["", "a", "main", "\ud800", "a\0b", "é" * 300, "float32", "x" * 10000, "%s%n", "cpu", "Host"]
        )

    def executable(self) -> Any:
        return self.rng.choice([*self.programs, *self.programs, self.closed_executable])

    def treedef(self) -> Any:
        return nt.tree_structure(
            self.rng.choice([1, [1], (1, None), {"a": 1, "b": [2]}, None, (), [[[]]], [1] * 50])
        )

    def plan(self) -> Any:
        return nt.CallPlan(self.programs[0], num_leaves=2, out_avals=[F3], single=True)

    def call(self) -> Any:
        made = nt.CompiledCall(None, lambda *_: (None, None), lambda *_: None)
        self.calls.append(made)
        return made

    def any(self) -> Any:
        """Anything at all."""
        return self.rng.choice(
            [
                self.number, self.number, self.array, self.array, self.numpy, self.text, self.hostile, self.hostile,
                self.treedef, self.executable, self.plan, self.call, lambda: None, lambda: self.device,
                lambda: self.client, lambda: self.plugin, lambda: self.closed, lambda: self.closed.devices[0],
                list, lambda: (1, 2), lambda: {"a": 1}, lambda: b"bytes", lambda: print, lambda: int,
                lambda: np.dtype(np.float32), lambda: Ellipsis, lambda: object(), lambda: weakref.ref(self.client),
                lambda: self.floats().__dlpack__(), lambda: iter([1, 2]), lambda: (i for i in range(3)), lambda: nt,
                lambda: range(10**18), lambda: collections.OrderedDict(a=1), lambda: nt.ArrayImpl, lambda: np.float32,
                lambda: bytearray(8), lambda: memoryview(b"abc"), lambda: Shrinking(), lambda: Rows(self.device),
                lambda: nt.Client.__new__(nt.Client), lambda: nt.Device.__new__(nt.Device), lambda: nt.Boundary(print),
                lambda: nt.Executable.__new__(nt.Executable), lambda: ValueError, lambda: [self.hostile()] * 2,
            ]
        )()  # fmt: skip
