"""Anima: composable transformations of numerical programs, compiled by XLA. An independent implementation of JAX.

>>> import anima
>>> import anima.numpy as np
>>> from anima import grad, jit, vmap
>>> print(jit(vmap(grad(lambda x: x**2)))(np.arange(3.0)))
[0. 2. 4.]
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima import bytecode as _bytecode, startup as _startup

with _bytecode.imported_from_one_file(__name__, __path__[0]), _startup.collector_paused():
    # First, and from here: at some depths of nested imports CPython maps and unmaps a piece of its stack in every call, and
    # from where this package needs NumPy that made NumPy's import 12 ms slower.
    with _startup.blas_threads_sleep_soon():
        import numpy as _numpy  # noqa: F401

    # Most of the package; what is imported below is loaded by then.
    from anima import numpy as _numpy_functions  # noqa: F401
    from anima.transforms import autodiff as _autodiff  # noqa: F401

from anima import (
    dtypes as dtypes,
    errors as errors,
    lax as lax,
    numpy as numpy,
    tree as tree,
    tree_util as tree_util,
)
from anima._native import Device as Device, live_arrays as live_arrays
from anima.config import (
    allow_f16_reductions as allow_f16_reductions,
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
    softmax_custom_jvp as softmax_custom_jvp,
    threefry_partitionable as threefry_partitionable,
    transfer_guard as transfer_guard,
    transfer_guard_device_to_device as transfer_guard_device_to_device,
    transfer_guard_device_to_host as transfer_guard_device_to_host,
    transfer_guard_host_to_device as transfer_guard_host_to_device,
)
from anima.core.leaks import checking_leaks as checking_leaks
from anima.core.trace import typeof as typeof
from anima.dtypes import float0 as float0
from anima.on_demand import on_demand as _on_demand
from anima.runtime.arrays import Array as Array
from anima.runtime.devices import (
    default_backend as default_backend,
    device_count as device_count,
    devices as devices,
    local_device_count as local_device_count,
    local_devices as local_devices,
    process_count as process_count,
    process_index as process_index,
    process_indices as process_indices,
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
from anima.transforms.jit import jit as jit
from anima.transforms.placement import (
    block_until_ready as block_until_ready,
    copy_to_host_async as copy_to_host_async,
    device_get as device_get,
    device_put as device_put,
)
from anima.transforms.shapes import (
    ShapeDtypeStruct as ShapeDtypeStruct,
    eval_shape as eval_shape,
    make_jaxpr as make_jaxpr,
)
from anima.transforms.vmap import vmap as vmap
from anima.version import __version__ as __version__, __version_info__ as __version_info__

if _TYPE_CHECKING:
    from anima import (
        ad as ad,
        ad_checkpoint as ad_checkpoint,
        api_util as api_util,
        compat as compat,
        custom_batching as custom_batching,
        custom_derivatives as custom_derivatives,
        debug as debug,
        distributed as distributed,
        dlpack as dlpack,
        experimental as experimental,
        export as export,
        extend as extend,
        ffi as ffi,
        flatten_util as flatten_util,
        image as image,
        monitoring as monitoring,
        nn as nn,
        ops as ops,
        profiler as profiler,
        random as random,
        ref as ref,
        scipy as scipy,
        sharding as sharding,
        stages as stages,
        test_util as test_util,
        typing as typing,
        util as util,
    )
    from anima.compat.notebooks import (
        load_ipython_extension as load_ipython_extension,
        unload_ipython_extension as unload_ipython_extension,
    )
    from anima.custom_derivatives import (
        closure_convert as closure_convert,
        custom_gradient as custom_gradient,
        custom_jvp as custom_jvp,
        custom_vjp as custom_vjp,
    )
    from anima.numpy.slices import ds as ds
    from anima.parallel.arrays import (
        make_array_from_callback as make_array_from_callback,
        make_array_from_process_local_data as make_array_from_process_local_data,
        make_array_from_single_device_arrays as make_array_from_single_device_arrays,
        reshard as reshard,
    )
    from anima.parallel.pmap import (
        pmap as pmap,
        smap as smap,
    )
    from anima.parallel.shard_map import (
        shard_map as shard_map,
    )
    from anima.runtime.renamed import (
        host_count as host_count,
        host_id as host_id,
        host_ids as host_ids,
    )
    from anima.runtime.shards import Shard as Shard
    from anima.state.refs import (
        Ref as Ref,
        empty_ref as empty_ref,
        free_ref as free_ref,
        freeze as freeze,
        new_ref as new_ref,
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
    from anima.transforms.linear import linear_transpose as linear_transpose
    from anima.transforms.scopes import (
        ensure_compile_time_eval as ensure_compile_time_eval,
        named_call as named_call,
        named_scope as named_scope,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.ad": "ad",
    "anima.ad_checkpoint": "ad_checkpoint",
    "anima.api_util": "api_util",
    "anima.compat": "compat",
    "anima.compat.notebooks": "load_ipython_extension unload_ipython_extension",
    "anima.custom_batching": "custom_batching",
    "anima.custom_derivatives": "custom_derivatives closure_convert custom_gradient custom_jvp custom_vjp",
    "anima.debug": "debug",
    "anima.distributed": "distributed",
    "anima.dlpack": "dlpack",
    "anima.experimental": "experimental",
    "anima.export": "export",
    "anima.extend": "extend",
    "anima.ffi": "ffi",
    "anima.flatten_util": "flatten_util",
    "anima.monitoring": "monitoring",
    "anima.image": "image",
    "anima.nn": "nn",
    "anima.numpy.slices": "ds",
    "anima.ops": "ops",
    "anima.parallel.arrays": (
        "make_array_from_callback make_array_from_process_local_data make_array_from_single_device_arrays "
        "reshard"
    ),
    "anima.parallel.pmap": "pmap smap",
    "anima.parallel.shard_map": "shard_map",
    "anima.profiler": "profiler",
    "anima.random": "random",
    "anima.ref": "ref",
    "anima.runtime.renamed": "host_count host_id host_ids",
    "anima.runtime.shards": "Shard",
    "anima.scipy": "scipy",
    "anima.sharding": "sharding",
    "anima.stages": "stages",
    "anima.state.refs": "Ref empty_ref free_ref freeze new_ref",
    "anima.test_util": "test_util",
    "anima.transforms.caches": "clear_caches",
    "anima.transforms.callbacks": "pure_callback",
    "anima.transforms.checkpoint": "checkpoint remat",
    "anima.transforms.checkpoint_policies": "checkpoint_policies",
    "anima.transforms.jacobians": "hessian jacfwd jacobian jacrev",
    "anima.transforms.linear": "linear_transpose",
    "anima.transforms.scopes": "ensure_compile_time_eval named_call named_scope",
    "anima.typing": "typing",
    "anima.util": "util",
}
__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
