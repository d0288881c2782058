"""Compile options: what is asked of XLA for which kind of program, encoded as its ``CompileOptionsProto``.

Invariant: equal options encode to equal bytes (fields in a fixed order, overrides sorted by name), because
the bytes are part of the keys of the executable caches.

The field numbers below are those of ``xla/pjrt/proto/compile_options.proto`` and ``xla/xla_data.proto``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from typing import Literal

from anima import _native
from anima.config import (
    disable_most_optimizations,
    exec_time_optimization_effort,
    memory_fitting_effort,
    memory_fitting_level,
    optimization_level,
)
from anima.protobuf import (
    fields,
    message,
    write_double,
    write_float,
    write_message,
    write_number,
    write_varint,
)
from anima.records import NamedTuple

__all__ = ["TINY_ELEMENTS", "CompileOptions", "OptionValue", "ProgramKind", "debug_options_of", "options_for"]

OptionValue = bool | int | float | str
ProgramKind = Literal["single_op", "program"]

_LEVELS = {"UNKNOWN": 0, "O0": 9, "O1": 19, "O2": 29, "O3": 39}  # ExecutionOptions.EffortLevel


class CompileOptions(NamedTuple):
    """What one compilation is asked to do.

    Attributes:
      num_partitions: over how many devices the program is partitioned; 1 is no partitioning.
      device_ids: the devices, one a partition; empty leaves the choice to the client (its first device).
      propagate_to_output: for each output, whether the partitioner may choose its sharding; empty is none.
      policy: debug options that this module sets; one that the plugin does not know may be left out.
      extras: further options of XLA's CPU backend, as sorted pairs of texts; they stand in a map among the debug options.
      overrides: debug options that the user asked for, as sorted pairs.
      optimization_level, memory_fitting_level: ``"UNKNOWN"``, ``"O0"`` to ``"O3"``.
      exec_time_effort, memory_fitting_effort: -1 to 1.
    """

    num_partitions: int = 1
    device_ids: tuple[int, ...] = ()
    propagate_to_output: tuple[bool, ...] = ()
    policy: tuple[tuple[str, OptionValue], ...] = ()
    extras: tuple[tuple[str, str], ...] = ()
    overrides: tuple[tuple[str, OptionValue], ...] = ()
    optimization_level: str = "UNKNOWN"
    memory_fitting_level: str = "UNKNOWN"
    exec_time_effort: float = 0.0
    memory_fitting_effort: float = 0.0

    def encode(self, defaults: bytes = b"") -> bytes:
        """The serialised ``CompileOptionsProto``.

        Args:
          defaults: all debug options as the plugin has them by itself. `extras` are written only with them, since XLA
            takes debug options from a message whole.
        """
        return _encode(self, defaults)

    def key(self) -> bytes:
        """What stands for these options in the key of a cache."""
        return b"".join([_encode(self, b""), *(f"{name}={value};".encode() for name, value in self.extras)])

    def with_plain_loops(self) -> CompileOptions:
        """The same options with every loop launching its operations one by one."""
        extras = dict(self.extras) | {_SMALL_LOOP[0]: "0"}
        return self._replace(extras=tuple(sorted(extras.items())))

    def without(self, names: Container[str]) -> CompileOptions:
        """The same options for a plugin that does not know those of the policy that have these names."""
        return self._replace(policy=tuple(pair for pair in self.policy if pair[0] not in names))


def options_for(
    kind: ProgramKind,
    *,
    platform: str,
    text: str = "",
    tiny: bool = False,
    num_partitions: int = 1,
    device_ids: Iterable[int] = (),
    propagate_to_output: Iterable[bool] = (),
    compiler_options: Mapping[str, OptionValue] | None = None,
) -> CompileOptions:
    """The options for a program under the configuration in force.

    Args:
      kind: ``"single_op"`` for one eager operation, ``"program"`` for everything else.
      platform: the client's platform, ``"cpu"`` say.
      text: the program, on which depends what is best for it.
      tiny: whether no array of the program has more than ``TINY_ELEMENTS`` elements.
      num_partitions: over how many devices it is partitioned.
      device_ids: where it runs, one device a partition.
      propagate_to_output: for each output, whether the partitioner may choose its sharding.
      compiler_options: XLA's debug options by name, as ``jit(..., compiler_options=...)`` takes them.

    Raises:
      TypeError: a compiler option is not a boolean, a number or a string.

    >>> options_for("program", platform="cuda").policy
    ()
    """
    return CompileOptions(
        num_partitions=num_partitions,
        device_ids=tuple(device_ids),
        propagate_to_output=tuple(propagate_to_output),
        policy=_policy(kind, platform, tiny, text),
        extras=_extras(text) if platform == "cpu" and not tiny else (),
        overrides=tuple(sorted((name, _typed(name, v)) for name, v in (compiler_options or {}).items())),
        optimization_level=optimization_level.value,
        memory_fitting_level=memory_fitting_level.value,
        exec_time_effort=exec_time_optimization_effort.value,
        memory_fitting_effort=memory_fitting_effort.value,
    )


# Compile time in ms / run time in us of one f32 operation on the CPU (xla-cpu-pjrt 0.0.1, 2 cores of a Zen 4):
#
#                       defaults      no fusion emitters   and optimisation level 0
#   add    256 / 1M     20/2.8  24/392    13/2.8  16/388        8/3.0  11/1002
#   tanh   256 / 1M     46/4.3  30/268    34/3.1  29/248       11/4.1  14/4174
#   sum    256 / 1M     34/5.0  70/203    24/5.0  43/215       11/3.7  19/1761
#   tanh   1024 / 4096  27/3.3  27/4.1    15/3.3  18/4.2       11/7.7  11/23
#
# Up to 256 elements level 0 costs less than 1 us a call and saves 5 ms or more; from 1024 on it costs 3 us and more.
# Fused programs (a gradient) compile twice as slowly without the emitters, so only single operations go without.
#
# Not used: xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_REDUCE compiles a lone f32 sum, maximum or
# minimum of more than 64k elements in 6 ms in place of 25 to 70, but its sums are 10 to 70 times less exact (1.5e-5
# relative over 400,000 elements) and its maxima lose NaNs.
TINY_ELEMENTS = 256

# The plugin's default lets a maximum or a minimum drop a NaN: always in reductions, elementwise if it is the second
# operand. Elementwise operations are as fast without; a reduction of rows takes 2.4 ms in place of 0.24 (1M elements).
_EXACT = ("xla_cpu_enable_fast_min_max", False)

# Of a million float32, on two cores of a Zen 4, with vectors of 64 bytes in place of XLA's 32: exp 0.71, tanh 0.62, logistic
# 0.75, log 0.88, gelu 0.8, logsumexp 0.8, threefry 0.76, sums and maxima 0.8 to 1.05, addition and bfloat16 1.
_WIDE = ("xla_cpu_prefer_vector_width", 512)

# The type of floats of 8 bits in a program. Without the emitters XLA converts to them through float16, which rounds twice.
_SMALL_FLOAT = "f8E"


def _policy(kind: ProgramKind, platform: str, tiny: bool, text: str) -> tuple[tuple[str, OptionValue], ...]:
    options: dict[str, OptionValue] = {}
    if platform == "cpu":
        options.update([_EXACT])
        if tiny:
            options["xla_cpu_multi_thread_eigen"] = False  # 0.7 of the 3.3 us of a product of 8 by 8 matrices
        elif _native.has_wide_vectors():
            options.update([_WIDE])
        if kind == "single_op" and _SMALL_FLOAT not in text:
            options["xla_cpu_use_fusion_emitters"] = False
            if tiny:
                options["xla_backend_optimization_level"] = 0
    if disable_most_optimizations.value:
        options["xla_backend_optimization_level"] = 0
        options["xla_llvm_disable_expensive_passes"] = True
    return tuple(sorted(options.items()))


# Two options of XLA's code generator, with the time that programs take with them (2 cores of a Zen 4, defaults: 1):
#
#                                      sums of rows  maxima of rows  softmax  sums of columns  maxima of columns
#   xla_cpu_disable_loop_unrolling          0.42          0.08         0.19         7.6              5.9
#
#                                      a Kalman filter  RNN of 16, gradient  of 256, gradient  32 x 64 by 64 x 64
#   xla_cpu_small_while_loop_byte_...
#     threshold 1,024 (the default)           1                1                   1                  1
#     16,384                                 0.03             0.6                  1                  1
#     1,000,000                              0.03             0.6                 0.9                15
#     16,384, and no unrolling               0.05             0.45                 1                  1.1
#
# LLVM vectorises reductions of rows when it has not unrolled them, and those of columns when it has (those of long rows,
# which are laid out in lanes, among them); without unrolling
# these compile in 0.4 to 0.95 of the time. A loop whose iteration touches fewer bytes than the threshold becomes one
# function, in place of a launch for each of its operations; its matrix products are plain loops then.
#
# Not used: xla_cpu_copy_insertion_use_region_analysis makes nested scans 6% quicker, but some nested loops wrong.
_SMALL_LOOP = ("xla_cpu_small_while_loop_byte_threshold", "16384")
_NOT_UNROLLED = ("xla_cpu_disable_loop_unrolling", "")
_MANY_COLUMNS = 1024  # elements; smaller reductions of columns take the same time either way

_REDUCTION = re.compile(r"\}\) \{dimensions = array<i64: ([\d, ]+)>\} : \(tensor<((?:\d+x)+)")


def _extras(text: str) -> tuple[tuple[str, str], ...]:
    return (_SMALL_LOOP,) if _reduces_columns(text) else (_NOT_UNROLLED, _SMALL_LOOP)


def _reduces_columns(text: str) -> bool:
    """Whether a program reduces other dimensions than the last one, which lies together in memory."""
    for found in _REDUCTION.finditer(text):
        reduced = [int(dimension) for dimension in found[1].split(",")]
        shape = [int(size) for size in found[2].split("x")[:-1]]
        last = max([d for d, size in enumerate(shape) if size > 1], default=-1)
        if last not in reduced and math.prod(shape) >= _MANY_COLUMNS:
            return True
    return False


def _typed(name: str, value: object) -> OptionValue:
    """The plugin takes an option in its own type only, but people write ``"true"`` and ``"2"`` as well."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "false"):
            return word == "true"
        return int(word) if word.removeprefix("-").isdigit() else value
    if isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"the compiler option {name} must be a boolean, a number or a string, not {value!r}")


