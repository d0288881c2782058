"""Python control flow as part of compiled programs: what `jit(..., control_flow="convert")` does with a function.

Invariant: a converted function computes what the original does. While its conditions and bounds are Python values it
runs as Python; where they are traced they become `cond`, `while_loop` and `scan`; what can be neither is refused with the
user's line.

A function goes through three steps. `source` finds its syntax tree. `exits` writes `break`, `continue` and `return`
as flags, and `rewrite` writes statements and operators as calls of `operators`, with the blocks as inner functions that
share their variables; both keep the user's lines. `loading` compiles the tree in the place of the function, with its own
globals and closure. At run time, which is while a program is traced, `branches` and `loops` run the blocks:
`places` notes which variables, attributes and items a block writes and puts them back, and `values` finds the common type
of what two ways to a line leave there.

>>> import anima
>>> @anima.jit(control_flow="convert")
... def f(x):
...     if x < 3:
...         return 3.0 * x**2
...     return -4 * x
>>> print(f(2.0), f(4.0))
12.0 -16.0
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any

# Loaded on first use: few programs ask for it.
_MODULES = {
    "converted": "anima.transforms.convert.loading",
    "do_not_convert": "anima.transforms.convert.loading",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = globals()[name] = getattr(_importlib.import_module(_MODULES[name]), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
