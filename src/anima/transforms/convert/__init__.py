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

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.transforms.convert.loading import (
        converted as converted,
        do_not_convert as do_not_convert,
    )

# Loaded on first use: few programs ask for it.
_ON_DEMAND = {
    "anima.transforms.convert.loading": "converted do_not_convert",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
