"""Generators of random numbers: what one consists of, which there are, and the dtypes of their keys.

Invariant: an implementation is four pure functions of one raw key, an array of unsigned integers; whatever has many keys
maps over them. Each implementation has one dtype of keys, so keys of different ones never mix.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anima import dtypes
from anima.config import default_prng_impl
from anima.dtypes.declared import ExtendedDType
from anima.options import close_matches
from anima.random import counters, rbg, threefry
from anima.records import Record

Shape = tuple[int, ...]


class PRNGImpl(Record):
    """A generator.

    Attributes:
      key_shape: the shape of a raw key, which is an array of uint32.
      seed: the raw key of an integer scalar.
      split: new raw keys, an array of shape `(*shape, *key_shape)`, from a raw key and a shape.
      random_bits: unsigned integers, from a raw key, their number of bits (8, 16, 32 or 64) and a shape.
      fold_in: a new raw key, from a raw key and a uint32 scalar.
      longer_bits, longer_split: the same for arrays of several sizes, as `threefry.longer_bits` and `threefry.longer_split` say;
        None where numbers depend on the shape in another way.
      name: what `impl=` calls it.
      tag: how the dtype of its keys prints, between the angle brackets of `key<...>`.
    """

    key_shape: Shape
    seed: Callable[[Any], Any]
    split: Callable[[Any, Shape], Any]
    random_bits: Callable[[Any, int, Shape], Any]
    fold_in: Callable[[Any, Any], Any]
    name: str = "<unnamed>"
    tag: str = "?"
    longer_bits: Callable[..., Any] | None = None
    longer_split: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        return self.tag


class KeyDType(ExtendedDType):
    """The dtype of typed keys of one generator. Equal generators have equal dtypes."""

    __slots__ = ("impl",)

    def __init__(self, impl: PRNGImpl) -> None:
        scalar: Any = dtypes.prng_key
        super().__init__(f"key<{impl.tag}>", scalar, impl.key_shape, dtypes.uint32)
        self.impl = impl
        self._hash = hash((KeyDType, impl))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, KeyDType) and self.impl == other.impl)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        if registered.get(self.impl.name) == self.impl:
            return _dtype_by_name, (self.impl.name,)
        return KeyDType, (self.impl,)


def _dtype_by_name(name: str) -> KeyDType:
    return KeyDType(registered[name])


threefry_impl = PRNGImpl(
    (threefry.KEY_WORDS,),
    threefry.seed,
    threefry.split,
    threefry.bits,
    threefry.fold_in,
    "threefry2x32",
    "fry",
    threefry.longer_bits,
    threefry.longer_split,
)
rbg_impl = PRNGImpl(
    (rbg.KEY_WORDS,),
    rbg.seed,
    rbg.split,
    rbg.bits,
    rbg.fold_in,
    "rbg",
    "rbg",
)
unsafe_rbg_impl = PRNGImpl(
    (rbg.KEY_WORDS,),
    rbg.seed,
    rbg.unsafe_split,
    rbg.bits,
    rbg.unsafe_fold_in,
    "unsafe_rbg",
    "urbg",
)


def _counted(functions: counters.Counters, tag: str) -> PRNGImpl:
    return PRNGImpl(
        (functions.key_words,),
        functions.seed,
        functions.split,
        functions.bits,
        functions.fold_in,
        functions.cipher.name,
        tag,
        functions.longer_bits,
        functions.longer_split,
    )


#: The generators that have a name of their own.
registered: dict[str, PRNGImpl] = {
    i.name: i
    for i in (
        threefry_impl,
        rbg_impl,
        unsafe_rbg_impl,
        _counted(counters.philox2x32, "phx2"),
        _counted(counters.philox4x32, "phx4"),
        _counted(counters.threefry4x32, "fry4"),
    )
}


def resolve(function: str, spec: Any, argument: str = "impl") -> PRNGImpl:
    """The generator that an argument names; None names the default one.

    Raises:
      ValueError: no generator has this name. TypeError: it is no description of a generator.
    """
    if spec is None:
        return registered[default_prng_impl.value]
    if isinstance(spec, PRNGImpl):
        return spec
    if isinstance(spec, KeyDType):
        return spec.impl
    if isinstance(spec, str):
        if spec not in registered:
            raise ValueError(
                f"{function}: {argument} names the unknown generator {spec!r}; there are "
                f"{', '.join(map(repr, registered))}{close_matches(spec, list(registered))}"
            )
        return registered[spec]
    raise TypeError(
        f"{function}: {argument} must be the name of a generator, a generator from extend.random or a dtype of keys, "
        f"got {type(spec).__name__}"
    )


def is_key_dtype(dtype: Any) -> bool:
    """Whether `dtype` is that of typed keys."""
    return isinstance(dtype, KeyDType)
