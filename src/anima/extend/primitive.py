"""Operations that users make piece by piece: `Primitive(name)`, then one rule after the other.

Invariant: such a primitive is a primitive like those of `lax`, and its rules are on itself. What a user gives are
functions with JAX's conventions; the attribute that the house calls holds an adaptor around the user's function (its
`given`), which checks what the function returns, so that a mistake in a rule is reported as one.

| what the user gives | attribute | convention |
| --- | --- | --- |
| `def_impl(f)` | `eager` | `f(*values, **params)` |
| `def_abstract_eval(f)` | `shape` | `f(*avals, **params)`: aval, or a list of them |
| `def_effectful_abstract_eval(f)` | `shape`, `effects` | the same in a pair with a set of effects |
| `interpreters.ad.primitive_jvps[p] = f` | `jvp` | `f(primals, tangents, **params)`: (result, tangent) |
| `interpreters.ad.primitive_transposes[p] = f` | `transpose` | `f(ct, *args, **params)`: a cotangent or None for each |
| `interpreters.batching.primitive_batchers[p] = f` | `batch` | `f(args, dims, **params)`: (result, dim) |
| `interpreters.mlir.register_lowering(p, f)` | `lower` | `f(ctx, *values, **params)`: values |

>>> import anima
>>> from anima.extend.core import Primitive
>>> from anima.interpreters import ad
>>> cube_p = Primitive("cube")
>>> cube_p.def_impl(lambda x: x**3)  # doctest: +ELLIPSIS
<function ...>
>>> cube_p.def_abstract_eval(lambda x: x)  # doctest: +ELLIPSIS
<function ...>
>>> ad.defjvp(cube_p, lambda t, x: 3 * x**2 * t)
>>> print(anima.grad(cube_p.bind)(2.0))
12.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakSet

from anima.core import hooks, primitive as house
from anima.core.aval import AbstractValue, ShapedArray, dims
from anima.core.effects import Effect, Effects
from anima.core.primitive import Missing
from anima.core.trace import Tracer, leak_error
from anima.dtypes import as_dtype
from anima.errors import MissingRuleError

F = TypeVar("F", bound=Callable[..., Any])

# The primitives that users made and that are alive: what the views of rules walk, besides those of `lax`.
made: WeakSet[Primitive] = WeakSet()


class _AnyPrimitive(type):
    """Every operation is an instance of `Primitive`: those of `lax` too, which are complete from the start."""

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or (
            cls is Primitive and isinstance(instance, house.Primitive)
        )


class Primitive(house.Primitive, metaclass=_AnyPrimitive):
    """An operation without rules at first. Using one that was not given raises `MissingRuleError`.

    Args:
      name: what it is called in printed programs and messages.

    Attributes:
      multiple_results: whether it returns a list; set it before the first use.
    """

    listed = False
    multiple_results: bool

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"Primitive: name must be a string, got {name!r}")
        super().__init__(
            name,
            shape=self._no_abstract_eval,
            lower=Missing("give one with interpreters.mlir.register_lowering"),
            jvp=Missing("give one with interpreters.ad.primitive_jvps or defjvp"),
            transpose=Missing("give one with interpreters.ad.primitive_transposes or deflinear"),
            batch=Missing("give one with interpreters.batching.primitive_batchers or defvectorized"),
        )
        self.eager = self._no_impl
        self.lowered = False  # whether a lowering rule was given
        self._compiled: Callable[..., Any] | None = None
        made.add(self)

    def _no_abstract_eval(self, *avals: Any, **params: Any) -> Any:
        raise MissingRuleError(
            f"'{self.name}' has no abstract evaluation rule: give one with def_abstract_eval, so that it can be traced"
        )

    def _no_impl(self, *args: Any, **params: Any) -> Any:
        if not self.lowered:
            raise MissingRuleError(
                f"'{self.name}' has no evaluation rule: give one with def_impl, or a lowering rule with "
                "interpreters.mlir.register_lowering"
            )
        return self.compiled(*args, **params)

    @property
    def compiled(self) -> Callable[..., Any]:
        """The operation on concrete values, as a program of its lowering rule; kept for each signature."""
        if self._compiled is None:
            self._compiled = hooks.make_eager(self)
        return self._compiled

    def forget_compiled(self) -> None:
        """Forget the programs compiled so far: their lowering rule has changed."""
        self._compiled = None

    def def_impl(self, impl: F) -> F:
        """Say what the operation does to concrete values: `impl(*values, **params)`. May be used as a decorator."""
        self.eager = _Impl(impl)
        return impl

    @property
    def impl(self) -> Callable[..., Any]:
        """What `def_impl` was given."""
        return self.eager.given if isinstance(self.eager, _Impl) else self.eager

    def def_abstract_eval(self, abstract_eval: F) -> F:
        """Say of which type the result is: `abstract_eval(*avals, **params)` gives an aval, or a list of them."""
        self.shape = AbstractEval(self, abstract_eval)
        self.effects = None
        return abstract_eval

    def def_effectful_abstract_eval(self, abstract_eval: F) -> F:
        """As `def_abstract_eval`, for an operation with effects: the rule gives a pair (avals, set of effects)."""
        self.shape = AbstractEval(self, lambda *avals, **params: abstract_eval(*avals, **params)[0])

        def effects(*avals: Any, **params: Any) -> Effects:
            found = frozenset(abstract_eval(*avals, **params)[1])
            for effect in found:
                if not isinstance(effect, Effect):
                    raise TypeError(
                        f"the abstract evaluation rule of '{self.name}' gave the effect {effect!r}, which is no instance of "
                        "extend.core.Effect"
                    )
            return found

        self.effects = effects
        return abstract_eval

    def __reduce__(self) -> Any:
        raise TypeError(f"the primitive '{self.name}' cannot be pickled: it is known by identity")


class _Impl:
    """A user's evaluation rule; only values get to it."""

    __slots__ = ("given",)

    def __init__(self, given: Callable[..., Any]) -> None:
        self.given = given

    def __call__(self, *args: Any, **params: Any) -> Any:
        for arg in args:
            if isinstance(arg, Tracer):
                raise leak_error(arg)
        return self.given(*args, **params)


