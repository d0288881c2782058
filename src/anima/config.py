"""The options, named as in JAX, and ``config``, the object that sets them.

Invariant: every option is declared once, here, with its type, its default and what it does; whether it is
part of the options key (``traced``) is part of the declaration.

An option ``x`` is set by ``config.update("jax_x", value)``, by the environment variables ``ANIMA_X`` or
``JAX_X`` (read once, at import), by ``--jax_x=value`` and for a block in one thread by ``with x(value):``.
The prefixes ``jax_`` and ``anima_`` mean the same and may be left out.

>>> config.update("jax_numpy_rank_promotion", "warn")
>>> config.jax_numpy_rank_promotion
'warn'
>>> with numpy_rank_promotion("raise"):
...     print(numpy_rank_promotion.value)
raise
>>> config.update("jax_numpy_rank_promotion", "allow")
"""

from __future__ import annotations

import sys
from typing import Any

from anima.command_line import bare, define_absl_flags, take_flags
from anima.options import (
    Override,
    State,
    close_matches,
    declare,
    enable_x64,
    parse_bool,
    parse_choice,
    parse_device,
    parse_named_values,
    parse_number,
    parse_text,
    publish_process_key,
    register_context_value,
    states,
    transfer_guard,
    transfer_guards,
)

__all__ = ["Config", "Override", "State", "config", "enable_x64", "register_context_value", "transfer_guard"]


def _bool(name: str, default: bool, doc: str, *, traced: bool = False) -> State[bool]:
    return declare(State(name, default, parse_bool, doc, traced=traced))


def _int(name: str, default: int, doc: str, *, traced: bool = False) -> State[int]:
    return declare(State(name, default, parse_number(int), doc, traced=traced))


def _float(name: str, default: float, doc: str, *, traced: bool = False) -> State[float]:
    return declare(State(name, default, parse_number(float), doc, traced=traced))


def _text(name: str, default: str | None, doc: str, *, traced: bool = False) -> State[str | None]:
    return declare(State(name, default, parse_text, doc, traced=traced))


def _choice(name: str, default: str, choices: str, doc: str, *, traced: bool = False) -> State[str]:
    return declare(State(name, default, parse_choice(choices.split(), False), doc, traced=traced))


def _optional_choice(
    name: str, choices: str, doc: str, *, traced: bool = False, members: tuple[State[str | None], ...] = ()
) -> State[str | None]:
    parse = parse_choice(choices.split(), True)
    return declare(State(name, None, parse, doc, traced=traced, members=members))


# What operations compute.

