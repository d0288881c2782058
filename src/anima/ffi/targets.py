"""The targets of foreign calls: functions of users' libraries, by name and platform.

Invariant: registering starts no device and loads no plugin: what is registered is checked at once, given to the plugins of its
platform that are loaded, and to others when they are. A plugin gets registrations in their order, so a type that is
registered before the target that uses it has its number when the target is asked for it.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from anima import _native
from anima.errors import PluginError, XlaRuntimeError
from anima.runtime import compiler, logs, plugins

_PLATFORMS = {"host": ("cpu",), "gpu": ("cuda", "rocm")}
_OWN = "anima_"  # the names of this package's own kernels, which know how they are called
_lock = threading.RLock()
_registered: dict[tuple[str, str, str], tuple[Any, Callable[[_native.Plugin], Any]]] = {}
_refused: dict[str, str] = {}  # why a plugin refused a target that was registered before it was loaded
_loaded: list[tuple[str, _native.Plugin]] = []


def register_ffi_target(
    name: str, fn: Any, platform: str = "cpu", api_version: int = 1, **kwargs: Any
) -> None:
    """Give a function of a library a name by which programs can call it.

    Args:
      name: the name; those that begin with "anima_" are taken.
      fn: a capsule with the address of the function (`pycapsule` makes one), or a dict of such capsules by stage:
        "instantiate", "prepare", "initialize" and "execute", the last of which there must be.
      platform: "cpu", "cuda", "rocm", "gpu" for both of these, or what another plugin calls itself.
      api_version: 1, which is XLA's typed interface.
      kwargs: there are none.
    Raises:
      TypeError: `name` is no string, `fn` no capsule, or there is another argument. ValueError: the name is empty, taken, or
        registered for this platform with another function; a capsule holds no function; a stage has an unknown name;
        `api_version` is 0, which is the interface from before, and which plugins take from nobody. PluginError: the plugin
        refuses the function: it is built for a newer version of the interface, say.

    >>> import ctypes, anima
    >>> anima.ffi.register_ffi_target(
    ...     "nothing", anima.ffi.pycapsule(ctypes.CDLL(None).abs), platform="mine"
    ... )
    """
    _check_name("register_ffi_target", name)
    if kwargs:
        raise TypeError(f"register_ffi_target: there is no option {next(iter(kwargs))!r}")
    if name.startswith(_OWN):
        raise ValueError(
            f"register_ffi_target: names that begin with {_OWN!r} are this package's, choose another than {name!r}"
        )
    if api_version != 1:
        raise ValueError(
            f"register_ffi_target: api_version must be 1, XLA's typed interface, got {api_version!r}; plugins take functions of "
            "the interface from before from nobody: write the function as a typed handler (anima.ffi.include_dir)"
        )
    handler = dict(fn) if isinstance(fn, Mapping) else fn
    _native.check_ffi_handler(handler)
    for known in _known_as(platform, "register_ffi_target"):
        _register(
            ("target", name, known),
            _addresses(handler),
            lambda plugin, known=known: _native.register_ffi_handler(plugin, name, handler, known),  # type: ignore[misc]
        )


def register_ffi_type(name: str, type_registration: Mapping[str, Any], platform: str = "cpu") -> None:
    """Give a type of the states that a handler keeps between its stages a number of XLA's.

    Args:
      name: of the type, which no other has in the process.
      type_registration: a dict of capsules: "type_id", the address of the library's `TypeId`, which gets the number; and
        "type_info", the address of a `TypeInfo`, whose function deletes states. Both must live as long as the process.
      platform: as in `register_ffi_target`; register the type before the target that uses it.
    Raises:
      TypeError, ValueError: one of them is none, or there is another entry. PluginError: the plugin refuses the type.

    >>> import ctypes, anima
    >>> number = ctypes.c_int64(0)
    >>> capsule = anima.ffi.pycapsule(ctypes.pointer(number))
    >>> anima.ffi.register_ffi_type("my state", {"type_id": capsule}, platform="mine")
    """
    _check_name("register_ffi_type", name)
    if not isinstance(type_registration, Mapping):
        raise TypeError(
            "register_ffi_type: type_registration must be a dict with the capsules 'type_id' and 'type_info', got "
            f"{type_registration!r:.80}"
        )
    unknown = set(type_registration) - {"type_id", "type_info"}
    if unknown or "type_id" not in type_registration:
        raise ValueError(
            "register_ffi_type: type_registration has the entries 'type_id' and, if states are to be deleted, 'type_info'; got "
            f"{sorted(map(str, type_registration))}"
        )
    number, info = type_registration["type_id"], type_registration.get("type_info")
    _native.check_ffi_type(number, info)
    for known in _known_as(platform, "register_ffi_type"):
        _register(
            ("type", name, known),
            (_addresses(number), _addresses(info)),
            lambda plugin, known=known: _native.register_ffi_type(plugin, name, number, info, known),  # type: ignore[misc]
        )


def register_ffi_type_id(name: str, obj: Any, platform: str = "cpu") -> None:
    """`register_ffi_type` of a type whose states are never deleted.

    Args:
      name: of the type.
      obj: a capsule with the address of the library's `TypeId`.
      platform: as there.
    Raises:
      TypeError, ValueError, PluginError: as there.

    >>> import ctypes, anima
    >>> number = ctypes.c_int64(0)
    >>> anima.ffi.register_ffi_type_id(
    ...     "another state", anima.ffi.pycapsule(ctypes.pointer(number)), platform="mine"
    ... )
    """
    register_ffi_type(name, {"type_id": obj}, platform)


def register_ffi_target_as_batch_partitionable(name: str) -> None:
    """Say that a target computes each index of its arrays' leading dimensions apart from the others.

    In a program over several devices XLA's partitioner then has each device call it on its own part. Plugins that take no such
    hints, as that for CPUs, give every device the whole arrays, with the same results.

    Args:
      name: of the target.
    Raises:
      TypeError, ValueError: `name` is no string, or empty.

    >>> import anima
    >>> anima.ffi.register_ffi_target_as_batch_partitionable("nothing")
    """
    _check_name("register_ffi_target_as_batch_partitionable", name)

    def tell(plugin: _native.Plugin) -> None:
        if not _native.register_batch_partitionable(plugin, name):
            logs.debug("%s takes no hints about partitioning %s", plugin.path, name)

    _register(("partition", name, ""), None, tell)


def pycapsule(funcptr: Any) -> Any:
    """The capsule of a function, or of data, of a library that `ctypes` has loaded.

    Args:
      funcptr: a function of a `ctypes.CDLL`, a `ctypes` pointer, or an address.
    Raises:
      TypeError: it is nothing of that. ValueError: the address is 0.

    >>> import ctypes, anima
    >>> type(anima.ffi.pycapsule(ctypes.CDLL(None).abs)).__name__
    'PyCapsule'
    """
    try:
        if isinstance(funcptr, (str, bytes)):  # ctypes takes the address of their characters
            raise TypeError
        address = ctypes.cast(funcptr, ctypes.c_void_p).value
    except (TypeError, ctypes.ArgumentError):
        raise TypeError(
            "pycapsule: funcptr must be a function of a library that ctypes loaded, a ctypes pointer or an address, got "
            f"{funcptr!r:.80} of type {type(funcptr).__name__}"
        ) from None
    if not address:
        raise ValueError("pycapsule: funcptr is the address 0")
    make = ctypes.pythonapi.PyCapsule_New
    make.argtypes, make.restype = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p], ctypes.py_object
    return make(address, None, None)


def include_dir() -> str:
    """The folder with the headers for handlers: `anima/ffi.h`, and `anima/ffi_abi.h`, the structs behind it.

    They describe XLA's interface, need nothing but C++17, and suit every plugin. Handlers that are written with XLA's own headers,
    which no dependency of this package has, are called as well, by plugins that are as new as the headers.

    >>> import os, anima
    >>> sorted(os.listdir(os.path.join(anima.ffi.include_dir(), "anima")))
    ['ffi.h', 'ffi_abi.h']
    """
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "include")


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what}: name must be a string, got {name!r:.80}")
    if not name or "\0" in name:
        raise ValueError(f"{what}: name must have characters, and none that is NUL, got {name!r}")


def _known_as(platform: Any, what: str) -> tuple[str, ...]:
    if not isinstance(platform, str) or not platform:
        raise TypeError(f"{what}: platform must be a name such as 'cpu' or 'cuda', got {platform!r:.80}")
    return _PLATFORMS.get(platform.lower(), (platform.lower(),))


def _addresses(handler: Any) -> Any:
    """What tells a registration from another one of the same name."""
    if isinstance(handler, dict):
        return sorted((stage, _addresses(capsule)) for stage, capsule in handler.items())
    if handler is None:
        return None
    read = ctypes.pythonapi.PyCapsule_GetPointer
    name = ctypes.pythonapi.PyCapsule_GetName
    name.argtypes, name.restype = [ctypes.py_object], ctypes.c_char_p
    read.argtypes, read.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return read(handler, name(handler))


def _register(key: tuple[str, str, str], same: Any, action: Callable[[_native.Plugin], Any]) -> None:
    kind, name, platform = key
    with _lock:
        if key in _registered:
            if _registered[key][0] == same:
                return
            raise ValueError(
                f"the FFI {kind} {name!r} is registered for {platform} already, as something else; give the new one another name"
            )
        for loaded, plugin in _loaded:
            if platform in ("", loaded):
                action(plugin)
        _registered[key] = (same, action)


def _attach(platform: str, plugin: _native.Plugin) -> None:
    """Give a plugin what was registered before it was loaded."""
    with _lock:
        for (kind, name, wanted), (_, action) in _registered.items():
            if wanted in ("", platform):
                try:
                    action(plugin)
                except PluginError as error:  # the others, and the device, are not to suffer for it
                    _refused[name] = str(error)
                    logs.warn("the FFI %s %s cannot be registered: %s", kind, name, error)
        _loaded.append((platform, plugin))


plugins.on_load(_attach)

_UNKNOWN = re.compile(r"No FFI handler registered for (\S+) on")


def _explain(error: XlaRuntimeError, program: str) -> None:
    """Tell the user of a program that calls a target which its plugin does not know what to do."""
    found = _UNKNOWN.search(str(error))
    if found is None:
        return
    name = found[1]
    if name in _refused:
        error.add_note(_refused[name])
        return
    with _lock:
        targets = [(known, platform) for kind, known, platform in _registered if kind == "target"]
    elsewhere = sorted({platform for known, platform in targets if known == name})
    if elsewhere:
        error.add_note(
            f"The target {name!r} is registered for {', '.join(elsewhere)} only: pass another `platform` to register_ffi_target."
        )
        return
    error.add_note(
        f"Register it: anima.ffi.register_ffi_target({name!r}, anima.ffi.pycapsule(library.Function))"
    )
    close = difflib.get_close_matches(name, {known for known, _ in targets}, n=3)
    if close:
        error.add_note("Did you mean " + " or ".join(map(repr, close)) + "?")


compiler.explanations.append(_explain)
