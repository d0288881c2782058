"""Programs, compile options and serialised executables with random changes.

Invariant: what reaches XLA may be refused there, but does not end the process.
"""

from __future__ import annotations

import re

import numpy as np

from tests.native.fuzz.pool import ADD, F3, IN_PLACE, ONE, Pool, nt
from tests.native.support import encode_options, message, number

WHILE = """
module @loop {
  func.func public @main(%a: tensor<3xf32>) -> tensor<3xf32> {
    %zero = stablehlo.constant dense<0> : tensor<i32>
    %one = stablehlo.constant dense<1> : tensor<i32>
    %out:2 = stablehlo.while(%x = %a, %i = %zero) : tensor<3xf32>, tensor<i32>
      cond {
        %c = stablehlo.compare LT, %i, %one : (tensor<i32>, tensor<i32>) -> tensor<i1>
        stablehlo.return %c : tensor<i1>
      } do {
        %d = stablehlo.multiply %x, %x : tensor<3xf32>
        %j = stablehlo.add %i, %one : tensor<i32>
        stablehlo.return %d, %j : tensor<3xf32>, tensor<i32>
      }
    return %out#0 : tensor<3xf32>
  }
}
"""
_NUMBERS = ["0", "1", "-1", "4294967296", "9223372036854775807", "?"]
_TYPES = ["f64", "i1", "i4", "ui64", "complex<f32>", "index", "i0", "!stablehlo.token", "f8E5M2"]
_PIECES = [
    "%",
    "{",
    "}",
    '"',
    "\0",
    "é",
    "tensor<",
    "dense<1.0>",
    "stablehlo.",
    "@main",
    "->",
    "loc(unknown)",
]


def spoil_text(pool: Pool, text: str) -> str:
    """A program with a few changes."""
    rng = pool.rng
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        change = rng.randrange(5)
        if change == 0:
            text = text[:at] + text[at + rng.randrange(1, 12) :]
        elif change == 1:
            text = text[:at] + rng.choice(_PIECES) + text[at:]
        elif change == 2:
            text = re.sub(r"\d+(?=x)", rng.choice(_NUMBERS), text, count=rng.randrange(1, 9))
        elif change == 3:
            text = re.sub(r"f32|i32", rng.choice(_TYPES), text, count=rng.randrange(1, 9))
        else:
            names = re.findall(r"%\w+", text)
            text = re.sub(rng.choice(names), rng.choice(names), text, count=1) if names else text
    return text


def spoil_bytes(pool: Pool, data: bytes) -> bytes:
    """Bytes with a few changes."""
    rng = pool.rng
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(out) + 1)
        change = rng.randrange(4)
        if change == 0:
            del out[at:]
        elif change == 1:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif change == 2:
            out[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(12)))
        else:
            out[at:at] = rng.choice(
                [b"\x08\xff\xff\xff\xff\x0f", b"\x20\x00", b"\x28\xff\x01", b"\x1a\x80\x80\x80\x80\x08"]
            )
    return bytes(out)


def _option(pool: Pool) -> bytes:
    """A field of the build options that is known to XLA or not."""
    rng = pool.rng
    field = rng.randrange(1, 45)
    if rng.random() < 0.6:
        return number(field, rng.choice([0, 1, 2, 5, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))
    return message(field, rng.choice([b"", b"text", number(1, 2), number(2, 2**64 - 1), message(1, b"\0")]))


def compile_garbage(pool: Pool) -> None:
    """Compile a spoilt program with good options, or a good one with spoilt options."""
    rng = pool.rng
    options = rng.choice(
        [ONE, ONE, ONE, encode_options(devices=(1,)), encode_options(partitions=2), encode_options(9)]
    )
    kind = rng.random()
    program = spoil_text(pool, rng.choice([ADD, WHILE, IN_PLACE])) if kind < 0.5 else ADD
    if 0.5 <= kind < 0.8:
        extra = b"".join(_option(pool) for _ in range(rng.randrange(1, 4)))
        options = encode_options(extra=extra)
    elif kind >= 0.8:
        options = spoil_bytes(pool, options)
    made = pool.client.compile(program, options)
    made.name, made.fingerprint, made.cost_analysis(), made.memory_stats(), made.optimized_program()
    if program is not ADD:
        return  # it may run for ever
    x = [pool.floats(pool.client.devices.index(d)) for d in made.devices]
    out = made.execute([[a] * rng.randrange(3) for a in x], [F3] * made.num_outputs)
    for part in nt.tree_leaves(out):
        np.asarray(part).tobytes()


def load_garbage(pool: Pool) -> None:
    """Load spoilt executables."""
    rng = pool.rng
    data = rng.choice(
        [pool.serialized, spoil_bytes(pool, pool.serialized), pool.serialized[: rng.randrange(3000)], b""]
    )
    options = rng.choice([b"", b"", ONE, spoil_bytes(pool, ONE)])
    made = pool.client.deserialize(data, options)
    x = pool.floats()
    assert np.asarray(made.execute([[x, x]], [F3])[0][0]).tolist() == [0, 2, 4]
