"""Finding and loading PJRT plugins: the libraries that run programs on a platform.

Invariant: no Python code of a plugin package runs (such modules often import a framework); a package is only
looked into for its library. A library is loaded after ``XLA_FLAGS`` is known to hold only flags that it
understands: an unknown one would end the process.

Where a plugin comes from, the first that names a platform wins: ``register_plugin``, the option
``pjrt_plugin_path`` (``ANIMA_PJRT_PLUGIN_PATH``), the variable ``PJRT_NAMES_AND_LIBRARY_PATHS`` (both
``name:path,name:path``), installed packages that declare an entry point of a group in ``_GROUPS``, and
packages known to declare none.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from anima import _native, errors
from anima.config import cpu_memory_reuse, pjrt_plugin_path, platform_name, platforms
from anima.records import NamedTuple
from anima.runtime import logs

__all__ = [
    "PluginSpec",
    "build_of",
    "discover",
    "has_cuda_kernels",
    "load",
    "missing",
    "register_hybrid_kernels",
    "register_plugin",
    "xla_flags",
]

_GROUPS = ("[anima.pjrt_plugins]", "[xla_plugins]", "[jax_plugins]")
_LIBRARY_SUFFIXES = (".so", ".dylib", ".dll", ".pyd")
# Packages that declare no entry point: platform, package.
_CPU_PACKAGE = "xla_plugins.xla_cpu_pjrt"
_KNOWN_PACKAGES = (("tpu", "libtpu"),)
_INSTALL = {
    "cpu": "pip install xla-cpu-pjrt",
    "cuda": 'pip install "anima[cuda13]"',
    "tpu": "pip install libtpu",
}
# In the order of their dependencies, so that each finds the ones that it needs already loaded.
_NVIDIA_LIBRARIES = (
    "libcudart", "libnvrtc", "libnvJitLink", "libcublasLt", "libcublas", "libcusparse", "libcusolver", "libcufft",
    "libcupti", "libnccl", "libnvshmem_host", "libcudnn",
)  # fmt: skip
_FFI_MODULES = ("_linalg", "_solver", "_sparse", "_prng", "_rnn")

_native.set_error_class("XlaRuntimeError", errors.XlaRuntimeError)
_native.set_error_class("DeletedArrayError", errors.DeletedArrayError)
_native.set_error_class("ForkError", errors.ForkError)
_native.set_error_class("PluginError", errors.PluginError)


class PluginSpec(NamedTuple):
    """An installed plugin.

    Attributes:
      platform: ``"cpu"``, ``"cuda"``, ...
      path: of its library.
      source: what named it, for messages.
    """

    platform: str
    path: str
    source: str


_lock = threading.Lock()
_registered: dict[str, PluginSpec] = {}
_loaded: list[tuple[str, _native.Plugin]] = []
_on_load: list[Callable[[str, _native.Plugin], None]] = []


def register_plugin(platform: str, path: str) -> None:
    """Makes the plugin library at ``path`` the one for ``platform``. Clients that exist stay as they are."""
    with _lock:
        _registered[platform] = PluginSpec(platform, os.path.abspath(path), "register_plugin")


def discover() -> dict[str, PluginSpec]:
    """The plugin of each platform that has one.

    Raises:
      PluginError: a plugin that was named by path is not there.
    """
    found: dict[str, PluginSpec] = dict(_registered)
    for source, names in (
        ("the option pjrt_plugin_path", pjrt_plugin_path.value),
        ("PJRT_NAMES_AND_LIBRARY_PATHS", os.environ.get("PJRT_NAMES_AND_LIBRARY_PATHS")),
    ):
        for spec in _named(source, names or ""):
            found.setdefault(spec.platform, spec)
    for name, module, source in _entry_points():
        platform = _platform_of(name)
        path = None if platform in found else _library_in(module)
        if path is not None:
            found[platform] = PluginSpec(platform, path, source)
    for platform, package in _KNOWN_PACKAGES:
        path = None if platform in found else _library_in(package)
        if path is not None:
            found[platform] = PluginSpec(platform, path, f"the package {package}")
    return found


def missing(platform: str, found: dict[str, PluginSpec]) -> errors.PluginError:
    """The error for a platform without a plugin, with the way to get one."""
    error = errors.PluginError(f"Unknown backend: no PJRT plugin for the platform {platform!r} is installed")
    if platform in _INSTALL:
        error.add_note(f"Install it: {_INSTALL[platform]}")
    error.add_note(f"Or name its library: ANIMA_PJRT_PLUGIN_PATH={platform}:/path/to/plugin.so")
    error.add_note(f"Installed: {', '.join(sorted(found)) or 'none'}")
    return error


def load(spec: PluginSpec) -> _native.Plugin:
    """Loads the library of a plugin and registers the kernels that come with it.

    Raises:
      PluginError: the library cannot be loaded, is too old, or ``XLA_FLAGS`` has a flag that it does not know.
    """
    check_xla_flags(spec.path)
    if spec.platform == "cuda":
        _preload_nvidia_libraries(spec.path)
    plugin = _native.load_plugin(spec.path)
    if spec.platform == "cpu":
        _native.keep_blocks(cpu_memory_reuse.process_value)
        plugin.interpose()
    if spec.platform == "cuda":
        _register_cuda_kernels(plugin)
    with _lock:
        _loaded.append((spec.platform, plugin))
        followers = list(_on_load)
    for follow in followers:
        follow(spec.platform, plugin)
    logs.debug("loaded the plugin %s, PJRT %s, from %s", spec.path, plugin.api_version, spec.source)
    return plugin


def on_load(follow: Callable[[str, _native.Plugin], None]) -> None:
    """Has `follow(platform, plugin)` called for each plugin: for those that are loaded now, for others when they are."""
    with _lock:
        _on_load.append(follow)
        present = list(_loaded)
    for platform, plugin in present:
        follow(platform, plugin)


def prefetch() -> None:
    """Begin to load the library for CPU devices while the rest of the package is imported, which takes longer.

    Nothing is started by that: which devices there are is still for later settings to say. Where the environment names
    other plugins or platforms, nothing is loaded ahead.
    """
    named = pjrt_plugin_path.value or os.environ.get("PJRT_NAMES_AND_LIBRARY_PATHS")
    path = None
    if not named and "cpu" in (platforms.value or platform_name.value or "cpu"):
        path = _library_in(_CPU_PACKAGE)
    if path is not None:
        _native.prefetch_library(path)


def build_of(plugin: _native.Plugin) -> str:
    """What tells one build of a plugin from another: its API version and its file's size and time."""
    status = os.stat(plugin.path)
    return f"{plugin.api_version} {status.st_size} {status.st_mtime_ns}"


