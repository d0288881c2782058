"""The plain operations of random programs: one line of text each, for operands of given kinds.

Invariant: a line is valid for anima (`np` is `anima.numpy`) and for NumPy (`np` is `numpy`, the rest from `oracle.py`), and
means the same in both. Its functions are tame: bounded slopes near the origin, no poles, kinks at odd places only.

Placeholders: {a} and {b} are operands, {axis} and {other} axes of {a}, {k} a literal number, {n} a literal from 0 to 2.
Kinds are letters: f floating point, c complex, i integer, b boolean.
"""

from __future__ import annotations

UNARY = {
    "f": """
        -{a}
        {a} * {k}
        {a} + {k}
        {k} - {a}
        np.sin({a})
        np.cos({a})
        np.tanh({a})
        np.square({a})
        {a} ** 2
        {a} ** 3
        np.exp(-np.square({a}))
        np.log1p(np.square({a}))
        np.log(np.square({a}) + 0.3)
        np.sqrt(np.square({a}) + 1)
        np.abs({a})
        np.arctan({a})
        np.expm1(np.sin({a}))
        np.maximum({a}, {k})
        np.minimum({k}, {a})
        np.clip({a}, -0.71, 0.93)
        1 / (1.5 + np.square({a}))
        np.reciprocal(2.5 + np.sin({a}))
        np.power(np.square({a}) + 0.5, 1.5)
        np.cbrt(np.square({a}) + 0.7)
        np.where({a} > 0.123, {a}, 0.3 * {a})
        np.where({a} > 0.123, {k}, {a})
        np.sign({a} - 0.0123) * {a}
        np.floor({a} * 1.7) + {a}
        np.asarray(np.floor({a} * 1.7), Int)
        {a} > 0.123
        {a} + 1j * np.cos({a})
        np.asarray({a}, Complex)
        np.asarray({a}, Narrow)
        lax.logistic({a})
        lax.rsqrt(np.square({a}) + 0.5)
        lax.integer_pow({a}, 3)
        lax.sin({a})
        lax.tanh(lax.neg({a}))
        lax.square({a})
    """,
    "c": """
        -{a}
        {a} * {k}
        {a} * (0.5 - 0.3j)
        {a} + {k}
        np.conj({a})
        np.square({a})
        {a} ** 2
        np.real({a})
        np.imag({a})
        np.abs({a} + (3 + 2j))
        np.sin(np.real({a})) + {a}
        np.exp(1j * np.real({a}))
        {a} / (2 + np.square(np.real({a})))
        1 / ({a} + (5 + 3j))
        np.real({a} * np.conj({a}))
        np.asarray({a}, NarrowComplex)
        lax.exp({a} * 0.3)
        lax.mul({a}, {a})
    """,
    "i": """
        {a} % 5
        -{a}
        {a} // 2
        {a} + 1
        {a} % 3 * 2
        np.clip({a}, -2, 2)
        np.abs({a})
        {a} ^ 1
        {a} * {k}
        np.asarray({a}, Float)
        {a} > 1
        {a} == 1
        np.asarray({a} % 7, NarrowInt)
        np.square({a} % 4)
    """,
    "b": """
        np.invert({a})
        np.asarray({a}, Int)
        np.asarray({a}, Float)
        np.where({a}, 0.7, -0.4)
        np.logical_not({a})
    """,
}