numpy_dtype_promotion = _choice(
    "numpy_dtype_promotion",
    "standard",
    "standard strict",
    "Which operands of different dtypes are promoted: all ('standard') or Python scalars only ('strict').",
    traced=True,
)
numpy_rank_promotion = _choice(
    "numpy_rank_promotion",
    "allow",
    "allow warn raise",
    "What NumPy-style broadcasting does between operands of different rank.",
    traced=True,
)
default_matmul_precision = _optional_choice(
    "default_matmul_precision",
    "default high highest bfloat16 tensorfloat32 float32 "
    "ANY_F8_ANY_F8_F32 ANY_F8_ANY_F8_F32_FAST_ACCUM ANY_F8_ANY_F8_ANY ANY_F8_ANY_F8_ANY_FAST_ACCUM "
    "F16_F16_F16 F16_F16_F32 BF16_BF16_BF16 BF16_BF16_F32 BF16_BF16_F32_X3 BF16_BF16_F32_X6 "
    "BF16_BF16_F32_X9 TF32_TF32_F32 TF32_TF32_F32_X3 F32_F32_F32 F64_F64_F64",
    "The precision of matrix products and convolutions that name none: a precision or a dot algorithm.",
    traced=True,
)
default_device = declare(
    State(
        "default_device",
        None,
        parse_device,
        "Where uncommitted values live and programs run: a device, a platform name or None (the first device).",
        traced=True,
    )
)
default_prng_impl = _choice(
    "default_prng_impl",
    "threefry2x32",
    "threefry2x32 rbg unsafe_rbg philox2x32 philox4x32 threefry4x32",
    "The generator behind random keys made without naming one.",
    traced=True,
)
threefry_partitionable = _bool(
    "threefry_partitionable",
    False,
    "Threefry bits in the layout that does not depend on how the result is sharded; other numbers.",
    traced=True,
)
enable_custom_prng = _bool(
    "enable_custom_prng", False, "random.PRNGKey makes typed keys, as random.key does.", traced=True
)
legacy_prng_key = _choice(
    "legacy_prng_key",
    "allow",
    "allow warn error",
    "What the use of a raw uint32 key does.",
    traced=True,
)
random_seed_offset = _int(
    "random_seed_offset", 0, "Added to every seed that a key is made from.", traced=True
)
high_dynamic_range_gumbel = _bool(
    "high_dynamic_range_gumbel", False, "random.gumbel draws its tail from twice the bits.", traced=True
)
softmax_custom_jvp = _bool(
    "softmax_custom_jvp", True, "nn.softmax has its own derivative rule, cheaper and more exact.", traced=True
)
allow_f16_reductions = _bool(
    "allow_f16_reductions",
    True,
    "Sums that accumulate in 16 bits are allowed; else they raise.",
    traced=True,
)
auto_pcast = _bool(
    "auto_pcast",
    True,
    "For programs that set it: in shard_map, replicated values are always cast to varying ones where needed.",
)
remove_size_one_mesh_axis_from_type = _bool(
    "remove_size_one_mesh_axis_from_type",
    False,
    "For programs that set it: types of arrays show no sharding here.",
)
embedded_constants_max_bytes = _int(
    "embedded_constants_max_bytes",
    32,
    "Captured arrays up to this size stand in the program text; larger ones become parameters.",
    traced=True,
)

# Checks and debugging.


class _DisableJit(State[bool]):
    """The same, whose override has another name for its value."""

    __slots__ = ()

    def __call__(self, disable: object = True) -> Override:
        return super().__call__(disable)


disable_jit = declare(
    _DisableJit(
        "disable_jit",
        False,
        parse_bool,
        "jit and control flow run as plain Python, an operation at a time.",
        traced=True,
    )
)
debug_nans = _bool(
    "debug_nans", False, "A result with a NaN raises FloatingPointError where it was made.", traced=True
)
debug_infs = _bool(
    "debug_infs", False, "A result with an infinity raises FloatingPointError where it was made.", traced=True
)
debug_key_reuse = _bool("debug_key_reuse", False, "The second use of a random key raises.", traced=True)
enable_checks = _bool("enable_checks", False, "Every jaxpr that is made is validated.", traced=True)
check_tracer_leaks = _bool(
    "check_tracer_leaks", False, "A tracer that outlives its trace raises when the trace ends.", traced=True
)
mutable_array_checks = _bool(
    "mutable_array_checks", True, "For programs that set it: there are no mutable references here."
)
no_tracing = _bool("no_tracing", False, "Tracing a function raises: everything must have been traced.")
no_execution = _bool("no_execution", False, "Running a program raises: only tracing may happen.", traced=True)
transfer_guard_host_to_device, transfer_guard_device_to_device, transfer_guard_device_to_host = (
    transfer_guards
)
array_garbage_collection_guard = _optional_choice(
    "array_garbage_collection_guard",
    "allow log fatal",
    "For programs that set it: an array in a reference cycle dies like any other object.",
)
thread_guard = _bool(
    "thread_guard", False, "For programs that set it: jobs of several processes have no effect on threads."
)
log_checkpoint_residuals = _bool(
    "log_checkpoint_residuals",
    False,
    "For programs that set it: ad_checkpoint.print_saved_residuals tells what is saved.",
)
traceback_filtering = _choice(
    "traceback_filtering",
    "auto",
    "off tracebackhide remove_frames quiet_remove_frames auto",
    "How this library's own frames are left out of tracebacks.",
)
tracer_error_num_traceback_frames = _int(
    "tracer_error_num_traceback_frames", 5, "How many lines of user code a leak error shows."
)
pprint_use_color = _bool("pprint_use_color", True, "Jaxprs are printed in colour on terminals.")
captured_constants_warn_bytes = _int(
    "captured_constants_warn_bytes", 2_000_000_000, "Captured arrays above this many bytes cause a warning."
)

