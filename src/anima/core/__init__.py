"""The language: abstract values, primitives, traces and jaxprs.

Nothing here knows any operation, device or compiler; higher layers plug in through `core.hooks`. As a module that users
import, `anima.core` has the names of JAX's `core`, older ones too; those that are not of this layer are
`anima.extend.core`'s, loaded when asked for.
"""

import importlib as _importlib
from typing import Any as _Any

from anima.core import pretty as pretty, tracebacks as tracebacks  # printed jaxprs, short tracebacks
from anima.core.aval import AbstractValue as AbstractValue, ShapedArray as ShapedArray
from anima.core.jaxpr import Atom as Atom
from anima.core.trace import Trace as Trace, Tracer as Tracer

_ON_DEMAND = (
    "ClosedJaxpr", "DropVar", "Jaxpr", "JaxprEqn", "Literal", "ParamDict", "Primitive", "TraceTag", "Value", "Var", "call_p",
    "concrete_or_error", "ensure_compile_time_eval", "eval_context", "eval_jaxpr", "find_top_trace", "get_aval",
    "get_opaque_trace_state", "jaxpr_as_fun", "mapped_aval", "max_dim", "min_dim", "set_current_trace", "take_current_trace",
    "unmapped_aval", "valid_jaxtype",
)  # fmt: skip


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return getattr(_importlib.import_module("anima.extend.core"), name)
    raise AttributeError(f"module 'anima.core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ON_DEMAND})
