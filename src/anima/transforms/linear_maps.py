"""Derivatives at a point, as functions: what `vjp` and `linearize` return.

Invariant: such a function is a tape, or the same linear map as a program with residuals. It is a pytree, whose leaves are
the residuals, so it may be an argument or a result of any transformed function; its program is part of its structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from anima._native import PyTreeDef, tree_flatten, tree_unflatten
from anima.config import enable_x64
from anima.core.aval import AbstractValue, has_tangent
from anima.core.evaluate import eval_jaxpr
from anima.core.jaxpr import Jaxpr
from anima.core.primitive import Zero
from anima.core.trace import aval_of, is_value, shaped
from anima.interpreters.flat import FlatFunction, name_of
from anima.interpreters.linearize import Tape, linearize_flat, tape_jaxpr
from anima.interpreters.transpose import backward, tape_of
from anima.lax.control.bodies import leaf_path
from anima.transforms.tangents import TangentCheck, finished, in_mode, typed_like
from anima.tree.registry import register_pytree_node

M = TypeVar("M", bound="LinearMap")


class _Form:
    """All of a linear map but its residuals. Equal to itself only, so programs compiled for it are found by it.

    Attributes:
      name: of the function that was differentiated.
      in_avals: the avals of its arguments. active: which of them have tangents.
      in_tree: the structure of `(args, kwargs)`. args_tree: that of `args`.
      out_avals, out_tree: its outputs'.
      x64: whether it was recorded in 64-bit mode: it is run in the same one.
      jaxpr: the program of `(*residuals, *tangents)`, once it was asked for.
      nonzeros: which outputs the program has.
    """

    __slots__ = (
        "active",
        "args_tree",
        "in_avals",
        "in_tree",
        "jaxpr",
        "name",
        "nonzeros",
        "out_avals",
        "out_tree",
        "x64",
    )

    def __init__(
        self,
        name: str,
        in_avals: list[Any],
        active: list[bool],
        in_tree: PyTreeDef,
        out_avals: list[Any],
        out_tree: PyTreeDef,
    ) -> None:
        self.name = name
        self.in_avals = in_avals
        self.active = active
        self.in_tree = in_tree
        self.args_tree = in_tree.children()[0]
        self.out_avals = out_avals
        self.out_tree = out_tree
        self.x64 = enable_x64.value
        self.jaxpr: Jaxpr | None = None
        self.nonzeros: list[bool] = []

    @property
    def tangent_avals(self) -> list[AbstractValue]:
        """The avals of the tangents that the map takes."""
        return [a.tangent_aval() for a, flag in zip(self.in_avals, self.active) if flag]


class LinearMap:
    """The derivative of a function at a point."""

    __slots__ = ("_form", "_residuals", "_tape")

    def __init__(self, form: _Form, tape: Tape | None, residuals: Sequence[Any] | None = None) -> None:
        self._form = form
        self._tape = tape
        self._residuals = residuals

    def _map(self) -> Tape:
        if self._tape is None:
            form, residuals, jaxpr = self._form, self._residuals, self._form.jaxpr
            assert jaxpr is not None and residuals is not None
            tape = tape_of(lambda *ts: eval_jaxpr(jaxpr, (), *residuals, *ts), form.tangent_avals)
            found = iter(tape.outputs)
            tape.outputs = [
                next(found) if nz else Zero(a.tangent_aval()) for nz, a in zip(form.nonzeros, form.out_avals)
            ]
            self._tape = tape
        return self._tape

    def _flatten(self) -> tuple[tuple[Any, ...], _Form]:
        form = self._form
        if self._residuals is None:
            assert self._tape is not None
            form.nonzeros = [type(t) is not Zero for t in self._tape.outputs]
            form.jaxpr, self._residuals = tape_jaxpr(self._tape, keep_arrays=True)
        return tuple(self._residuals), form

    @classmethod
    def _unflatten(cls: type[M], form: Any, residuals: Any) -> M:
        return cls(form, None, tuple(residuals))


class Vjp(LinearMap):
    """The pullback of a function at a point: maps output cotangents to input cotangents."""

    __slots__ = ()

    def __call__(self, cotangent: Any, /, *more: Any) -> tuple[Any, ...]:
        """Cotangents of the arguments, as a tuple, for a cotangent shaped like the output."""
        form = self._form
        check = TangentCheck("cotangent", f"vjp of {form.name}", ValueError, ValueError)
        if more:
            raise TypeError(
                f"{check.name}: the function takes one cotangent, shaped like the output, got {1 + len(more)} arguments; "
                f"for an output that is a tuple pass a tuple"
            )
        leaves, tree = tree_flatten(cotangent)
        check.structure(tree, form.out_tree, "the output", ValueError)
        return self.pull([self._checked(check, ct, i) for i, ct in enumerate(leaves)])

    def _checked(self, check: TangentCheck, ct: Any, index: int) -> Any:
        aval = self._form.out_avals[index]
        if not has_tangent(aval) and is_value(ct) and shaped(ct).shape == aval.shape:
            return Zero(
                aval.tangent_aval()
            )  # zeros like the output are welcome where only float0 has a meaning
        return check.value(ct, aval, lambda i: f"for the output{leaf_path(self._form.out_tree, i)}", index)

    def pull(self, cotangents: Sequence[Any]) -> tuple[Any, ...]:
        """Cotangents of the arguments for those of the outputs, a flat list of arrays and symbolic zeros."""
        args: tuple[Any, ...] = tree_unflatten(self._form.in_tree, self._pull_flat(cotangents))[0]
        return args

    def gradients(self, cotangents: Sequence[Any]) -> tuple[Any, ...]:
        """The same, weakly typed where the arguments are."""
        form = self._form
        grads = [typed_like(ct, aval) for ct, aval in zip(self._pull_flat(cotangents), form.in_avals)]
        args: tuple[Any, ...] = tree_unflatten(form.in_tree, grads)[0]
        return args

    def _pull_flat(self, cotangents: Sequence[Any]) -> list[Any]:
        with in_mode(self._form.x64):
            results = iter(backward(self._map(), cotangents))
            given = zip(self._form.in_avals, self._form.active)
            return [finished(next(results) if flag else None, aval) for aval, flag in given]

    @property
    def out_tree(self) -> PyTreeDef:
        """The structure of the output."""
        return self._form.out_tree

    def __repr__(self) -> str:
        return f"<vjp of {self._form.name}>"


class Linearized(LinearMap):
    """The derivative of a function at a point: maps tangents of the arguments to those of the outputs."""

    __slots__ = ()

    def __call__(self, *tangents: Any) -> Any:
        """The output tangents for tangents shaped like the arguments."""
        form = self._form
        check = TangentCheck("tangent", f"linearized {form.name}", ValueError, ValueError)
        leaves, given = tree_flatten(tangents)
        check.structure(given, form.args_tree, "the arguments")
        where = lambda i: f"at tangents{leaf_path(given, i)}"
        checked = [check.value(t, a, where, i) for i, (t, a) in enumerate(zip(leaves, form.in_avals))]
        with in_mode(self._form.x64):
            results = self._map().apply([t for t, flag in zip(checked, form.active) if flag])
            return tree_unflatten(form.out_tree, [finished(t, a) for t, a in zip(results, form.out_avals)])

    def __repr__(self) -> str:
        return f"<derivative of {self._form.name}>"


for _cls in (Vjp, Linearized):
    register_pytree_node(_cls, LinearMap._flatten, _cls._unflatten)


def linearized(
    cls: type[M], fun: Any, leaves: list[Any], tree: PyTreeDef, has_aux: bool
) -> tuple[Any, M, Any]:
    """The value of `fun` at flat arguments of a structure, its derivative there, and its auxiliary data."""
    avals = [aval_of(x) for x in leaves]
    active = [has_tangent(a) for a in avals]
    flat = FlatFunction(fun, tree, has_aux)
    outs, tape = linearize_flat(flat, leaves, active)
    outs, aux = flat.split(outs)
    del tape.outputs[len(outs) :]

    form = _Form(name_of(fun), avals, active, tree, [aval_of(o) for o in outs], flat.out_tree)
    return tree_unflatten(flat.out_tree, outs), cls(form, tape), aux