# Compiling.

log_compiles = _bool("log_compiles", False, "Logs each tracing and compilation as a warning.")
explain_cache_misses = _bool("explain_cache_misses", False, "Logs why a call was traced again.")
logging_level = _choice(
    "logging_level", "NOTSET", "NOTSET DEBUG INFO WARNING ERROR CRITICAL", "The level of the logger 'anima'."
)
dump_ir_to = _text("dump_ir_to", None, "Writes what is compiled into this folder; '-' is standard error.")
dump_ir_modes = _text(
    "dump_ir_modes", "stablehlo", "What dump_ir_to writes, of jaxpr, stablehlo and options, with commas."
)
use_shardy_partitioner = _bool(
    "use_shardy_partitioner",
    False,
    "Accepted for programs that set it: shardings are written for GSPMD.",
    traced=True,
)
optimization_level = _choice(
    "optimization_level", "UNKNOWN", "UNKNOWN O0 O1 O2 O3", "XLA's effort for run-time speed.", traced=True
)
memory_fitting_level = _choice(
    "memory_fitting_level", "O2", "UNKNOWN O0 O1 O2 O3", "XLA's effort to fit into memory.", traced=True
)
exec_time_optimization_effort = _float(
    "exec_time_optimization_effort", 0.0, "XLA's effort for run-time speed, from -1 to 1.", traced=True
)
memory_fitting_effort = _float(
    "memory_fitting_effort", 0.0, "XLA's effort to fit into memory, from -1 to 1.", traced=True
)
disable_most_optimizations = _bool(
    "disable_most_optimizations", False, "Compiles fast and runs slowly.", traced=True
)
eager_host_calls = _int(
    "eager_host_calls",
    128,
    "How many calls of a small eager operation NumPy answers before it is compiled, where it gives the same bits; "
    "0 leaves all of them to compiled programs, also those that native kernels would answer.",
    traced=True,
)
cpu_memory_reuse = _bool(
    "cpu_memory_reuse",
    True,
    "Memory of arrays and programs on CPUs is used again by the next ones; off, the system gets it as soon as it is free.",
)
cpu_spin_microseconds = _int(
    "cpu_spin_microseconds",
    100,
    "How long threads of programs on CPUs look for more work, or for the end of what they wait for, before they sleep; "
    "0 lets them sleep at once.",
)
enable_compilation_cache = _bool("enable_compilation_cache", True, "Keep executables on disk.")
load_programs_ahead = _bool(
    "load_programs_ahead",
    True,
    "A thread reads from disk what the same script used when it last ran, while Python is still at work.",
)
compilation_cache_dir = _text(
    "compilation_cache_dir", None, "Where executables are kept; None is anima in the user's cache folder."
)
compilation_cache_max_size = _int(
    "compilation_cache_max_size", 1 << 30, "Bytes kept on disk; -1 is no bound, 0 keeps nothing."
)
compilation_cache_max_files = _int(
    "compilation_cache_max_files", 8192, "Executables kept on disk; -1 is no bound."
)
persistent_cache_min_compile_time_secs = _float(
    "persistent_cache_min_compile_time_secs", 0.0, "Programs that compile faster are not kept on disk."
)
persistent_cache_min_entry_size_bytes = _int(
    "persistent_cache_min_entry_size_bytes", 0, "Smaller executables are not kept on disk."
)
raise_persistent_cache_errors = _bool(
    "raise_persistent_cache_errors", False, "A failing cache folder raises; else it is not used."
)

# Platforms.