# Names and places.


def _named(source: str, names: str) -> Iterator[PluginSpec]:
    for item in names.split(","):
        if not item.strip():
            continue
        platform, colon, path = item.strip().partition(":")
        if not colon or os.sep in platform:
            raise errors.PluginError(f"{source} must hold name:path,name:path, not {item!r}")
        if not os.path.isfile(path):
            raise errors.PluginError(
                f"{source} names the library {path} for {platform!r}, which does not exist"
            )
        yield PluginSpec(platform, os.path.abspath(path), source)


def _platform_of(name: str) -> str:
    """``xla_cpu_pjrt`` -> ``cpu``, ``xla_cuda13`` -> ``cuda``."""
    name = re.sub(r"^(xla|jax|pjrt|anima)[_-]|[_-](pjrt|plugin)$", "", re.sub(r"[_-]plugin$", "", name))
    return name.rstrip("0123456789") or name


def _entry_points() -> Iterator[tuple[str, str, str]]:
    """Name, module and source of every declared plugin.

    ``importlib.metadata`` does the same in 30 ms, most of which is its import.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in sorted(names):
            if name.endswith((".dist-info", ".egg-info")):
                try:
                    with open(os.path.join(folder, name, "entry_points.txt"), encoding="utf-8") as file:
                        text = file.read()
                except OSError:
                    continue
                for key, module in _plugin_entries(text):
                    yield key, module, f"the package {name.split('-')[0]}"


def _plugin_entries(text: str) -> Iterator[tuple[str, str]]:
    group = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            group = line
        elif group in _GROUPS and "=" in line and not line.startswith("#"):
            key, _, target = line.partition("=")
            yield key.strip(), target.split(":")[0].split("[")[0].strip()


def _folders_of(module: str) -> Iterator[str]:
    """The folders that hold a module, without importing anything."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    for location in (spec.submodule_search_locations if spec is not None else None) or ():
        folder = os.path.join(location, *rest)
        if os.path.isdir(folder):
            yield folder
        elif os.path.isfile(f"{folder}.py"):
            yield os.path.dirname(folder)


def _library_in(module: str) -> str | None:
    """The plugin library in a package's folder."""
    for folder in _folders_of(module):
        libraries = [name for name in sorted(os.listdir(folder)) if name.endswith(_LIBRARY_SUFFIXES)]
        libraries.sort(key=lambda name: not ("pjrt" in name or "plugin" in name))
        for name in libraries:
            path = os.path.join(folder, name)
            if len(libraries) == 1 or _contains(path, b"GetPjrtApi\0"):
                return path
    return None


def _contains(path: str, word: bytes) -> bool:
    import mmap

    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0


# XLA_FLAGS