# Operands whose shapes broadcast against each other.
BINARY = {
    ("fci", "fci"): """
        {a} + {b}
        {a} - {b}
        {a} * {b}
        np.multiply({a}, {b})
        np.where(np.real({a}) < np.real({b}) + 0.0123, {a}, {b})
    """,
    ("fi", "fi"): """
        np.maximum({a}, {b})
        np.minimum({a}, {b})
        {a} < {b} + 0.0123
        np.fmax({a}, {b})
    """,
    ("f", "f"): """
        np.arctan2({a}, 1.5 + np.square({b}))
        {a} / (1.5 + np.square({b}))
        np.power(np.square({a}) + 0.5, np.sin({b}))
        np.hypot({a} + 3, {b})
        np.logaddexp({a}, {b})
        {a} + 1j * {b}
        lax.complex(np.asarray({a}, Float) + 0 * {b}, np.asarray({b}, Float) + 0 * {a})
    """,
    ("i", "i"): """
        np.maximum({a}, {b})
        {a} * {b} % 5
        {a} == {b}
        {a} & {b}
    """,
    ("b", "b"): """
        {a} & {b}
        {a} | {b}
        {a} ^ {b}
    """,
    ("b", "fci"): """
        np.where({a}, {b}, {k})
        np.where({a}, -0.3, {b})
        {b} * {a}
        np.where({a}, {b}, 1 - {b})
        np.logical_and({a}, np.real({b}) > 0.05)
    """,
}

# Operands with at least one axis.
AXES = {
    "fc": """
        np.sum({a}, axis={axis})
        np.sum({a})
        np.mean({a}, axis={axis}, keepdims=True)
        np.mean({a})
        np.prod({a}, axis={axis})
        np.cumsum({a}, axis={axis})
        np.cumprod({a} * 0.5, axis={axis})
        np.diff({a}, axis={axis})
        lax.cumsum({a}, axis={axis}, reverse=True)
        lax.reduce_sum({a}, ({axis},))
        {a} @ np.swapaxes({a}, {axis}, {other})
        np.einsum('...i,...i->...', {a}, {a})
        np.einsum('i...,j...->ij', {a}, {a})
        np.dot({a}, {a})
        np.outer({a}, {a})
        np.tensordot({a}, {a}, axes=1)
        np.trace({a})
        np.vdot({a}, {a})
        np.linspace(0, 1, 2) * np.sum({a})
        np.convolve(np.ravel({a}), np.array([0.3, -0.7, 0.2]))
    """,
    "f": """
        np.max({a}, axis={axis})
        np.min({a}, axis={axis}, keepdims=True)
        np.max({a})
        np.var({a}, axis={axis})
        np.sort({a}, axis={axis})
        np.sort({a}, axis={axis})[::-1]
        np.argmax({a}, axis={axis})
        np.argsort({a}, axis={axis})
        np.argmin({a})
        np.take_along_axis({a}, np.argsort({a}, axis={axis}), axis={axis})
        np.median({a})
        np.median({a}, axis={axis})
        np.any({a} > 0.123, axis={axis})
        lax.cummax({a}, axis={axis})
        lax.cummin({a}, axis={axis}, reverse=True)
        lax.cumlogsumexp({a}, axis={axis})
        lax.reduce_max({a}, ({axis},))
        np.interp({a}, np.array([-0.9, 0.1, 1.2]), np.array([0.3, -0.2, 0.8]))
        np.searchsorted(np.array([-0.9, 0.1, 1.2]), {a})
        np.linalg.norm(np.append({a}, 3.0))
    """,
    "i": """
        np.sum({a}, axis={axis}) % 5
        np.cumsum({a}, axis={axis})
        np.max({a}, axis={axis})
        np.argmax({a}, axis={axis})
        np.sort({a}, axis={axis})
        np.bincount(np.ravel(np.abs({a})) % 3, length=3)
        np.count_nonzero({a}, axis={axis})
    """,
    "b": """
        np.any({a}, axis={axis})
        np.all({a})
        np.sum({a}, axis={axis})
        np.count_nonzero({a})
        np.cumsum({a}, axis={axis})
        np.argmax({a}, axis={axis})
    """,
    "fcib": """
        {a}[0]
        {a}[-1]
        {a}[1:]
        {a}[::-1]
        {a}[:, 0]
        {a}[..., None]
        {a}[None]
        {a}[..., 0:2]
        {a}[-2::2]
        {a}[np.array([1, 0, 1])]
        {a}[:, np.array([0, -1])]
        {a}[np.array([[0], [1]]), np.array([0, 1])]
        np.transpose({a})
        np.moveaxis({a}, {axis}, {other})
        np.ravel({a})
        np.expand_dims({a}, {axis})
        np.flip({a}, axis={axis})
        np.roll({a}, {n}, axis={axis})
        np.pad({a}, 1)
        np.tile({a}, 2)
        np.repeat({a}, {n}, axis={axis})
        np.split({a}, 2, axis={axis})[1]
        np.stack([{a}, {a}], axis={axis})
        np.concatenate([{a}, {a}], axis={axis})
        np.take({a}, np.array([1, 0]), axis={axis})
        np.squeeze({a}, axis={axis})
        np.atleast_2d({a})
        np.reshape({a}, (-1, 1))
        np.reshape({a}, (2, -1))
        np.broadcast_to({a}, (2, *np.shape({a})))
        lax.rev({a}, ({axis},))
        lax.slice_in_dim({a}, 0, {n}, axis={axis})
        lax.expand_dims({a}, ({axis},))
        np.triu({a})
        np.diag({a})
        np.rot90({a})
        updated({a}, 0, 'set', 1)
        updated({a}, np.array([0, 0, 1]), 'set', {a}[0])
    """,
}

