"""Every primitive under its name: `sin_p`, `dot_general_p`, `jit_p`.

Invariant: nothing is listed here but names that JAX has for primitives named otherwise. The others are those of `lax`, and
`name_p` for each primitive `name` of the package.

>>> from anima.extend.core import primitives
>>> primitives.sin_p
sin
>>> primitives.jit_p
jit
"""

from __future__ import annotations

from typing import Any

from anima import lax
from anima.core.primitive import Primitive, primitives as known
from anima.extend.calls import call_p as call_p, closed_call_p as closed_call_p
from anima.lax import rng as rng
from anima.random import gammas as gammas, key_operations as key_operations
from anima.transforms import (  # they define primitives
    callback_primitives as callback_primitives,
    checkpoint_primitive as checkpoint_primitive,
    checkpoint_values as checkpoint_values,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
    custom_vmap as custom_vmap,
    linear_call as linear_call,
)

_OTHERWISE = {"add_jaxvals_p": "add_any", "remat_p": "checkpoint"}


def _by_name() -> dict[str, Primitive]:
    public = {name: getattr(lax, name) for name in dir(lax) if name.endswith("_p")}  # loads what defines them
    found = {f"{name.replace('-', '_')}_p": primitive for name, primitive in known.items()}
    found |= {alias: known[name] for alias, name in _OTHERWISE.items()}
    found |= {name: value for name, value in public.items() if isinstance(value, Primitive)}
    return found


def __getattr__(name: str) -> Any:
    found = _by_name().get(name) if name.endswith("_p") else None
    if found is None:
        raise AttributeError(f"there is no primitive {name!r} in anima.extend.core.primitives")
    return found


def __dir__() -> list[str]:
    return sorted({*_by_name(), "call_p", "closed_call_p"})