def xla_flags() -> str:
    """The flags in force: the text of ``XLA_FLAGS`` or of the file that it names."""
    value = os.environ.get("XLA_FLAGS", "").strip()
    if not value or value.startswith("-"):
        return value
    try:
        with open(value, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return value


def check_xla_flags(library: str) -> None:
    """Raises PluginError if ``XLA_FLAGS`` has a flag that is not in the library, which would end the process.

    A flag counts as known if its name is among the constants of the library. Of the 290 names found so in the
    CPU plugin 33 are no flags, and none of its flags is missing. Looking up a name takes 10 ms.
    """
    words = xla_flags().split()
    if not words:
        return
    import mmap

    with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for word in words:
            name = word.partition("=")[0].removeprefix("--")
            if word.startswith("--xla_") and content.find(name.encode() + b"\0") >= 0:
                continue
            import difflib

            error = errors.PluginError(
                f"XLA_FLAGS has {word!r}, which {os.path.basename(library)} does not know"
            )
            known = {found.decode() for found in re.findall(rb"xla_[a-z0-9_]+(?=\0)", content)}
            close = difflib.get_close_matches(name, known, n=3)
            if close:
                error.add_note("Did you mean " + " or ".join(f"--{match}" for match in close) + "?")
            error.add_note("Flags are written --xla_name=value, with spaces between them.")
            raise error


# What the CUDA plugin needs besides.


def _preload_nvidia_libraries(plugin_path: str) -> None:
    """Loads NVIDIA's libraries from their packages, so that the plugin finds these copies by their names.

    The plugin looks into ``nvidia`` beside its own package by itself; another folder of ``sys.path`` (user
    packages below a system-wide plugin) is what it cannot know.
    """
    import ctypes

    beside = os.path.realpath(os.path.join(os.path.dirname(plugin_path), "..", "..", "nvidia"))
    for package in _folders_of("nvidia"):
        if os.path.realpath(package) == beside:
            continue
        folders = [os.path.join(package, name, "lib") for name in sorted(os.listdir(package))]
        files = [
            os.path.join(folder, f) for folder in folders if os.path.isdir(folder) for f in os.listdir(folder)
        ]
        for library in _NVIDIA_LIBRARIES:
            for path in files:
                if os.path.basename(path).startswith(f"{library}.so"):
                    try:
                        ctypes.CDLL(path)
                    except OSError as error:
                        logs.debug("cannot load %s: %s", path, error)


@functools.cache
def has_cuda_kernels() -> bool:
    """Whether the package with linear algebra for NVIDIA GPUs is installed; its handlers are registered with the plugin."""
    return _cuda_kernels_folder() is not None


def _cuda_kernels_folder() -> str | None:
    for version in ("13", "12"):
        for folder in _folders_of(f"jax_cuda{version}_plugin"):
            return folder
    return None


def _register_cuda_kernels(plugin: _native.Plugin) -> None:
    """Registers the XLA FFI handlers of the package jax-cuda13-plugin (linear algebra and others), if installed."""
    folder = _cuda_kernels_folder()
    if folder is not None:
        for name in _FFI_MODULES:
            _register_handlers(plugin, os.path.join(folder, f"{name}.so"))


def register_hybrid_kernels(plugin: _native.Plugin) -> bool:
    """Registers the kernels that call SciPy's LAPACK from a GPU program; whether they can be used.

    Apart from the others because it imports SciPy (0.1 s). To be called before a program that names one of
    them (``cuhybrid_eig_real``, ``cuhybrid_eig_comp``, ``cuhybrid_geqp3``) is compiled or loaded.
    """
    folder = _cuda_kernels_folder()
    module = _register_handlers(plugin, os.path.join(folder, "_hybrid.so")) if folder is not None else None
    if module is None:
        return False
    module.initialize()
    return True


def _register_handlers(plugin: _native.Plugin, path: str) -> Any:
    """Registers what an extension module's ``registrations()`` lists; the module, or None if that fails."""
    name = f"anima_cuda_kernels.{os.path.basename(path).partition('.')[0]}"
    try:
        loader = importlib.machinery.ExtensionFileLoader(name, path)
        spec = importlib.machinery.ModuleSpec(name, loader, origin=path)
        module = loader.create_module(spec)
        loader.exec_module(module)
        # A handler with more stages than execution comes as a dict; nothing here calls those.
        handlers = {k: v for k, v in module.registrations().items() if type(v).__name__ == "PyCapsule"}
    except Exception as error:  # of any kind: a package of another release must not keep the GPU from working
        logs.debug("the kernels in %s cannot be used: %s", path, error)
        return None
    for target, handler in handlers.items():
        try:
            _native.register_ffi_handler(plugin, target, handler, "CUDA")
        except errors.XlaRuntimeError as error:
            logs.debug("the kernel %s cannot be registered: %s", target, error)
    return module
