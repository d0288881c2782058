"""What a block of code writes: variables, attributes, globals and the contents of containers, as places.

Invariant: while a region is open, every write of converted code is noted in it before it happens, with what was there; when
it closes, all of that is back in its place. So a block can be run to see what it computes, any number of times.
"""

from __future__ import annotations

import abc
import gc
import threading
from collections import deque
from collections.abc import Callable, Hashable
from types import CellType, FrameType, FunctionType
from typing import Any

from anima.core import source
from anima.errors import ConversionError


class _Unset:
    def __repr__(self) -> str:
        return "<no value>"


UNSET: Any = _Unset()


class Poison:
    """What a variable holds that has no value common to all ways to this line; any use raises ConversionError."""

    __slots__ = ("reason",)
    reason: str

    def __init__(self, reason: str) -> None:
        object.__setattr__(self, "reason", reason)

    def __repr__(self) -> str:
        return f"<no value: {self.reason}>"


def _used(poison: Poison, *args: Any, **kwargs: Any) -> Any:
    raise ConversionError(f"a value is used that may not exist: {poison.reason}")


for _name in [
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "floordiv",
    "rfloordiv",
    "mod",
    "rmod",
    "pow",
    "rpow",
    "matmul",
    "rmatmul",
    "and",
    "rand",
    "or",
    "ror",
    "xor",
    "rxor",
    "lshift",
    "rlshift",
    "rshift",
    "rrshift",
    "neg",
    "pos",
    "abs",
    "invert",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "bool",
    "len",
    "iter",
    "getitem",
    "call",
    "index",
    "int",
    "float",
    "getattr",
    "contains",
    "setattr",
    "enter",
]:
    setattr(Poison, f"__{_name}__", _used)
Poison.__hash__ = object.__hash__  # type: ignore[method-assign]


class Place(abc.ABC):
    """Something that can be written; `key` is equal for the same thing, `name` is what messages call it."""

    __slots__ = ()
    key: Hashable
    name: str

    @abc.abstractmethod
    def read(self) -> Any: ...

    @abc.abstractmethod
    def write(self, value: Any) -> None: ...


class Cell(Place):
    """A variable of a function."""

    __slots__ = ("_cell", "key", "name")

    def __init__(self, cell: CellType, name: str) -> None:
        self._cell, self.name, self.key = cell, name, id(cell)

    def read(self) -> Any:
        try:
            return self._cell.cell_contents
        except ValueError:
            return UNSET

    def write(self, value: Any) -> None:
        if value is not UNSET:
            self._cell.cell_contents = value
        elif self.read() is not UNSET:
            del self._cell.cell_contents


class Global(Place):
    """A global variable."""

    __slots__ = ("_namespace", "key", "name")

    def __init__(self, namespace: dict[str, Any], name: str) -> None:
        self._namespace, self.name, self.key = namespace, name, (id(namespace), name)

    def read(self) -> Any:
        return self._namespace.get(self.name, UNSET)

    def write(self, value: Any) -> None:
        if value is UNSET:
            self._namespace.pop(self.name, None)
        else:
            self._namespace[self.name] = value


class Attribute(Place):
    """An attribute of an object."""

    __slots__ = ("_attribute", "key", "name", "owner")

    def __init__(self, owner: Any, attribute: str) -> None:
        self.owner, self._attribute = owner, attribute
        self.name, self.key = f"attribute {attribute}", (id(owner), attribute)

    def read(self) -> Any:
        own = getattr(self.owner, "__dict__", None)
        if own is not None and self._attribute in own:
            return own[self._attribute]
        if own is not None and not hasattr(type(self.owner), self._attribute):
            return UNSET
        return getattr(self.owner, self._attribute, UNSET)

    def write(self, value: Any) -> None:
        if value is UNSET:
            if self.read() is not UNSET:
                delattr(self.owner, self._attribute)
        else:
            setattr(self.owner, self._attribute, value)


class Contents(Place):
    """What a list, dict, set or deque holds, as a tuple of its kind, its keys and its values."""

    __slots__ = ("container", "key", "name")

    def __init__(self, container: Any) -> None:
        self.container, self.key = container, ("contents", id(container))
        self.name = f"a {type(container).__name__}"

    def read(self) -> Any:
        held = self.container
        if isinstance(held, dict):
            return Held(tuple(held), list(held.values()))
        return Held(frozenset(held), []) if isinstance(held, set) else Held(len(held), list(held))

    def write(self, value: Held) -> None:
        self.container.clear()
        if isinstance(self.container, dict):
            self.container.update(zip(value.keys, value.values))
        elif isinstance(self.container, set):
            self.container.update(value.keys)
        else:
            self.container.extend(value.values)


_CONTAINERS = (list, dict, set, deque)


