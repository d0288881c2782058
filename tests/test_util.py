"""`anima.util`, `anima.typing`, and what of the package is loaded on demand."""

from __future__ import annotations

from typing import Any

import numpy as onp
import pytest

import anima
import anima.numpy as np
from anima.typing import ArrayLike, DTypeLike
from anima.util import (
    HashableFunction,
    as_hashable_function,
    safe_map,
    safe_zip,
    split_list,
    unzip2,
    wrap_name,
)


def test_sequences() -> None:
    assert safe_zip([1, 2], iter("ab")) == [(1, "a"), (2, "b")] and safe_zip() == []
    assert safe_map(lambda a, b: a - b, (3, 4), [1, 1]) == [2, 3]
    for call in (safe_zip, lambda *xs: safe_map(max, *xs)):
        with pytest.raises(ValueError, match=r"different lengths: \[1, 2\]"):
            call([1], [1, 2])
    assert unzip2([]) == ((), ()) and unzip2(iter([(1, 2)])) == ((1,), (2,))
    assert split_list((1, 2, 3), [0, 2]) == [[], [1, 2], [3]] and split_list([], []) == [[]]
    for counts in ([4], [-1]):
        with pytest.raises(ValueError, match="no parts of lengths"):
            split_list([1, 2, 3], counts)
    assert wrap_name("f", "vmap") == "vmap(f)"


def test_hashable_functions() -> None:
    def make(n: Any) -> HashableFunction:
        return as_hashable_function(closure=n)(lambda x: x + n)

    assert make(1) == make(1) and hash(make(1)) == hash(make(1)) and make(1) != make(2)
    assert make(1) != HashableFunction(lambda x: x, closure=1)
    assert make(1)(2) == 3 and "closure=1" in repr(make(1))
    assert HashableFunction(max, 1) == HashableFunction(max, 1) != HashableFunction(min, 1)


def test_what_stands_for_an_array() -> None:
    for value in (np.ones(2), onp.ones(2), onp.float32(1), onp.bool_(True), True, 1, 1.5, 1j):
        assert isinstance(value, ArrayLike)
    for value in ([1], (1,), "1", None, {}):
        assert not isinstance(value, ArrayLike)
    seen: list[bool] = []
    anima.jit(lambda x: seen.append(isinstance(x, ArrayLike)))(1.0)
    assert seen == [True]
    assert isinstance("float32", DTypeLike.__args__[0])  # type: ignore[attr-defined]


def test_what_is_for_extensions_costs_nothing(run_python: Any) -> None:
    run_python(
        "import sys, anima\n"
        "loaded = [m for m in sys.modules if m.startswith(('anima.extend', 'anima.api_util', 'anima.interpreters.ad',"
        " 'anima.interpreters.mlir', 'anima.flatten_util'))]\n"
        "assert not loaded, loaded\n"
        "assert anima.core.Tracer and anima.core.ShapedArray and anima.core.Atom\n"
        "assert not [m for m in sys.modules if m.startswith('anima.extend')]\n"
        "assert anima.interpreters.ad.Zero and anima.extend.core.primitives.sin_p is anima.lax.sin_p\n"
        "assert anima.core.eval_jaxpr is anima.extend.core.eval_jaxpr\n"
        "assert {'eval_jaxpr', 'Tracer'} <= set(dir(anima.core)) and 'mlir' in dir(anima.interpreters)\n"
        "assert anima.typing.ArrayLike and anima.util.safe_map and anima.api_util.flatten_fun\n"
        "for module in (anima.core, anima.extend, anima.interpreters):\n"
        "    assert not hasattr(module, 'nonsense')\n"
    )