def _encode(options: CompileOptions, defaults: bytes) -> bytes:
    debug = _debug_options(options.extras, defaults) if defaults and options.extras else b""
    build = (
        write_message(3, debug) if debug else b"",
        write_number(4, 1),  # replicas; 0 is refused
        write_number(5, options.num_partitions),
        # Partition the program: by GSPMD, as its shardings are written.
        write_number(6, options.num_partitions > 1),
        write_message(9, _device_assignment(options.device_ids)) if options.device_ids else b"",
        # Packed, as proto3 writes repeated booleans.
        write_message(12, bytes(options.propagate_to_output)) if options.propagate_to_output else b"",
        write_float(20, options.exec_time_effort),
        write_float(21, options.memory_fitting_effort),
        write_number(24, _LEVELS[options.optimization_level]),
        write_number(25, _LEVELS[options.memory_fitting_level]),
    )
    overrides = {**dict(options.policy), **dict(options.overrides)}
    return write_message(3, b"".join(build)) + b"".join(
        _override(name, overrides[name]) for name in sorted(overrides)
    )


def _debug_options(extras: Iterable[tuple[str, str]], defaults: bytes) -> bytes:
    """``DebugOptions``: the defaults with entries of the map ``xla_backend_extra_options``."""
    return defaults + b"".join(
        write_message(500, write_message(1, name.encode()) + write_message(2, value.encode()))
        for name, value in extras
    )


def debug_options_of(config: bytes) -> bytes:
    """The ``DebugOptions`` in a serialised ``HloModuleConfigProto``; empty if there are none.

    Raises:
      ValueError: it is no message.
    """
    found = fields(memoryview(config)).get(14, [])
    return bytes(message(found[-1])) if found else b""


def _device_assignment(device_ids: tuple[int, ...]) -> bytes:
    devices = (write_message(3, write_message(1, write_varint(device))) for device in device_ids)
    return write_number(1, 1) + write_number(2, len(device_ids)) + b"".join(devices)


def _override(name: str, value: OptionValue) -> bytes:
    """An entry of ``env_option_overrides``. The value is a oneof: it is written even where it is zero."""
    if isinstance(value, bool):
        typed = write_varint(2 << 3) + write_varint(value)
    elif isinstance(value, int):
        typed = write_varint(3 << 3) + write_varint(value)
    elif isinstance(value, float):
        typed = write_double(4, value)
    else:
        typed = write_message(1, value.encode())
    return write_message(7, write_message(1, name.encode()) + write_message(2, typed))