def containers(value: Any) -> list[Any]:
    """The containers in `value`, itself among them, and the tuples that hold them."""
    if not isinstance(value, (*_CONTAINERS, tuple)):
        return []
    found = [value]
    for item in value.values() if isinstance(value, dict) else value:
        found += containers(item)
    return found


def outlives(value: Any, holder: Any = None) -> bool:
    """Whether something else than the conversion, and than `holder`, refers to `value`, or to a container in it.

    If nothing does, a block has just made it. Only the garbage collector knows that.
    """
    inside = containers(value) or [value]
    own = {id(c) for c in inside} | {id(inside), id(holder)}
    for container in inside:
        if not isinstance(container, tuple):
            for other in gc.get_referrers(container):
                if id(other) not in own and not isinstance(other, FrameType) and not _is_own(other):
                    return True
    return False


def _is_own(holder: Any) -> bool:
    return type(holder).__module__.startswith("anima.transforms.convert")


def note_copy(copy: Any, originals: list[Any]) -> None:
    """Note that `copy` stands for one of `originals`, so that changing it in place might have to change them."""
    originals = [value for value in originals if containers(value)]
    made = [c for c in containers(copy) if isinstance(c, _CONTAINERS)]
    if made and any([outlives(value, originals) for value in originals]):
        state.copies.update((id(c), c) for c in made)


class Held:
    """The contents of a container: equal `keys` mean the same structure."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: Any, values: list[Any]) -> None:
        self.keys, self.values = keys, values


class Slot(Place):
    """A place for the value of an expression."""

    __slots__ = ("key", "name", "value")

    def __init__(self, name: str) -> None:
        self.key, self.name, self.value = object(), name, UNSET

    def read(self) -> Any:
        return self.value

    def write(self, value: Any) -> None:
        self.value = value


class Region:
    """The writes of a block, to be undone."""

    def __init__(self) -> None:
        self.old: dict[Hashable, tuple[Place, Any]] = {}

    def touch(self, place: Place) -> None:
        if place.key not in self.old:
            self.old[place.key] = (place, place.read())

    def __enter__(self) -> Region:
        state.regions.append(self)
        return self

    def __exit__(self, *exception: Any) -> None:
        state.regions.pop()
        for place, value in reversed(self.old.values()):
            place.write(value)


class _State(threading.local):
    """Of this thread: the open regions, how many were open at each `try`, the conditions of the open blocks, for each
    of them which checks in it have failed, and what stands for containers that others hold too."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self.guards: list[int] = []
        self.conditions: list[Callable[[], Any]] = []
        self.failures: list[list[Any]] = []
        self.copies: dict[int, Any] = {}  # containers that stand for others, by their ids
        self.depth = 0  # of converted functions that `jit` traces


state = _State()


def is_local(place: Place) -> bool:
    """Whether `place` belongs to an object that a block made for itself, and that is gone with it."""
    if isinstance(place, Contents):
        return not outlives(place.container)
    return isinstance(place, Attribute) and not outlives(place.owner)


def touch(place: Place) -> None:
    """Note that `place` is about to be written."""
    if state.regions:
        state.regions[-1].touch(place)


def write(place: Place, value: Any) -> None:
    """Write `value`, noted, except in a slot: an expression's value is its block's own."""
    if not isinstance(place, Slot):
        touch(place)
    place.write(value)


def shared(variable: FunctionType) -> Place:
    """The variable that the function `lambda: variable` reads."""
    if variable.__closure__:
        return Cell(variable.__closure__[0], variable.__code__.co_freevars[0])
    return Global(variable.__globals__, variable.__code__.co_names[0])


def cells(names: tuple[str, ...], *blocks: FunctionType | None) -> list[Place]:
    """The variables of these names that the blocks share."""
    found: dict[str, Place] = {}
    for block in blocks:
        if block is not None and block.__closure__:
            for name, cell in zip(block.__code__.co_freevars, block.__closure__):
                if name in names and name not in found:
                    found[name] = Cell(cell, name)
    return list(found.values())


def about_to_change(container: Any, what: str) -> None:
    """Note that the contents of `container` are about to change.

    Raises:
      ConversionError: a region is open, and what `container` holds cannot be put back.
    """
    if id(container) in state.copies:
        raise ConversionError(
            f"{here()}: {what} changes a {type(container).__name__} in place that may be one of several, by a traced value",
            advice="Make a new one instead, or change it before the branch or loop.",
        )
    if not state.regions:
        return
    if isinstance(container, _CONTAINERS):
        touch(Contents(container))
    else:
        raise ConversionError(
            f"{here()}: {what} changes an object of type {type(container).__name__} in place, where whether it happens "
            "depends on a traced value",
            advice="Compute a new value instead, of arrays of this library.",
        )


def here() -> str:
    """The user's line that is being run."""
    return str(source.current())


def line_of(place: str) -> str:
    """A position without the function's name."""
    return place.rpartition(" (")[0] or place