class AbstractEval:
    """A user's abstract evaluation rule, its avals made those of the house."""

    __slots__ = ("given", "primitive")

    def __init__(self, primitive: Primitive, given: Callable[..., Any]) -> None:
        self.primitive = primitive
        self.given = given

    def __call__(self, *avals: Any, **params: Any) -> Any:
        found = self.given(*avals, **params)
        if not self.primitive.multiple_results:
            return self._aval(found)
        if not isinstance(found, (list, tuple)):
            raise TypeError(
                f"the abstract evaluation rule of '{self.primitive}' must return a list of avals, as multiple_results is True; "
                f"got {found!r}"
            )
        return [self._aval(aval) for aval in found]

    def _aval(self, found: Any) -> AbstractValue:
        if type(found) is ShapedArray and type(found.shape) is tuple and type(found.dtype) is not str:
            return found
        if isinstance(found, AbstractValue) and not isinstance(found, ShapedArray):
            return found
        if not (hasattr(found, "shape") and hasattr(found, "dtype")):
            raise TypeError(
                f"the abstract evaluation rule of '{self.primitive}' must return an aval such as ShapedArray(shape, dtype), "
                f"got {found!r}"
            )
        return shaped_array(found)


def shaped_array(value: Any) -> ShapedArray:
    """The aval of anything with a shape and a dtype, both in their plain forms."""
    return ShapedArray(
        dims(value.shape),
        as_dtype(value.dtype),
        bool(getattr(value, "weak_type", False)),
        getattr(value, "sharding", None) if isinstance(value, ShapedArray) else None,
    )
