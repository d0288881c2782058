"""What a program will ask for, made ready by threads while Python is still at work.

Invariant: only what the same script asked for when it last ran is made ready, under the full key under which the program itself
would read it, so nobody gets an executable that reading it would not have given; one that nobody asks for is dropped. On one
processor, without a folder for executables, and where no script runs (at a prompt), nothing happens.

That script's list is an entry of the folder of executables. To read them takes XLA 1 to 400 ms, as long as tracing and lowering
them again takes Python, on a processor that would have nothing else to do. The same holds for the machine code of XLA's
products of matrices (oneDNN's), which it makes in 26 ms when a process multiplies for the first time: a second thread has that done.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np

from anima import _native
from anima.config import load_programs_ahead
from anima.errors import XlaRuntimeError
from anima.records import NamedTuple
from anima.runtime import logs
from anima.runtime.compile_options import CompileOptions
from anima.runtime.devices import processors
from anima.runtime.disk_cache import DiskCache, entry_key

__all__ = ["forget", "note", "start", "take"]

_MOST_PROGRAMS = 32
_PATIENCE = 60.0  # seconds after which the next program drops what nobody has asked for

_PRODUCT = """module @product {
  func.func public @main(%0: tensor<32x32xf32>, %1: tensor<32x32xf32>) -> tensor<32x32xf32> {
    %2 = stablehlo.dot_general %0, %1, contracting_dims = [1] x [0] : (tensor<32x32xf32>, tensor<32x32xf32>) -> tensor<32x32xf32>
    return %2 : tensor<32x32xf32>
  }
}"""


class _Program(NamedTuple):
    """A program that a script asked for: its key on disk, the options that it is read with, the kernels that it calls."""

    key: bytes
    options: bytes
    kernels: tuple[str, ...]


class _Reading:
    """An executable that is read, or waits for that."""

    __slots__ = ("done", "executable", "program", "started")

    def __init__(self, program: _Program) -> None:
        self.program = program
        self.started = False
        self.done = threading.Event()
        self.executable: _native.Executable | None = None


class _Script:
    """What is known of the script that runs: what it asked for the last time, and this time."""

    def __init__(self, client: _native.Client, cache: DiskCache, key: bytes, environment: bytes) -> None:
        self.client, self.cache, self.key = client, cache, key
        self.product_key = entry_key(_PRODUCT.encode(), CompileOptions().key(), environment)
        self.last: bytes | None = None
        self.programs: list[_Program] = []
        self.multiplies = False
        self.process = os.getpid()
        self.began = time.monotonic()
        self.readings: dict[bytes, _Reading] = {}


_lock = threading.RLock()  # a signal handler that compiles may run in here
_script: _Script | None = None


def start(client: _native.Client, cache: DiskCache, environment: bytes) -> None:
    """Begin to make ready what the script that runs asked for when it last ran.

    Args:
      client: of the processors of this machine.
      cache: where executables are kept.
      environment: what all of their keys depend on.
    """
    global _script
    name = _name_of_script()
    if name is None or _script is not None or not load_programs_ahead.value or processors() < 2:
        return
    script = _script = _Script(client, cache, entry_key(b"script", environment, *name), environment)
    atexit.register(_remember, script)
    try:
        script.last = cache.load(script.key)
        multiplies, programs = _read_list(script.last or b"")
    except (OSError, ValueError) as error:
        logs.debug("what this script asked for last is not known: %s", error)
        return
    script.readings = {program.key: _Reading(program) for program in programs}
    if programs:
        readings = list(script.readings.values())
        threading.Thread(target=_make_ready, args=(script, readings), name="anima-ahead").start()
    if multiplies:  # beside it, for the program is wanted as soon as Python has lowered it
        threading.Thread(target=_multiply, args=(script,), name="anima-products").start()


def take(cache: DiskCache, key: bytes, client: _native.Client) -> _native.Executable | None:
    """The executable of a key if it was read ahead; None if it was not, and then it will not be.

    Waits for one that is being read: it will be there before another reader could have it.
    """
    script = _of_this_process()
    if script is None or not script.readings:
        return None
    with _lock:
        if time.monotonic() - script.began > _PATIENCE:
            script.readings.clear()
        reading = script.readings.pop(key, None)
    if reading is None or not reading.started or script.cache is not cache or script.client is not client:
        return None
    reading.done.wait()
    return reading.executable


def note(cache: DiskCache, key: bytes, options: bytes, text: str) -> None:
    """Remember that the script asked for a program that is now on disk.

    Args:
      cache, key: where it is.
      options: what it is read with.
      text: the program.
    """
    script = _of_this_process()
    if script is None or script.cache is not cache:
        return
    targets = re.findall(r'call_target_name = "(\w+)"', text) if "custom_call" in text else []
    with _lock:
        script.multiplies = script.multiplies or ("dot_general" in text and "xf32>" in text)
        # Handlers of users are registered by their program, which may not have come so far yet.
        if len(script.programs) < _MOST_PROGRAMS and all([name.startswith("anima_") for name in targets]):
            script.programs.append(_Program(key, options, tuple(dict.fromkeys(targets))))


def forget() -> None:
    """Drop what nobody has asked for yet."""
    script = _of_this_process()
    if script is not None:
        with _lock:
            script.readings.clear()


def _of_this_process() -> _Script | None:
    """What is known of the script, but in a forked child: it has no thread, and perhaps a lock that the thread had taken."""
    return _script if _script is not None and _script.process == os.getpid() else None


# The threads.


def _make_ready(script: _Script, readings: list[_Reading]) -> None:
    for reading in readings:
        if not threading.main_thread().is_alive():
            return
        with _lock:
            # The program may have been quicker, or want nothing of this any more.
            reading.started = script.readings.get(reading.program.key) is reading
        if reading.started:
            try:
                reading.executable = _read(script, reading.program)
            except (
                Exception
            ) as error:  # of any kind: whoever asks for the program reads it again, and is told
                logs.debug("reading ahead failed: %s", error)
            finally:
                reading.done.set()


def _read(script: _Script, program: _Program) -> _native.Executable | None:
    payload = script.cache.load(program.key)
    if payload is None:
        return None
    for kernel in program.kernels:
        _native.register_kernel(script.client, kernel)
    return script.client.deserialize(payload, program.options)


def _multiply(script: _Script) -> None:
    """Have XLA make its machine code of products; by a client of its own, or the script's first programs waited for it.

    (A client's programs run one after the other, and the code is that of the process.)
    """
    try:
        payload = script.cache.load(script.product_key)
        if payload is None:
            return
        client = script.client.plugin.create_client({"cpu_device_count": 1})
        try:
            executable = client.deserialize(payload, CompileOptions().encode())
            zeros = np.zeros((32, 32), np.float32)
            operand = _native.array_from_host(zeros, executable.devices[0])
            executable.execute([[operand, operand]], [(zeros.shape, zeros.dtype, False)])
        finally:
            client.close()
    except (OSError, XlaRuntimeError) as error:
        logs.debug("multiplying ahead failed: %s", error)


# The list.


def _remember(script: _Script) -> None:
    """Keep what the script asked for, for the next time that it runs."""
    if script.process != os.getpid():
        return
    with _lock:
        script.readings.clear()
        content = _list(script.multiplies, script.programs)
    try:
        if script.multiplies and not script.client.closed and not script.cache.has(script.product_key):
            executable = script.client.compile(_PRODUCT, CompileOptions().encode())
            script.cache.store(script.product_key, executable.serialize())
        if content != script.last and (script.programs or script.last is not None):
            script.cache.store(script.key, content)
    except (OSError, XlaRuntimeError) as error:
        logs.debug("what this script asked for is not kept: %s", error)


def _list(multiplies: bool, programs: list[_Program]) -> bytes:
    lines = [b"multiplies" if multiplies else b""]
    lines += [" ".join((p.key.hex(), p.options.hex() or "-", *p.kernels)).encode() for p in programs]
    return b"\n".join(lines)


def _read_list(content: bytes) -> tuple[bool, list[_Program]]:
    """What `_list` has written; raises ValueError for anything else."""
    first, *lines = content.decode().split("\n")
    programs = []
    for line in lines:
        key, options, *kernels = line.split(" ")
        programs.append(
            _Program(bytes.fromhex(key), bytes.fromhex(options.removeprefix("-")), tuple(kernels))
        )
    return first == "multiplies", programs


def _name_of_script() -> tuple[bytes, ...] | None:
    """What tells one script from another; None where Python runs none."""
    if sys.flags.interactive or hasattr(sys, "ps1"):
        return None
    words: Iterator[str] = iter(sys.orig_argv[1:])
    for word in words:
        if word in ("-c", "-m"):
            return (
                word.encode(),
                next(words, "").encode(errors="replace"),
                os.getcwd().encode(errors="replace"),
            )
        if word in ("-W", "-X", "--check-hash-based-pycs"):
            next(words, None)
        elif not word.startswith("-"):
            return b"", os.path.abspath(word).encode(errors="replace")
    return None
