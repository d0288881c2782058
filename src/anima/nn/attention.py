"""Attention: softmax over products of queries and keys, as weights of values.

Invariant: logits and softmax are computed in float32 at least, whatever the dtype of the operands; the result has theirs.
"""

from __future__ import annotations

import math
from typing import Any

import anima.numpy as np
from anima import dtypes, lax
from anima.errors import ArgumentError
from anima.nn.normalization import logsumexp, softmax
from anima.numpy.calls import function, plain
from anima.numpy.promotion import dtype_of, shape_of

# What logits that are masked become: finite, so that a row without any key has the mean of all values and no NaN.
_MASKED = -0.7 * float(dtypes.finfo(dtypes.float32).max)


@function(static=("is_causal", "local_window_size", "implementation", "return_residual"))
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: Any = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
) -> Any:
    """`softmax(scale * query @ key.T + bias) @ value` for each head.

    Sources: Vaswani et al., "Attention Is All You Need" (2017); Ainslie et al., "GQA" (2023), for shared heads.

    Args:
      query: an array of shape `(B, T, N, H)`, or `(T, N, H)` without a batch: T positions, N heads, H features.
      key, value: arrays of shape `(B, S, K, H)`, or without `B`; N is a multiple of K, and N / K heads share one of theirs.
      bias: what is added to the logits; broadcasts to `(B, N, T, S)`.
      mask: booleans that broadcast to `(B, N, T, S)`: False takes a logit out.
      scale: the factor of the logits, by default `1 / sqrt(H)`.
      is_causal: whether a query sees no key behind its own position.
      query_seq_lengths: int32 of shape `(B,)`; results from there on are 0.
      key_value_seq_lengths: int32 of shape `(B,)`; keys from there on are not seen.
      local_window_size: how many keys before and behind its position a query sees; one number stands for both.
      implementation: None or "xla", which are the same.
      return_residual: whether to return the logarithms of the softmax's denominators, too, as constants for
        differentiation.
    Returns:
      an array of the query's shape and dtype; with `return_residual` a pair of it and an array of its shape without H.
    Raises:
      ValueError: a shape or dtype does not fit, or the implementation is unknown.
      RuntimeError: the implementation is "cudnn", which is not there.

    >>> import anima.numpy as np
    >>> from anima import nn
    >>> x = np.arange(6.0).reshape(3, 1, 2)
    >>> print(nn.dot_product_attention(x, x, x, is_causal=True)[0])
    [[0. 1.]]
    """
    if implementation not in (None, "xla", "cudnn"):
        raise ValueError(
            f"dot_product_attention: implementation must be None or 'xla', got {implementation!r}"
        )
    if implementation == "cudnn":
        raise RuntimeError("dot_product_attention: there is no cuDNN implementation; use None or 'xla'")
    given = np.asarray(query)
    shape = shape_of(given)
    query, key, value = (_with_batch(n, a) for n, a in (("query", given), ("key", key), ("value", value)))
    batch, steps, heads, _ = shape_of(query)
    _check_operands(query, key, value)
    weights_shape = (batch, heads, steps, shape_of(key)[1])
    bias, mask = (_pattern(n, a, weights_shape) for n, a in (("bias", bias), ("mask", mask)))
    lengths = [
        _lengths(n, a, batch)
        for n, a in (
            ("query_seq_lengths", query_seq_lengths),
            ("key_value_seq_lengths", key_value_seq_lengths),
        )
    ]
    seen = _seen(mask, weights_shape[2:], is_causal, lengths, _window(local_window_size))
    out, residual = _attend(query, key, value, bias, seen, scale)
    if lengths[0] is not None:
        used = np.arange(steps, dtype=lengths[0].dtype) < lengths[0][:, None]
        out = np.where(used[:, :, None, None], out, np.zeros_like(out))
    out = out.reshape(shape)
    return (out, lax.stop_gradient(residual).reshape(shape[:-1])) if return_residual else out


def _with_batch(name: str, x: Any) -> Any:
    """An operand as a stack of sequences."""
    x = np.asarray(x)
    ndim = len(shape_of(x))
    if ndim not in (3, 4):
        raise ValueError(
            f"dot_product_attention: {name} must have 3 or 4 dimensions, (batch,) length, heads, features; got shape "
            f"{shape_of(x)}"
        )
    return x if ndim == 4 else x[None]


