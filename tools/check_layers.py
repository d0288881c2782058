"""Layers import downward only, without cycles, and never inside a function.

Invariant: the order of the house is the table `LAYERS` below and nothing else. A module may import from its own layer
and from those listed before it; the exceptions are data too. Run as `python -m tools.check_layers [FOLDER]`: prints
one line a violation and exits with 1 if there is any.

The rules:

1. A run-time import goes to the same layer or a lower one. `anima._native` is below everything.
2. No cycle of module-level imports.
3. No function-local import of a module of the project, except in the `__getattr__` of a package (the one lazy
   mechanism) and where `LOCAL_IMPORTS` gives the reason.
4. `jax` and `jaxlib` are never imported.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.sources import Import, Module, load

ROOT = Path(__file__).resolve().parents[1]

# From the bottom to the top. A name stands for a module and all that is below it; the longest match decides.
LAYERS: list[tuple[str, ...]] = [
    ("_native",),
    (
        "bytecode",
        "command_line",
        "config",
        "errors",
        "monitoring",
        "options",
        "on_demand",
        "protobuf",
        "records",
        "startup",
        "version",
    ),
    ("dtypes", "tree", "tree_util"),
    ("core",),
    ("interpreters",),
    ("sharding",),
    ("lowering",),
    ("runtime", "typing"),
    ("lax",),
    ("state",),
    ("lax.control",),
    ("lax.special", "lax.linalg"),
    ("transforms", "ad", "ad_checkpoint", "custom_batching", "custom_derivatives"),
    ("parallel", "distributed"),
    ("numpy", "scipy", "nn", "random", "image", "ops", "example_libraries", "flatten_util", "dlpack", "ref"),
    (
        "util",
        "extend",
        "api_util",
        "interpreters.ad",
        "interpreters.batching",
        "interpreters.mlir",
        "interpreters.partial_eval",
        "interpreters.pxla",
        "interpreters.xla",
    ),
    ("debug", "export", "ffi", "profiler", "stages", "test_util"),
    ("experimental",),
    ("compat", "__main__"),
    ("",),
]

# (importing module, imported module): the reason why this one edge points upward.
UPWARD: dict[tuple[str, str], str] = {}

# (module, function): the reason why it imports a module of the project when called.
LOCAL_IMPORTS: dict[tuple[str, str], str] = {}

FORBIDDEN = ("jax", "jaxlib")


def rank(name: str, top: str) -> int | None:
    """The place of a module in `LAYERS`, or None; the package itself, which assembles the public names, is above all."""
    inner = name.removeprefix(top).removeprefix(".")
    parts = inner.split(".")
    known = {entry: place for place, layer in enumerate(LAYERS) for entry in layer}
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in known:
            # a package that assembles a layer's parts (`lax/__init__.py`) may import the parts placed above it
            return max(known[prefix], *_inner_ranks(prefix, known)) if inner == prefix else known[prefix]
    return None


def _inner_ranks(prefix: str, known: dict[str, int]) -> list[int]:
    return [0, *(place for entry, place in known.items() if entry.startswith(f"{prefix}."))]


def violations(package: Path) -> Iterator[str]:
    """One line for each broken rule in the package folder `package`."""
    modules = load(package)
    top = package.name
    for module in modules.values():
        for item in module.imports:
            where = f"{module.path.relative_to(package.parent)}:{item.line}"
            for problem in _import_problems(module, item, top):
                yield f"{where}: {problem}"
    yield from _unused_exceptions(modules, top)
    for cycle in _cycles(modules):
        yield f"{top}: cycle of imports: {' -> '.join(cycle)}"


def _import_problems(module: Module, item: Import, top: str) -> Iterator[str]:
    if item.target.split(".")[0] in FORBIDDEN:
        yield f"imports {item.target}: the package stands on its own; compare with it in bench/ or tests/peers"
    if item.target.split(".")[0] != top or item.types_only:
        return
    if item.function not in (None, "__getattr__") and (module.name, item.function) not in LOCAL_IMPORTS:
        yield f"imports {item.target} inside {item.function}(): move it to the head of the module, or use a hook"
    lower, upper = rank(item.target, top), rank(module.name, top)
    if lower is None or upper is None:
        yield f"{item.target if lower is None else module.name} is in no layer: add it to LAYERS in tools/check_layers.py"
    elif lower > upper and (module.name, item.target) not in UPWARD:
        yield f"{module.name} imports {item.target}, which is in a higher layer: use a hook, or move the code"


def _unused_exceptions(modules: dict[str, Module], top: str) -> Iterator[str]:
    """Exceptions that nothing needs any more: the lists only shrink."""
    edges = {(m.name, i.target) for m in modules.values() for i in m.imports}
    local = {(m.name, i.function) for m in modules.values() for i in m.imports if i.target.startswith(top)}
    for edge in UPWARD.keys() - edges:
        yield f"tools/check_layers.py: the exception UPWARD[{edge}] is not needed any more: remove it"
    for place in LOCAL_IMPORTS.keys() - local:
        yield f"tools/check_layers.py: the exception LOCAL_IMPORTS[{place}] is not needed any more: remove it"


def _cycles(modules: dict[str, Module]) -> Iterator[list[str]]:
    """Each cycle that a depth-first walk of the module-level imports closes."""
    graph = {
        name: sorted(
            {
                i.target
                for i in m.imports
                if i.target in modules and i.function is None and not i.types_only and i.target != name
            }
        )
        for name, m in modules.items()
    }
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
            return
        if name in done:
            return
        for target in graph[name]:
            yield from walk(target, [*path, name])
        done.add(name)

    for name in graph:
        yield from walk(name, [])


def main(arguments: list[str]) -> int:
    """Check the package folder given as the only argument, or `src/anima`; the number of violations decides."""
    package = Path(arguments[0]) if arguments else ROOT / "src" / "anima"
    found = list(dict.fromkeys(violations(package)))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
