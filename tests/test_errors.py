"""Messages that are quoted elsewhere stay as they are; every class survives pickling."""

import pickle

import pytest

from anima import errors

_TAIL = (
    ", which requires a concrete value. The function to be transformed can't be traced at the required level of "
    "abstraction. If using jit, try using static_argnums or applying jit to smaller subfunctions instead."
)


class _Tracer:
    def origin_message(self):
        return "the value came from argument x of f"


def test_messages_of_the_sharp_bits():
    assert str(errors.TracerBoolConversionError()) == "Abstract value passed to bool" + _TAIL
    assert str(errors.ConcretizationTypeError(None, "float")) == "Abstract value passed to float" + _TAIL
    assert str(errors.ShapeConcretizationError("full")) == (
        "full requires shapes to be concrete. If using jit, try using static_argnums or applying jit to smaller "
        "subfunctions instead."
    )
    assert str(errors.immutable_array(int)) == (
        "'<class 'int'>' object does not support item assignment. JAX arrays are immutable; perhaps you want "
        "jax.ops.index_update or jax.ops.index_add instead?"
    )


def test_origin_and_advice_are_notes():
    error = errors.TracerBoolConversionError(_Tracer())
    assert error.__notes__[0] == "the value came from argument x of f"
    assert "lax.cond" in error.__notes__[1]
    assert errors.ShapeConcretizationError("full", _Tracer()).__notes__ == [
        "the value came from argument x of f"
    ]
    assert not hasattr(errors.ConcretizationTypeError(None, "float"), "__notes__")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("TracerBoolConversionError", errors.ConcretizationTypeError),
        ("TracerIntegerConversionError", errors.ConcretizationTypeError),
        ("TracerArrayConversionError", errors.ConcretizationTypeError),
        ("ConcretizationTypeError", TypeError),
        ("NonConcreteBooleanIndexError", IndexError),
        ("UnexpectedTracerError", TypeError),
        ("TypePromotionError", ValueError),
        ("UnboundAxisNameError", NameError),
        ("NonFiniteError", FloatingPointError),
        ("MissingRuleError", NotImplementedError),
        ("JaxRuntimeError", RuntimeError),
        ("PluginError", RuntimeError),
        ("ForkError", RuntimeError),
        ("DeletedArrayError", RuntimeError),
    ],
)
def test_builtin_base(name, base):
    assert issubclass(getattr(errors, name), base)


def test_status_of_runtime_errors():
    error = errors.XlaRuntimeError("out of memory", 8)
    assert (error.code, error.status, str(error)) == (
        8,
        "RESOURCE_EXHAUSTED",
        "RESOURCE_EXHAUSTED: out of memory",
    )
    assert str(errors.XlaRuntimeError("INTERNAL: broken", 13)) == "INTERNAL: broken"
    assert errors.XlaRuntimeError("?", 99).status == "STATUS_99"


def test_every_error_pickles():
    made = [
        errors.TracerBoolConversionError(_Tracer()),
        errors.ShapeConcretizationError("full"),
        errors.NonConcreteBooleanIndexError(),
        errors.immutable_array(int),
        errors.UnboundAxisNameError("i", ["j"]),
        errors.XlaRuntimeError("bad", 3),
        errors.UnexpectedTracerError("leak"),
        errors.PluginError("missing"),
    ]
    for error in made:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.__dict__ == error.__dict__


def test_exported_names_exist():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), Exception)
