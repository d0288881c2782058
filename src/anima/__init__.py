"""Anima: composable transformations of numerical programs, compiled by XLA. An independent implementation of JAX.

>>> import anima
>>> import anima.numpy as np
>>> from anima import grad, jit, vmap
>>> print(jit(vmap(grad(lambda x: x**2)))(np.arange(3.0)))
[0. 2. 4.]
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from anima import (
    custom_batching as custom_batching,
    dtypes as dtypes,
    errors as errors,
    lax as lax,
    numpy as numpy,
    tree as tree,
    tree_util as tree_util,
)
from anima._native import live_arrays as live_arrays
from anima.config import (
    check_tracer_leaks as check_tracer_leaks,
    config as config,
    debug_infs as debug_infs,
    debug_key_reuse as debug_key_reuse,
    debug_nans as debug_nans,
    default_device as default_device,
    default_matmul_precision as default_matmul_precision,
    default_prng_impl as default_prng_impl,
    disable_jit as disable_jit,
    enable_checks as enable_checks,
    enable_custom_prng as enable_custom_prng,
    enable_x64 as enable_x64,
    explain_cache_misses as explain_cache_misses,
    legacy_prng_key as legacy_prng_key,
    log_compiles as log_compiles,
    no_execution as no_execution,
    no_tracing as no_tracing,
    numpy_dtype_promotion as numpy_dtype_promotion,
    numpy_rank_promotion as numpy_rank_promotion,
    threefry_partitionable as threefry_partitionable,
)
from anima.core.leaks import checking_leaks as checking_leaks
from anima.core.trace import typeof as typeof
from anima.custom_derivatives import (
    closure_convert as closure_convert,
    custom_gradient as custom_gradient,
    custom_jvp as custom_jvp,
    custom_vjp as custom_vjp,
)
from anima.runtime.arrays import Array as Array
from anima.runtime.devices import (
    default_backend as default_backend,
    device_count as device_count,
    devices as devices,
    local_device_count as local_device_count,
    local_devices as local_devices,
    process_count as process_count,
    process_index as process_index,
)
from anima.runtime.effects import effects_barrier as effects_barrier
from anima.runtime.environment import print_environment_info as print_environment_info
from anima.sharding import (
    Mesh as Mesh,
    NamedSharding as NamedSharding,
    P as P,
    make_mesh as make_mesh,
    set_mesh as set_mesh,
)
from anima.transforms.autodiff import (
    fwd_and_bwd as fwd_and_bwd,
    grad as grad,
    jvp as jvp,
    linearize as linearize,
    value_and_grad as value_and_grad,
    vjp as vjp,
)
from anima.transforms.caches import clear_caches as clear_caches
from anima.transforms.callbacks import pure_callback as pure_callback
from anima.transforms.checkpoint import checkpoint as checkpoint, remat as remat
from anima.transforms.checkpoint_policies import checkpoint_policies as checkpoint_policies
from anima.transforms.jacobians import (
    hessian as hessian,
    jacfwd as jacfwd,
    jacobian as jacobian,
    jacrev as jacrev,
)
from anima.transforms.jit import jit as jit
from anima.transforms.linear import linear_transpose as linear_transpose
from anima.transforms.placement import (
    block_until_ready as block_until_ready,
    copy_to_host_async as copy_to_host_async,
    device_get as device_get,
    device_put as device_put,
)
from anima.transforms.scopes import (
    ensure_compile_time_eval as ensure_compile_time_eval,
    named_call as named_call,
    named_scope as named_scope,
)
from anima.transforms.shapes import (
    ShapeDtypeStruct as ShapeDtypeStruct,
    eval_shape as eval_shape,
    make_jaxpr as make_jaxpr,
)
from anima.transforms.vmap import vmap as vmap

__version__ = "0.1.0"

# Loaded when first asked for: not every program uses them.
_ON_DEMAND = (
    "ad_checkpoint",
    "api_util",
    "compat",
    "debug",
    "dlpack",
    "experimental",
    "extend",
    "flatten_util",
    "nn",
    "ops",
    "random",
    "scipy",
    "sharding",
    "stages",
    "typing",
    "util",
)


# Functions that are loaded when first asked for, and their modules.
_FUNCTIONS_ON_DEMAND = {
    "load_ipython_extension": "anima.compat.notebooks",
    "make_array_from_callback": "anima.parallel.arrays",
    "make_array_from_process_local_data": "anima.parallel.arrays",
    "make_array_from_single_device_arrays": "anima.parallel.arrays",
    "pmap": "anima.parallel.pmap",
    "reshard": "anima.parallel.arrays",
    "shard_map": "anima.parallel.shard_map",
    "smap": "anima.parallel.pmap",
    "unload_ipython_extension": "anima.compat.notebooks",
}


def __getattr__(name: str) -> _Any:
    if name in _FUNCTIONS_ON_DEMAND:
        return getattr(_importlib.import_module(_FUNCTIONS_ON_DEMAND[name]), name)
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.{name}")
    raise AttributeError(f"module 'anima' has no attribute {name!r}")


def __dir__() -> list[str]:
    names = {n for n in globals() if not n.startswith("_")}
    return sorted({*names, *_ON_DEMAND, *_FUNCTIONS_ON_DEMAND, "__version__"})