platforms = _text(
    "platforms", None, "Platforms to use, the default one first: 'cuda,cpu'. None: whatever is installed."
)
platform_name = _text("platform_name", None, "The platform of default devices; deprecated by platforms.")
pjrt_plugin_path = _text(
    "pjrt_plugin_path", None, "Plugin libraries to use: 'cpu:/folder/plugin.so,other:/folder/other.so'."
)
pjrt_client_create_options = declare(
    State(
        "pjrt_client_create_options",
        None,
        parse_named_values,
        "Further options for the client of the default platform: 'key:value;key:value' or a dict.",
    )
)
num_cpu_devices = _int("num_cpu_devices", -1, "How many devices the CPU shows; -1 is one.")
cuda_visible_devices = _text("cuda_visible_devices", "all", "Ordinals of the GPUs to use: '0,2'.")
rocm_visible_devices = _text("rocm_visible_devices", "all", "Ordinals of the GPUs to use: '0,2'.")

# Accepted because programs set them; there is nothing here that they would change.

cpu_enable_async_dispatch = _bool(
    "cpu_enable_async_dispatch", True, "No effect: the CPU plugin decides which programs run asynchronously."
)
cpu_collectives_implementation = _text(
    "cpu_collectives_implementation", "gloo", "No effect: the CPU plugin has one implementation."
)
use_direct_linearize = _bool("use_direct_linearize", True, "No effect: linearize always works in one pass.")
jax2tf_associative_scan_reductions = _bool(
    "jax2tf_associative_scan_reductions", False, "No effect: programs are exported as StableHLO only."
)
compilation_cache_include_metadata_in_key = _bool(
    "compilation_cache_include_metadata_in_key", False, "No effect: cached text has no source positions."
)
persistent_cache_enable_xla_caches = _text(
    "persistent_cache_enable_xla_caches", None, "No effect: XLA's own caches are left as XLA_FLAGS sets them."
)

publish_process_key()


class Config:
    """Reads and sets options by name. There is one instance, ``config``.

    >>> config.jax_debug_nans, config.debug_nans, config.anima_debug_nans
    (False, False, False)
    >>> config.update("jax_debug_nan", True)
    Traceback (most recent call last):
    ...
    AttributeError: there is no option jax_debug_nan; did you mean jax_debug_nans or jax_debug_infs?
    """

    __slots__ = ()

    def update(self, name: str, value: object) -> None:
        """Sets an option for the whole process, at once.

        Args:
          name: such as ``"jax_enable_x64"``.
          value: in the option's type; strings such as ``"true"`` or ``"2"`` are understood too.

        Raises:
          AttributeError: there is no such option.
          TypeError, ValueError: the value is not valid; the message lists those that are.
        """
        _find(name).set(value)

    def read(self, name: str) -> Any:
        """The value in force in this thread. Raises AttributeError if there is no such option."""
        return _find(name).value

    @property
    def values(self) -> dict[str, Any]:
        """Every option with the value in force in this thread, by its full name."""
        return {f"jax_{name}": state.value for name, state in states.items()}

    @property
    def x64_enabled(self) -> bool:
        """Whether 64-bit mode is on in this thread."""
        return enable_x64.value

    def parse_flags_with_absl(self) -> None:
        """Sets options from ``--jax_name=value`` and ``--nojax_name`` in ``sys.argv``, now, and removes those flags.

        Other flags stay for whoever parses them; nothing after ``--`` is read. Where ``absl`` is installed the options
        are flags of it, too, as after `config_with_absl`.

        Raises:
          ValueError: a flag has an invalid value or none.
        """
        sys.argv[1:] = take_flags(sys.argv[1:])
        define_absl_flags()

    def config_with_absl(self) -> None:
        """Defines every option as a flag of ``absl``, which ``absl.app.run(main)`` then reads from the command line.

        The flags are the options under another name: ``FLAGS.jax_debug_nans = True`` sets one, at any time. Where
        ``absl`` (the package ``absl-py``) is not installed, this does what `parse_flags_with_absl` does.
        """
        if not define_absl_flags():
            self.parse_flags_with_absl()

    def __getattr__(self, name: str) -> Any:
        return _find(name).value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f'options are set by config.update("{name}", {value!r})')

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *(f"jax_{name}" for name in states)]

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.values.items())


def _find(name: str) -> State[Any]:
    state = states.get(bare(name))
    if state is None:
        hint = close_matches(bare(name), list(states), "jax_")
        raise AttributeError(f"there is no option {name}{hint}")
    return state


config = Config()
