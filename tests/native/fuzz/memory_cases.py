"""Memory of others: DLPack capsules with nonsense in them, NumPy arrays of odd layouts, buffers of every format.

Invariant: a capsule's address is null or that of memory that exists, since nobody can tell whether another is; all
else in it is chance, but no size that goes beyond that memory (a capsule that lies about it cannot be found out).
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tests.native.fuzz.pool import Pool, nt


class Tensor(ctypes.Structure):
    """The head of a DLPack capsule, up to its deleter."""

    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    ]  # fmt: skip


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
MEMORY = np.zeros(1 << 16, np.uint8)  # what good addresses point into: larger than any tensor below
KEPT: list[Any] = []  # capsules do not own what they point at


def _mostly(pool: Pool, usual: Any, *others: Any) -> Any:
    return usual if pool.rng.random() < 0.9 else pool.rng.choice(others)


def _make_tensor(pool: Pool) -> Tensor:
    rng = pool.rng
    dims = [rng.choice([1, 2, 3, 4]) for _ in range(rng.randrange(4))]
    strides = [rng.choice([0, 1, 4, 16]) for _ in dims]
    if dims and rng.random() < 0.1:
        dims[rng.randrange(len(dims))] = rng.choice([0, -1, -(2**63)])
    if dims and rng.random() < 0.1:
        strides[0], dims[0] = rng.choice([2**62, -(2**62)]), 1  # a stride that is not walked
    if rng.random() < 0.05:
        dims, strides = [2**62, 2**62, 4], [0, 0, 0]  # more elements than can be counted
    shape, steps = (ctypes.c_int64 * 4)(*dims), (ctypes.c_int64 * 4)(*strides)
    tensor = Tensor()
    tensor.data = _mostly(pool, MEMORY.ctypes.data, MEMORY.ctypes.data + 1, None)
    tensor.device_type = _mostly(pool, 1, 2, 3, 0, -1, 99)
    tensor.device_id = _mostly(pool, 0, 5, -1)
    tensor.ndim = _mostly(pool, len(dims), -1, 10**6)
    tensor.code, tensor.bits = rng.choice(
        [(0, 32), (1, 8), (2, 32), (2, 64), (4, 16), (5, 64), (6, 8), (2, 7), (77, 8)]
    )
    tensor.lanes = _mostly(pool, 1, 0, 2)
    tensor.shape = _mostly(pool, ctypes.addressof(shape), None)
    tensor.strides = rng.choice([ctypes.addressof(steps), None])
    tensor.byte_offset = _mostly(pool, 0, 1, 64)
    KEPT[:] = [*KEPT[-50:], tensor, shape, steps]
    return tensor


def import_capsule(pool: Pool) -> None:
    """A capsule made by hand."""
    name = _mostly(pool, b"dltensor", b"used_dltensor", b"other", None)
    capsule = _new_capsule(ctypes.addressof(_make_tensor(pool)), name, None)
    device = _mostly(pool, pool.device, None, pool.client.devices[1], pool.closed.devices[0], pool.any())
    made = nt.from_dlpack_capsule(capsule, device, pool.rng.choice([None, None, True, False]))
    np.asarray(made).tobytes()
    nt.from_dlpack_capsule(capsule)


def odd_memory(pool: Pool) -> None:
    """NumPy arrays in, NumPy arrays, buffers and capsules out, while others take them away."""
    rng = pool.rng
    source = rng.choice([pool.numpy, pool.numpy, pool.numpy, pool.number, pool.any])()
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["dtype"] = rng.choice([np.float32, "int8", "complex64", "O", "S3", "M8[s]", pool.any()])
    x = nt.array_from_host(source, pool.device, rng.choice([None, None, True, True, False]), **options)
    pool.arrays.append(x)
    outs: list[Any] = [
        lambda: np.asarray(x), lambda: memoryview(x), lambda: np.asarray(x, rng.choice(["f8", "O", "U5", "V0", "i4"])),
        lambda: x.__dlpack__(), lambda: np.from_dlpack(x), lambda: nt.copy_to_device(x, pool.client.devices[1]),
        lambda: x.__array__(pool.any(), pool.any()), lambda: x.__dlpack__(max_version=(1, 0), copy=True),
        lambda: nt.from_dlpack_capsule(x.__dlpack__(), pool.device), lambda: nt.array_with(x, dtype=pool.any()),
        lambda: x.item(pool.any()), lambda: x.item(rng.randrange(-30, 30)), lambda: x.tolist(),
        lambda: nt.array_with(x, dtype=rng.choice([np.int32, np.float32, np.uint8, bool])),
    ]  # fmt: skip
    taken = [rng.choice(outs)() for _ in range(3)]
    if rng.random() < 0.3:
        x.delete()
    for out in taken:
        if isinstance(out, (np.ndarray, memoryview)):
            out.tobytes()
