"""The language: abstract values, primitives, traces and jaxprs.

Nothing here knows any operation, device or compiler; higher layers plug in through `core.hooks`. As a module that users
import, `anima.core` has the names of JAX's `core`, older ones too; those that are not of this layer are
`anima.extend.core`'s, loaded when asked for.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.core import (  # printed jaxprs, signatures of functions, short tracebacks
    pretty as pretty,
    signatures as signatures,
    tracebacks as tracebacks,
)
from anima.core.aval import AbstractValue as AbstractValue, ShapedArray as ShapedArray
from anima.core.jaxpr import Atom as Atom
from anima.core.trace import Trace as Trace, Tracer as Tracer
from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.extend.core import (
        ClosedJaxpr as ClosedJaxpr,
        DropVar as DropVar,
        Jaxpr as Jaxpr,
        JaxprEqn as JaxprEqn,
        Literal as Literal,
        ParamDict as ParamDict,
        Primitive as Primitive,
        TraceTag as TraceTag,
        Value as Value,
        Var as Var,
        call_p as call_p,
        concrete_or_error as concrete_or_error,
        ensure_compile_time_eval as ensure_compile_time_eval,
        eval_context as eval_context,
        eval_jaxpr as eval_jaxpr,
        find_top_trace as find_top_trace,
        get_aval as get_aval,
        get_opaque_trace_state as get_opaque_trace_state,
        jaxpr_as_fun as jaxpr_as_fun,
        mapped_aval as mapped_aval,
        max_dim as max_dim,
        min_dim as min_dim,
        set_current_trace as set_current_trace,
        take_current_trace as take_current_trace,
        unmapped_aval as unmapped_aval,
        valid_jaxtype as valid_jaxtype,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.extend.core": (
        "ClosedJaxpr DropVar Jaxpr JaxprEqn Literal ParamDict Primitive TraceTag Value Var call_p "
        "concrete_or_error ensure_compile_time_eval eval_context eval_jaxpr find_top_trace get_aval "
        "get_opaque_trace_state jaxpr_as_fun mapped_aval max_dim min_dim set_current_trace "
        "take_current_trace unmapped_aval valid_jaxtype"
    ),
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