# An operand with an axis, and a scalar integer.
PLACES = """
    {a}[{b} % 2]
    {a}[-1 - {b} % 2]
    np.take({a}, {b} % 2, axis={axis})
    lax.dynamic_index_in_dim({a}, {b}, {axis}, keepdims=False)
    lax.dynamic_slice_in_dim({a}, {b}, 1, axis={axis})
    np.roll({a}, {b}, axis={axis})
    updated({a}, {b} % 2, 'set', {k})
    updated({a}, {b} % 2, 'multiply', 2)
    lax.dynamic_update_index_in_dim({a}, {a}[0], {b} % 2, 0)
"""

# An operand with an axis, and an array of integers.
TABLES = """
    {a}[{b} % 2]
    np.take({a}, {b} % 2, axis={axis})
    updated({a}, {b} % 2, 'set', {k})
    updated({a}, {b} % 2, 'add', {a}[0])
    updated({a}, {b} % 2, 'min', {k})
"""

# Two operands of the same kind, the first with an axis.
PAIRS = {
    "fc": """
        {a} @ {b}
        np.matmul({b}, {a})
        np.dot({a}, {b})
        np.einsum('i...,i...->...', {a}, {b})
        np.einsum('...i,j->...ij', {a}, np.ravel({b}))
        np.tensordot({a}, {b}, axes=1)
        np.outer({a}, {b})
        np.inner({a}, {b})
        np.kron({a}, {b})
        updated({a}, 0, 'add', {b})
        updated({a}, 0, 'multiply', {b})
        updated({a}, np.array([1, 0, 1]), 'add', {b})
        updated({a}, (0, np.array([0, 1, 0])), 'add', {b})
        updated({a}, (slice(None), 0), 'set', {b})
        np.convolve(np.ravel({a}), np.ravel({b}), mode='same')
        lax.dot_general({a}, {b}, (((0,), (0,)), ((), ())))
        lax.dot_general({a}, {b}, (((1,), (1,)), ((0,), (0,))))
    """,
    "f": """
        updated({a}, 0, 'max', {b})
    """,
    "fcib": """
        np.concatenate([{a}, {b}], axis={axis})
        np.stack([{a}, {b}])
        np.stack([{a}, {b}], axis=-1)
        np.append({a}, {b})
        np.vstack([{a}, {b}])
        updated({a}, 0, 'set', {b})
        updated({a}, slice(1, None), 'set', {b})
        updated({a}, (Ellipsis, -1), 'set', {b})
        lax.dynamic_update_slice({a}, {b}, (0,) * np.ndim({a}))
    """,
}

