"""The stub of the native module says what the module has.

Invariant: every function, class and member is in both, with the same names, kinds and defaults of parameters. Types
cannot be compared: the module's functions carry none.
"""

from __future__ import annotations

import ast
import inspect
import types
from pathlib import Path
from typing import Any

import pytest

import anima
from anima import _native

STUB = Path(anima.__file__).with_name("_native.pyi")
BODY = ast.parse(STUB.read_text(encoding="utf-8")).body
FUNCTIONS = {node.name: node for node in BODY if isinstance(node, ast.FunctionDef)}
OBJECTS = {
    node.target.id for node in BODY if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
}
CLASSES = {node.name: node for node in BODY if isinstance(node, ast.ClassDef)}

# Every class has these, or Python makes them of a slot: a stub does not repeat them.
IMPLIED = {"__dict__", "__doc__", "__module__", "__repr__"}
DESCRIPTORS = (types.MethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType)
ATTRIBUTES = (types.GetSetDescriptorType, types.MemberDescriptorType, property)
SUBCLASSABLE = 1 << 10  # Py_TPFLAGS_BASETYPE


def of_nanobind(value: Any) -> bool:
    """Whether nanobind made this function or method; its signatures are texts."""
    return hasattr(value, "__nb_signature__")


def module_signature(value: Any) -> ast.FunctionDef:
    """The signature that the module itself gives of a function, method or class, as a syntax tree."""
    if of_nanobind(value):
        text, _, defaults = value.__nb_signature__[0]
        for default in defaults or ():
            text = text.replace("\\0", repr(default), 1)
    else:
        text = f"def f{inspect.signature(value)}".replace("Ellipsis", "...")
    function = ast.parse(text + ": ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function


def parameters(function: ast.FunctionDef, bound: bool) -> list[tuple[str, str, str | None]]:
    """Name, kind and default of each parameter; of a bound function without the first."""
    given = function.args
    positional = [*((a, "positional") for a in given.posonlyargs), *((a, "either") for a in given.args)]
    defaults = [None] * (len(positional) - len(given.defaults)) + [ast.unparse(d) for d in given.defaults]
    found = [(a.arg, kind, default) for (a, kind), default in zip(positional, defaults)]
    if bound:
        del found[0]
    if given.vararg:
        found.append((given.vararg.arg, "*", None))
    for a, d in zip(given.kwonlyargs, given.kw_defaults):
        found.append((a.arg, "keyword", None if d is None else ast.unparse(d)))
    if given.kwarg:
        found.append((given.kwarg.arg, "**", None))
    return found


def is_attribute(member: ast.stmt) -> bool:
    """Whether a statement of a stub's class declares an attribute and no method."""
    return isinstance(member, ast.AnnAssign) or any(
        isinstance(d, ast.Name) and d.id == "property" for d in getattr(member, "decorator_list", ())
    )


def members_of_stub(name: str) -> dict[str, ast.stmt]:
    """The members that the stub gives a class."""
    found: dict[str, ast.stmt] = {}
    for member in CLASSES[name].body:
        if isinstance(member, ast.FunctionDef):
            found[member.name] = member
        elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
            found[member.target.id] = member
    return found


def members_of_module(name: str) -> dict[str, Any]:
    """The members that the module gives a class; what Python code installed on it later does not count."""
    return {
        key: value
        for key, value in vars(getattr(_native, name)).items()
        if (isinstance(value, DESCRIPTORS) or of_nanobind(getattr(value, "fget", value)))
        and not (key in IMPLIED or key.endswith("offset__"))
    }


def test_the_names_of_the_module() -> None:
    public = {name: value for name, value in vars(_native).items() if not name.startswith("_")}
    assert {name for name, value in public.items() if isinstance(value, type)} == set(CLASSES)
    assert {name for name, value in public.items() if not isinstance(value, type)} == {*FUNCTIONS, *OBJECTS}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_the_parameters_of_functions(name: str) -> None:
    expected = parameters(module_signature(getattr(_native, name)), bound=False)
    assert parameters(FUNCTIONS[name], bound=False) == expected


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_members_of_classes(name: str) -> None:
    stub, module = members_of_stub(name), members_of_module(name)
    assert module.keys() <= stub.keys(), f"not in the stub: {module.keys() - stub.keys()}"
    missing = [key for key in stub if key not in vars(getattr(_native, name))]
    assert not missing, f"not in the module: {missing}"
    for key, value in module.items():
        assert is_attribute(stub[key]) == isinstance(value, ATTRIBUTES), key


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_parameters_of_methods(name: str) -> None:
    for key, member in members_of_stub(name).items():
        value = vars(getattr(_native, name))[key]
        if not isinstance(member, ast.FunctionDef) or is_attribute(member):
            continue
        if key == "__new__":
            expected = parameters(module_signature(getattr(_native, name)), bound=False)
        elif isinstance(value, types.MethodDescriptorType | types.FunctionType) or of_nanobind(value):
            expected = parameters(module_signature(value), bound=True)
        else:
            continue  # a slot of the type: Python knows its parameters
        assert parameters(member, bound=True) == expected, key


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_which_classes_are_final(name: str) -> None:
    final = any(isinstance(d, ast.Name) and d.id == "final" for d in CLASSES[name].decorator_list)
    assert final == (not getattr(_native, name).__flags__ & SUBCLASSABLE)
