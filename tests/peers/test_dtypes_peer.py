"""Promotion compared with JAX, for every pair of dtypes, weak and strong, in every mode."""

from __future__ import annotations

from typing import Any

import jax
import pytest

from anima import dtypes
from anima.config import enable_x64, numpy_dtype_promotion
from anima.dtypes.declared import BY_NAME

pytestmark = pytest.mark.peers

WIDE = ("int64", "uint64", "float64", "complex128")


def peer_operand(dtype: Any, weak: bool) -> Any:
    """What JAX's own promotion sees of an operand."""

    class Operand:
        aval = jax.core.ShapedArray((), dtype, weak_type=weak)
        weak_type = weak
        shape = ()

    operand = Operand()
    operand.dtype = dtype  # type: ignore[attr-defined]
    return operand


def result(promote: Any, *operands: Any) -> Any:
    try:
        dtype, weak = promote(*operands)
    except ValueError:  # both libraries' errors of promotion
        return "no path"
    return str(dtype), bool(weak)


@pytest.mark.parametrize("promotion", ["standard", "strict"])
@pytest.mark.parametrize("x64", [False, True])
def test_every_pair_promotes_as_in_jax(x64: bool, promotion: str) -> None:
    peer = pytest.importorskip("jax._src.dtypes").lattice_result_type
    pairs = [(d, weak) for name, d in BY_NAME.items() for weak in (False, True) if x64 or name not in WIDE]
    with (
        jax.enable_x64(x64),
        jax.numpy_dtype_promotion(promotion),
        enable_x64(x64),
        numpy_dtype_promotion(promotion),
    ):
        for a in pairs:
            for b in pairs:
                if a == b and promotion == "strict":
                    continue  # there JAX gives a pair of equal weak operands the default width
                theirs = result(peer, peer_operand(*a), peer_operand(*b))
                assert result(dtypes.lattice_result_type, a, b) == theirs, (a, b)