# Linear in the first operand; the second is real.
LINEAR = {
    "fc": """
        -{a}
        {a} * {k}
        {a} * {b}
        {a} / (1.5 + np.square({b}))
        {a} * (0.5 - 0.3j)
        np.where({b} > 0.123, {a}, 0)
        np.where({b} > 0.123, 0.7 * {a}, -{a})
        np.sum({a}, axis={axis})
        np.mean({a}, axis={axis}, keepdims=True)
        np.cumsum({a}, axis={axis})
        lax.cumsum({a}, axis={axis}, reverse=True)
        np.diff({a}, axis={axis})
        np.transpose({a})
        np.moveaxis({a}, {axis}, {other})
        {a}[0]
        {a}[::-1]
        {a}[1:]
        {a}[:, 0]
        {a}[..., None]
        {a}[np.array([1, 0, 1])]
        np.take({a}, np.array([1, 0]), axis={axis})
        lax.dynamic_slice_in_dim({a}, 1, 1, axis={axis})
        updated({a}, 0, 'set', 0)
        updated({a}, 0, 'add', {a}[-1])
        updated({a}, np.array([1, 0, 1]), 'add', {a}[0])
        lax.dynamic_update_slice(np.zeros_like({a}), {a}[1:], (0,) * np.ndim({a}))
        np.reshape({a}, (2, -1))
        np.broadcast_to({a}, (2, *np.shape({a})))
        np.pad({a}, 1)
        np.roll({a}, {n}, axis={axis})
        np.tile({a}, 2)
        np.repeat({a}, {n}, axis={axis})
        np.split({a}, 2, axis={axis})[1]
        np.stack([{a}, {a} * {k}], axis={axis})
        np.concatenate([{a}, {a} * {k}], axis={axis})
        np.triu({a})
        np.trace({a})
        np.outer({a}, {b})
        {a} @ {b}
        {b} @ {a}
        np.tensordot({b}, {a}, axes=1)
        np.einsum('i...,j...->ij', {a}, {b})
        np.convolve(np.ravel({a}), np.array([0.3, -0.7, 0.2]))
        jit(lambda v: v[::-1] + {k} * v)({a})
        checkpoint(lambda v: v * {b} - v)({a})
        vmap(lambda v: v * {k} - np.sum(v))({a})
        vmap(lambda v: v[::-1], in_axes={axis}, out_axes={axis})({a})
        lax.map(lambda v: {k} * v, {a})
        lax.associative_scan(np.add, {a})
        lax.scan(lambda c, v: (c * {k} + v, c - v), 0 * {a}[0], {a})[1]
        lax.scan(lambda c, v: (v, None), {a}[0], {a})[0]
        lax.fori_loop(0, 3, lambda i, v: v * {k} + {a}, {a})
        lax.cond(np.sum({b}) > 0.123, lambda v: v * {k}, lambda v: -v, {a})
        lax.custom_linear_solve(lambda v: 2.5 * v, {a}, lambda matvec, r: r / 2.5, symmetric=True)
    """,
    "c": """
        np.conj({a})
        np.real({a})
        np.imag({a})
        np.fft.fft({a})
    """,
}

CONSTANTS = """
    0.7
    2
    True
    np.ones(3)
    np.zeros((2, 2))
    np.arange(3) * 0.4
    np.array([0.3, -1.2])
    np.eye(2)
    np.array(0.6)
    np.arange(2)
    np.array([True, False, True])
    np.array([0.2 - 0.5j, 1.1j])
    np.ones((0, 2))
    np.full((2, 1), -0.8)
    0.5 - 0.25j
"""

NUMBERS = ("0.5", "2", "-1.3", "0.7", "-1", "1.1")


def lines(text: str) -> tuple[str, ...]:
    """The lines of one of the texts above."""
    return tuple(line.strip() for line in text.strip().splitlines())
