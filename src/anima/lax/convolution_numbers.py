"""The dimensions of convolutions: which is which, and what shapes come out.

Invariant: once canonical, dimension numbers are permutations in the order (batch, feature, spatial ...) for the operand
and the result and (output feature, input feature, spatial ...) for the kernel; strides, paddings and dilations are in the
order of the kernel's spatial dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from anima.errors import ArgumentError
from anima.lax.window_shapes import Pads, dilated, explicit_pads, integers, named_pads


class ConvDimensionNumbers(NamedTuple):
    """Which dimension of each array of a convolution is which.

    Attributes:
      lhs_spec: the operand's batch dimension, its feature dimension, then the spatial ones.
      rhs_spec: the kernel's output feature dimension, its input feature dimension, then the spatial ones.
      out_spec: the result's batch dimension, its feature dimension, then the spatial ones.
    """

    lhs_spec: Sequence[int]
    rhs_spec: Sequence[int]
    out_spec: Sequence[int]


ConvGeneralDilatedDimensionNumbers: TypeAlias = (
    ConvDimensionNumbers | tuple[str, str, str] | tuple[Sequence[int], Sequence[int], Sequence[int]] | None
)


class Geometry(NamedTuple):
    """Which elements of the operand and the kernel meet in which element of the result.

    Attributes:
      window_strides, padding, lhs_dilation, rhs_dilation: one entry for each spatial dimension.
      dimension_numbers: in canonical form.
      feature_group_count, batch_group_count: into how many groups the operand's features or its batch are divided.
        Each meets its own part of the kernel's output features. At most one of them is not 1.
    """

    window_strides: tuple[int, ...]
    padding: Pads
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    dimension_numbers: ConvDimensionNumbers
    feature_group_count: int
    batch_group_count: int

    @property
    def groups(self) -> int:
        return self.feature_group_count * self.batch_group_count

    def base(self, lhs_shape: Sequence[int]) -> tuple[int, ...]:
        """The operand's spatial sizes, after dilation."""
        spatial = self.dimension_numbers.lhs_spec[2:]
        return tuple(dilated(lhs_shape[d], step) for d, step in zip(spatial, self.lhs_dilation))

    def window(self, rhs_shape: Sequence[int]) -> tuple[int, ...]:
        """The kernel's spatial sizes, after dilation."""
        spatial = self.dimension_numbers.rhs_spec[2:]
        return tuple(dilated(rhs_shape[d], step) for d, step in zip(spatial, self.rhs_dilation))

    def places(self, lhs_shape: Sequence[int], rhs_shape: Sequence[int]) -> tuple[int, ...]:
        """The result's spatial sizes."""
        padded = padded_sizes("conv_general_dilated", self.base(lhs_shape), self.padding)
        windows = self.window(rhs_shape)
        return tuple(max((n - w) // s + 1, 0) for n, w, s in zip(padded, windows, self.window_strides))


_WORD = "convolution dimension_numbers"


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: ConvGeneralDilatedDimensionNumbers
) -> ConvDimensionNumbers:
    """The canonical form of a convolution's dimension numbers.

    Args:
      lhs_shape, rhs_shape: the shapes of the operand and of the kernel; only their lengths matter.
      dimension_numbers: three strings such as `('NHWC', 'HWIO', 'NHWC')`, in which N is the batch, C the feature, I and O
        the kernel's input and output feature dimension and other letters, the same ones in each, are spatial
        dimensions; or three permutations; or None for `('NCHW', 'OIHW', 'NCHW')` in any number of dimensions.
    Raises:
      TypeError: they are malformed or do not fit the shapes; ArgumentError: they are not three.

    >>> from anima import lax
    >>> lax.conv_dimension_numbers((1, 8, 8, 3), (3, 3, 3, 5), ("NHWC", "HWIO", "NHWC"))
    ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))
    """
    rank = len(lhs_shape)
    if len(rhs_shape) != rank:
        raise TypeError(
            f"convolution: lhs and rhs must have equally many dimensions, got {rank} and {len(rhs_shape)} for shapes "
            f"{tuple(lhs_shape)} and {tuple(rhs_shape)}"
        )
    if dimension_numbers is None:
        plain = tuple(range(rank))
        return ConvDimensionNumbers(plain, plain, plain)
    if not isinstance(dimension_numbers, (tuple, list)):
        raise TypeError(
            f"{_WORD} must be None, a ConvDimensionNumbers or three strings such as ('NHWC', 'HWIO', 'NHWC'), "
            f"got {dimension_numbers!r}"
        )
    if len(dimension_numbers) != 3:
        raise ArgumentError(
            f"{_WORD} must have three elements, for lhs, rhs and the result, got {len(dimension_numbers)}"
        )
    specs: Any = dimension_numbers
    named = any(isinstance(spec, str) for spec in specs)
    found = conv_general_permutations(specs) if named else _permutations(specs)
    for place, spec in enumerate(found):
        if len(spec) != rank:
            raise TypeError(
                f"{_WORD}[{place}] must name all {rank} dimensions of lhs and rhs, got {specs[place]!r} for shapes "
                f"{tuple(lhs_shape)} and {tuple(rhs_shape)}"
            )
    return ConvDimensionNumbers(*found)


def _permutations(specs: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    found = []
    for place, spec in enumerate(specs):
        try:
            dims = integers("convolution", f"dimension_numbers[{place}]", spec, least=0)
        except TypeError as error:
            raise TypeError(
                f"{_WORD} must be three strings or three permutations, got {tuple(specs)}"
            ) from error
        if sorted(dims) != list(range(len(dims))):
            raise TypeError(f"{_WORD}[{place}] must be a permutation of the dimensions, got {dims}")
        found.append(dims)
    return tuple(found)


def conv_general_permutations(
    dimension_numbers: Sequence[str],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The permutations that bring the arrays of a convolution to (N, C, spatial), (O, I, spatial) and (N, C, spatial).

    Args:
      dimension_numbers: three strings, as in `conv_dimension_numbers`.
    Raises:
      TypeError: they are malformed; ArgumentError: they are not three strings.

    >>> from anima import lax
    >>> lax.conv_general_permutations(("NHWC", "HWIO", "NHWC"))
    ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
    """
    specs = tuple(dimension_numbers)
    if len(specs) != 3 or not all(isinstance(spec, str) for spec in specs):
        raise ArgumentError(
            f"{_WORD} must be three strings such as ('NHWC', 'HWIO', 'NHWC'), got {dimension_numbers!r}"
        )
    special = (("N", "C"), ("O", "I"), ("N", "C"))
    for place, (spec, (first, second)) in enumerate(zip(specs, special)):
        if spec.count(first) != 1 or spec.count(second) != 1:
            raise TypeError(
                f"{_WORD}[{place}] must contain {first!r} and {second!r} exactly once, got {spec!r}"
            )
        if len(set(spec)) != len(spec):
            raise TypeError(f"{_WORD}[{place}] must not repeat a character, got {spec!r}")
    spatial = [c for c in specs[1] if c not in "OI"]  # the kernel's order is everyone's
    if any({*spec} - {*pair} != {*spatial} for spec, pair in zip(specs, special)):
        raise TypeError(f"{_WORD} must each name the same spatial dimensions, got {specs}")
    lhs, rhs, out = (tuple(spec.index(c) for c in (*pair, *spatial)) for spec, pair in zip(specs, special))
    return lhs, rhs, out


def convolution_pads(
    name: str, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int], padding: Any
) -> Pads:
    """`padding`, a name or pairs, as pairs for these spatial sizes and (dilated) windows.

    Raises:
      RuntimeError, ValueError, TypeError: it is malformed.
    """
    if isinstance(padding, str):
        return named_pads(sizes, windows, strides, padding, name)
    return explicit_pads(name, padding, len(sizes))


def transposed_pads(
    name: str, windows: Sequence[int], strides: Sequence[int], padding: Any, consistent: bool = False
) -> Pads | str:
    """The padding of the convolution that is a transposed one, where its `padding` is a name or pairs.

    Names are those of the forward convolution's padding; so are pairs if `consistent`. Other names than 'SAME' and
    'VALID' are returned.

    Raises:
      ValueError, TypeError: it is malformed.
    """
    if not isinstance(padding, str):
        pads = explicit_pads(name, padding, len(windows))
        return tuple((w - 1 - lo, w - 1 - hi) for w, (lo, hi) in zip(windows, pads)) if consistent else pads
    mode = padding.upper()
    if mode == "VALID":  # every element that a kernel place reaches
        return tuple((w - 1, max(w, stride) - 1) for w, stride in zip(windows, strides))
    if mode == "SAME":  # `stride` elements for each one
        low = [w - 1 - max(w - stride, 0) // 2 for w, stride in zip(windows, strides)]
        return tuple((lo, w + stride - 2 - lo) for lo, w, stride in zip(low, windows, strides))
    return padding


# --- shapes -----------------------------------------------------------------------------------


def conv_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    strides: Sequence[int],
    pads: Any,
    batch_group_count: int = 1,
) -> tuple[int, ...]:
    """The shape of a convolution of arrays in the order (N, C, spatial ...) and (O, I, spatial ...).

    Args:
      lhs_shape, rhs_shape: the shapes, after dilation.
      strides: the distances between neighbouring windows.
      pads: 'SAME', 'SAME_LOWER', 'VALID' or `(low, high)` pairs.
      batch_group_count: into how many groups the batch is divided.
    Raises:
      ValueError: a group count does not divide, or padding takes away more than there is. TypeError: entries are no integers;
        ArgumentError: too many, too few or too small.

    >>> from anima import lax
    >>> lax.conv_shape_tuple((1, 3, 8, 8), (5, 3, 3, 3), (2, 2), "SAME")
    (1, 5, 4, 4)
    """
    name = "conv_shape_tuple"
    lhs, rhs = _shapes(name, lhs_shape, rhs_shape)
    sizes, windows = lhs[2:], rhs[2:]
    steps = integers(name, "strides", strides, len(windows))
    pairs = convolution_pads(name, sizes, windows, steps, pads)
    if batch_group_count <= 0 or lhs[0] % batch_group_count:
        raise ValueError(f"{name}: batch_group_count {batch_group_count} must divide the batch size {lhs[0]}")
    padded = padded_sizes(name, sizes, pairs)
    places = tuple(max((n - w) // s + 1, 0) for n, w, s in zip(padded, windows, steps))
    return (lhs[0] // batch_group_count, rhs[0], *places)


def _shapes(name: str, lhs_shape: Any, rhs_shape: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shapes as integers, of which there must be two besides the spatial ones. A size of -1 is one that is not known."""
    lhs, rhs = (
        integers(name, "lhs_shape", lhs_shape, least=-1),
        integers(name, "rhs_shape", rhs_shape, least=0),
    )
    if len(lhs) != len(rhs) or len(lhs) < 2:
        raise ArgumentError(
            f"{name}: lhs_shape and rhs_shape must have equally many sizes, two at least, got {lhs} and {rhs}"
        )
    return lhs, rhs


def _in_order(
    name: str, lhs_shape: Any, rhs_shape: Any, dimension_numbers: Any
) -> tuple[tuple[int, ...], ...]:
    """The shapes in canonical order, and the result's permutation."""
    lhs_perm, rhs_perm, out_perm = conv_general_permutations(dimension_numbers)
    shapes = _shapes(name, lhs_shape, rhs_shape)
    if len(shapes[0]) != len(lhs_perm):
        raise ArgumentError(
            f"{name}: dimension_numbers {dimension_numbers} must name the sizes of lhs_shape {shapes[0]}"
        )
    lhs, rhs = (tuple(shape[d] for d in perm) for shape, perm in zip(shapes, (lhs_perm, rhs_perm)))
    return lhs, rhs, out_perm


def padded_sizes(name: str, sizes: Sequence[int], pads: Pads) -> tuple[int, ...]:
    """The sizes with padding.

    Raises:
      ValueError: it takes away more than there is.
    """
    padded = tuple(lo + n + hi for n, (lo, hi) in zip(sizes, pads))
    if any(n < 0 for n in padded):
        raise ValueError(
            f"{name}: negative padding {pads} takes away more than there is of spatial sizes {tuple(sizes)}"
        )
    return padded


def conv_general_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    dimension_numbers: Sequence[str],
) -> tuple[int, ...]:
    """The shape of a convolution without dilation.

    Args:
      lhs_shape, rhs_shape, window_strides, padding: as in `conv_general_dilated`.
      dimension_numbers: three strings, as in `conv_dimension_numbers`.

    >>> from anima import lax
    >>> lax.conv_general_shape_tuple((1, 8, 8, 3), (3, 3, 3, 5), (1, 1), "VALID", ("NHWC", "HWIO", "NHWC"))
    (1, 6, 6, 5)
    """
    name = "conv_general_shape_tuple"
    lhs, rhs, out_perm = _in_order(name, lhs_shape, rhs_shape, dimension_numbers)
    return placed(conv_shape_tuple(lhs, rhs, window_strides, padding), out_perm)


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Any,
    dimension_numbers: Sequence[str],
) -> tuple[int, ...]:
    """The shape of a transposed convolution without dilation of the kernel.

    Args:
      lhs_shape, rhs_shape, padding: as in `conv_transpose`.
      window_strides: the fractional strides.
      dimension_numbers: three strings, as in `conv_dimension_numbers`.
    Raises:
      ValueError: the padding's name is not 'SAME' or 'VALID'.

    >>> from anima import lax
    >>> lax.conv_transpose_shape_tuple((1, 8, 8, 3), (3, 3, 3, 5), (2, 2), "SAME", ("NHWC", "HWIO", "NHWC"))
    (1, 16, 16, 5)
    """
    name = "conv_transpose_shape_tuple"
    lhs, rhs, out_perm = _in_order(name, lhs_shape, rhs_shape, dimension_numbers)
    steps = integers(name, "window_strides", window_strides, len(rhs) - 2)
    pads = transposed_pads(name, rhs[2:], steps, padding)
    if isinstance(pads, str):
        raise ValueError(f"{name}: padding must be 'SAME', 'VALID' or a sequence of pairs, got {padding!r}")
    spread = (*lhs[:2], *(dilated(n, step) for n, step in zip(lhs[2:], steps)))
    return placed(conv_shape_tuple(spread, rhs, (1,) * len(steps), pads), out_perm)


def placed(shape: Sequence[Any], spec: Sequence[int]) -> tuple[Any, ...]:
    """What belongs to the dimensions in canonical order, in the order of the array that has them as `spec` says."""
    return tuple(shape[spec.index(d)] for d in range(len(shape)))