def _check_operands(query: Any, key: Any, value: Any) -> None:
    """Raise ValueError unless shapes and dtypes fit together."""
    first, second, third = shape_of(query), shape_of(key), shape_of(value)
    if second != third:
        raise ValueError(
            f"dot_product_attention: key and value must have one shape, got {second} and {third}"
        )
    if first[0] != second[0] or first[3] != second[3]:
        raise ValueError(
            f"dot_product_attention: query must have the batch size {second[0]} and the features {second[3]} of key, got "
            f"shape {first}"
        )
    if not second[2] or first[2] % second[2]:
        raise ValueError(
            f"dot_product_attention: the heads of query, {first[2]}, must be a multiple of those of key, {second[2]}"
        )
    kinds = [dtype_of(x) for x in (query, key, value)]
    if any(kind != kinds[1] for kind in kinds):
        listed = ", ".join(dtypes.dtype_name(kind) for kind in kinds)
        raise ValueError(f"dot_product_attention: query, key and value must have one dtype, got {listed}")


def _pattern(name: str, x: Any, shape: tuple[int, ...]) -> Any:
    """A bias or a mask with four dimensions, checked."""
    if x is None:
        return None
    x = np.asarray(x)
    known = shape_of(x)
    if len(known) > 4 or any(a not in (1, b) for a, b in zip(known[::-1], shape[::-1])):
        raise ArgumentError(f"dot_product_attention: {name} of shape {known} does not broadcast to {shape}")
    if name == "mask" and not dtypes.is_bool(dtype_of(x)):
        raise ValueError(
            f"dot_product_attention: mask must hold booleans, got {x.dtype}; add numbers with bias"
        )
    return x.reshape((1,) * (4 - len(known)) + known)


def _lengths(name: str, x: Any, batch: int) -> Any:
    """The lengths of sequences, checked."""
    if x is None:
        return None
    x = np.asarray(x)
    if x.dtype != dtypes.int32:
        raise ValueError(f"dot_product_attention: {name} must be int32, got {x.dtype}")
    if x.shape != (batch,):
        raise ValueError(f"dot_product_attention: {name} must have shape ({batch},), got {x.shape}")
    return x


def _window(sizes: Any) -> tuple[int, int] | None:
    """How many keys are seen before and behind a position."""
    if sizes is None:
        return None
    if isinstance(sizes, int):
        return sizes, sizes
    if len(sizes) != 2:
        raise ValueError(
            f"dot_product_attention: local_window_size must be one integer or two, got {sizes!r}"
        )
    return sizes[0], sizes[1]


def _seen(mask: Any, shape: tuple[int, int], is_causal: bool, lengths: list[Any], window: Any) -> Any:
    """Which keys each query sees, as an array of four dimensions, or None if it sees all."""
    row = lax.broadcasted_iota(dtypes.int32, shape, 0)
    column = lax.broadcasted_iota(dtypes.int32, shape, 1)
    conditions = [] if mask is None else [mask]
    if is_causal:
        conditions.append((column <= row)[None, None])
    if window is not None:
        before, behind = window
        conditions.append(((column >= row - before) & (column <= row + behind))[None, None])
    for place, ends in zip((row, column), lengths):
        if ends is not None:
            conditions.append((place < ends[:, None, None])[:, None])
    result = None
    for condition in conditions:
        result = condition if result is None else result & condition
    return result


def _attend(query: Any, key: Any, value: Any, bias: Any, seen: Any, scale: Any) -> tuple[Any, Any]:
    """Results and logarithms of denominators, of shapes `(B, T, N, H)` and `(B, T, N)`, for checked operands."""
    kind = dtype_of(query)
    wide = dtypes.promote_types(dtypes.float32, kind) if dtypes.is_inexact(kind) else dtypes.float32
    batch, steps, heads, features = shape_of(query)
    shared = shape_of(key)[2]
    # Heads that share a key's are one more dimension; a bias or a mask has it where it has heads at all.
    split = lambda x: x.reshape(
        x.shape[0], *((1, 1) if x.shape[1] == 1 else (shared, heads // shared)), *x.shape[2:]
    )
    grouped = query.reshape(batch, steps, shared, heads // shared, features)
    logits = np.einsum("btkgh,bskh->bkgts", grouped, key, preferred_element_type=wide)
    logits = logits * np.asarray(1 / math.sqrt(features) if scale is None else scale, logits.dtype)
    if bias is not None:
        logits = (logits + split(bias)).astype(logits.dtype)
    if seen is not None:
        logits = np.where(split(seen), logits, np.asarray(_MASKED, logits.dtype))
    weights = plain(softmax)(logits).astype(kind)
    out = np.einsum("bkgts,bskh->btkgh", weights, value).astype(kind)
    residual = np.transpose(plain(logsumexp)(logits, -1), (0, 3, 1, 2)).astype(kind)
    return out.reshape(batch, steps, heads, features), residual.reshape(batch, steps, heads)
