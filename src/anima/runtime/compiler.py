"""From program text to an executable: in memory, from disk, or by compiling.

Invariant: within a process a program is compiled at most once for the same client and options, however many
threads ask for it at the same time; the others wait for the first. No lock is held while XLA works.

The text is canonical (the same program gives the same bytes in every process) and says everything about
donation and aliasing, so text and options are the key.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from weakref import WeakKeyDictionary

from anima import _native, monitoring
from anima.config import (
    dump_ir_modes,
    dump_ir_to,
    log_compiles,
    persistent_cache_min_compile_time_secs,
    persistent_cache_min_entry_size_bytes,
)
from anima.core.spans import program_name, span
from anima.errors import XlaRuntimeError
from anima.records import NamedTuple
from anima.runtime import ahead, devices, disk_cache, logs
from anima.runtime.compile_options import CompileOptions, debug_options_of
from anima.runtime.plugins import build_of, prefetch, xla_flags

__all__ = ["CompileStats", "clear_memory_cache", "compile_program", "compile_stats"]

# Here, since most of the package is imported after this module, and no other extension module, which would wait until the
# library is loaded: the system's loader does one at a time.
prefetch()

# Executables that nobody else holds any more (the caches of jit hold those in use).
_MAX_EXECUTABLES = 512


class CompileStats(NamedTuple):
    """How often each road to an executable was taken in this process.

    Attributes:
      compiles: XLA compiled the program.
      disk_hits: it was loaded from the folder of compiled programs.
      memory_hits: it had been compiled or loaded before, or another thread was at it.
      seconds: spent compiling.
    """

    compiles: int = 0
    disk_hits: int = 0
    memory_hits: int = 0
    seconds: float = 0.0


class _Flight:
    """A compilation under way, for those who wait for it."""

    __slots__ = ("done", "error", "executable", "thread")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.thread = threading.get_ident()
        self.executable: _native.Executable | None = None
        self.error: Exception | None = None


class _ClientKeys:
    """What stands for a client in memory (an address may be used again) and on disk."""

    __slots__ = ("debug_options", "environment", "serial")

    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.environment: bytes | None = None
        self.debug_options: bytes | None = None


# Signal handlers and finalizers, which Python runs between any two steps of a thread, may compile, too.
_lock = threading.RLock()
_executables: OrderedDict[tuple[int, bytes], _native.Executable] = OrderedDict()
_flights: dict[tuple[int, bytes], _Flight] = {}
_clients: WeakKeyDictionary[_native.Client, _ClientKeys] = WeakKeyDictionary()
_serials = count()
_unknown: dict[str, frozenset[str]] = {}  # path of a plugin -> options of the policy that it does not know
_stats = CompileStats()
before_compiling: list[
    Callable[[_native.Client], None]
] = []  # called with the client; what one raises goes to the caller


def compile_program(
    program: str, *, client: _native.Client, options: CompileOptions, name: str = "program"
) -> _native.Executable:
    """The executable of a program.

    Args:
      program: StableHLO text.
      client: whose devices run it.
      options: what is asked of XLA, from ``options_for``.
      name: for messages, ``"jit(f)"`` say.

    Raises:
      XlaRuntimeError: XLA refuses the program.
    """
    options = options.without(_unknown.get(client.plugin.path, ()))
    text = program.encode()
    key = (_client_keys(client).serial, disk_cache.entry_key(text, options.key()))
    while True:
        with _lock:
            executable = _executables.get(key)
            if executable is not None:
                _executables.move_to_end(key)
                _count(memory_hits=1)
                return executable
            flight = _flights.get(key)
            leading = flight is None
            if flight is None:
                flight = _flights[key] = _Flight()
        if leading:
            return _lead(flight, key, program, text, client, options, name)
        if flight.thread == threading.get_ident():  # it waits for this call
            return _load_or_compile(program, text, client, options, name)
        flight.done.wait()
        if flight.executable is not None:
            with _lock:
                _count(memory_hits=1)
            return flight.executable
        if flight.error is not None:
            raise flight.error
        # The leader was interrupted (KeyboardInterrupt): someone else takes over.


def _lead(
    flight: _Flight,
    key: tuple[int, bytes],
    program: str,
    text: bytes,
    client: _native.Client,
    options: CompileOptions,
    name: str,
) -> _native.Executable:
    try:
        with span("executable", program_name(name)):
            executable = _load_or_compile(program, text, client, options, name)
        flight.executable = executable
    except Exception as error:
        flight.error = error
        raise
    finally:
        with _lock:
            if flight.executable is not None:
                _executables[key] = flight.executable
                while len(_executables) > _MAX_EXECUTABLES:
                    _executables.popitem(last=False)
            del _flights[key]
        flight.done.set()
    return executable


def _load_or_compile(
    program: str, text: bytes, client: _native.Client, options: CompileOptions, name: str
) -> _native.Executable:
    if dump_ir_to.value:
        _dump(program, options, name)
    cache = disk_cache.current()
    key = b""
    if cache is not None:
        key = disk_cache.entry_key(text, options.key(), _environment(client), _targets_version(program))
        executable = _load(cache, key, client, options.encode(), name, program)
        if executable is not None:
            return executable
    start = time.perf_counter()
    with span("compile", program_name(name)):
        executable = _compile(program, client, options)
    seconds = time.perf_counter() - start
    with _lock:
        _count(compiles=1, seconds=seconds)
    say = logs.warn if log_compiles.value else logs.debug
    say("Finished XLA compilation of %s in %.3f s", name, seconds)
    if cache is not None and seconds >= persistent_cache_min_compile_time_secs.value:
        _store(cache, key, executable, name, program, options.encode())
    return executable


# Add notes to the error of a program that cannot be compiled: `explain(error, program)`.
explanations: list[Callable[[XlaRuntimeError, str], None]] = []


def _compile(program: str, client: _native.Client, options: CompileOptions) -> _native.Executable:
    for tell in before_compiling:
        tell(client)
    path = client.plugin.path
    defaults = _debug_options(client) if options.extras else b""
    while True:
        try:
            return client.compile(program, options.encode(defaults))
        except XlaRuntimeError as error:
            # A plugin of another release may lack an option that nobody but us has asked for.
            names = {name for name, _ in options.policy if f"'{name}'" in str(error)}
            plain = options.with_plain_loops() if options.extras else options
            if not names and error.status == "INTERNAL" and plain != options:
                # XLA fails on some loops that it makes one function of: on products of mixed dtypes in them, say.
                logs.debug("compiled again with plain loops: %s", error)
                options = plain
                continue
            if not names:
                for explain in explanations:
                    explain(error, program)
                raise
            logs.debug("%s does not know %s: %s", path, names, error)
        _unknown[path] = _unknown.get(path, frozenset()) | names
        options = options.without(names)


_EMPTY_PROGRAM = """module @empty {
  func.func public @main(%0: tensor<f32>) -> tensor<f32> {
    return %0 : tensor<f32>
  }
}"""


def _debug_options(client: _native.Client) -> bytes:
    """The debug options that the plugin has by itself and from XLA_FLAGS, as a program compiled with them says; empty if
    it does not."""
    keys = _client_keys(client)
    if keys.debug_options is None:
        try:
            config = client.compile(_EMPTY_PROGRAM, CompileOptions().encode()).config()
            keys.debug_options = debug_options_of(config)
        except (XlaRuntimeError, ValueError) as error:
            logs.debug("%s does not tell its debug options: %s", client.plugin.path, error)
            keys.debug_options = b""
    return keys.debug_options


def _load(
    cache: disk_cache.DiskCache, key: bytes, client: _native.Client, encoded: bytes, name: str, program: str
) -> _native.Executable | None:
    start = time.perf_counter()
    executable = ahead.take(cache, key, client)
    if executable is None:
        executable = _read(cache, key, client, encoded, name)
    monitoring.record_event("/jax/compilation_cache/compile_requests_use_cache")
    if executable is None:
        monitoring.record_event("/jax/compilation_cache/cache_misses")
        return None
    monitoring.record_event("/jax/compilation_cache/cache_hits")
    took = time.perf_counter() - start
    monitoring.record_event_duration_secs("/jax/compilation_cache/cache_retrieval_time_sec", took)
    ahead.note(cache, key, encoded, program)
    with _lock:
        _count(disk_hits=1)
    say = logs.warn if log_compiles.value else logs.debug
    say("Loaded %s from the compilation cache", name)
    return executable


def _read(
    cache: disk_cache.DiskCache, key: bytes, client: _native.Client, encoded: bytes, name: str
) -> _native.Executable | None:
    try:
        payload = cache.load(key)
    except OSError as error:
        disk_cache.failed("reading an entry", error)
        return None
    if payload is None:
        return None
    try:
        with span("load", program_name(name)):
            return client.deserialize(payload, encoded)
    except XlaRuntimeError as error:
        logs.debug("compilation cache: the entry of %s cannot be loaded: %s", name, error)
        return None


def _store(
    cache: disk_cache.DiskCache,
    key: bytes,
    executable: _native.Executable,
    name: str,
    program: str,
    encoded: bytes,
) -> None:
    try:
        payload = executable.serialize()
    except XlaRuntimeError as error:  # not every plugin can
        logs.debug("compilation cache: %s cannot be serialised: %s", name, error)
        return
    if len(payload) < persistent_cache_min_entry_size_bytes.value:
        return
    try:
        if cache.store(key, payload):
            ahead.note(cache, key, encoded, program)
    except OSError as error:
        disk_cache.failed("writing an entry", error)


def _count(compiles: int = 0, disk_hits: int = 0, memory_hits: int = 0, seconds: float = 0.0) -> None:
    """To be called with the lock held."""
    global _stats
    now = _stats
    _stats = CompileStats(
        now.compiles + compiles,
        now.disk_hits + disk_hits,
        now.memory_hits + memory_hits,
        now.seconds + seconds,
    )


def compile_stats() -> CompileStats:
    """How often each road to an executable was taken so far."""
    return _stats


def clear_memory_cache() -> None:
    """Forgets every executable that this module holds; the folder on disk stays."""
    ahead.forget()
    with _lock:
        _executables.clear()


# What the machine code depends on besides text and options.


def _client_keys(client: _native.Client) -> _ClientKeys:
    keys = _clients.get(client)
    if keys is None:
        with _lock:
            keys = _clients.setdefault(client, _ClientKeys(next(_serials)))
    return keys


def _environment(client: _native.Client) -> bytes:
    keys = _client_keys(client)
    if keys.environment is None:
        devices = [(device.id, device.process_index, device.device_kind) for device in client.devices]
        parts = (
            client.platform,
            client.platform_version,
            build_of(client.plugin),
            xla_flags(),
            os.environ.get("LIBTPU_INIT_ARGS", ""),
            _processor(),
            _threads(),
            repr(devices),
        )
        keys.environment = disk_cache.entry_key(*(part.encode() for part in parts))
    return keys.environment


def _processor() -> str:
    """The instruction set of this machine: an executable made for a larger one dies with SIGILL."""
    wanted = ("flags", "Features", "model name", "CPU implementer", "CPU part")
    lines: list[str] = []
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as info:
            for line in info:
                if not line.strip():
                    break  # the other processors are like the first
                if line.startswith(wanted):
                    lines.append(line)
    except OSError:
        import platform

        lines = [platform.machine(), platform.processor(), platform.platform()]
    return "".join(lines)


def _threads() -> str:
    names = ("PJRT_NPROC", "NPROC", "OMP_NUM_THREADS")
    return repr([os.cpu_count(), devices.processors(), *(os.environ.get(name) for name in names)])


def _targets_version(program: str) -> bytes:
    """The build of the kernels that the program may call: their interface changes with it."""
    if "custom_call" not in program:
        return b""
    status = os.stat(_native.__file__)
    return f"{status.st_size} {status.st_mtime_ns}".encode()


def _start_ahead(client: _native.Client) -> None:
    cache = disk_cache.current() if client.platform == "cpu" else None
    if cache is not None:
        ahead.start(client, cache, _environment(client))


devices.on_start(_start_ahead)


# jax_dump_ir_to

_dumped = 0


def _dump(program: str, options: CompileOptions, name: str) -> None:
    global _dumped
    with _lock:
        _dumped += 1
        number = _dumped
    stages = {"stablehlo": program, "options": f"{options}\n"}
    for mode in (dump_ir_modes.value or "").split(","):
        content = stages.get(mode.strip())
        if content is not None:
            dump(f"{number:04d}.{name}.{mode.strip()}", content)


def dump(label: str, content: str) -> None:
    """Writes a stage of a program where ``jax_dump_ir_to`` says, under a file name made from ``label``."""
    folder = dump_ir_to.value
    if folder in (None, "", "-"):
        print(f"---- {label}", content, sep="\n", file=sys.stderr)
        return
    os.makedirs(folder, exist_ok=True)
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in label)
    with open(os.path.join(folder, f"{name}.txt"), "w", encoding="utf-8") as file:
        file.write(content)
