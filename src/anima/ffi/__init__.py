"""Calls of functions in C++ or CUDA, by XLA's foreign function interface.

Invariant: a function is known to a program by the name of its target alone; what stands behind the name is registered with the
plugin that runs the program. `include_dir` has the headers to write one with.
"""

from anima.ffi.calls import ffi_call as ffi_call
from anima.ffi.lowerings import (
    build_ffi_lowering_function as build_ffi_lowering_function,
    ffi_lowering as ffi_lowering,
)
from anima.ffi.targets import (
    include_dir as include_dir,
    pycapsule as pycapsule,
    register_ffi_target as register_ffi_target,
    register_ffi_target_as_batch_partitionable as register_ffi_target_as_batch_partitionable,
    register_ffi_type as register_ffi_type,
    register_ffi_type_id as register_ffi_type_id,
)
