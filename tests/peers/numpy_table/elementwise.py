"""Calls of functions that work element by element."""

from __future__ import annotations

from tests.peers.numpy_table.entry import entry
from tests.peers.numpy_table.source import ANY, BOOL, EXACT, FLOATS, REAL, Source


@entry(
    "abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cbrt ceil conj conjugate "
    "cos cosh deg2rad degrees exp exp2 expm1 fabs floor frexp i0 imag iscomplex isfinite isinf isnan isneginf isposinf isreal "
    "log log10 log1p log2 logical_not modf negative positive rad2deg radians real reciprocal rint sign signbit sin sinc sinh "
    "spacing sqrt square tan tanh trunc iscomplexobj isrealobj isscalar ndim shape array_repr array_str iterable"
)
def unary(d: Source, name: str) -> str:
    return f"np.{name}({d.operand()})"


@entry("bitwise_count bitwise_invert bitwise_not invert")
def bits(d: Source, name: str) -> str:
    return f"np.{name}({d.operand(d.pick(EXACT, EXACT, EXACT, ANY))})"


@entry(
    "add arctan2 atan2 copysign divide divmod equal float_power floor_divide fmax fmin fmod greater greater_equal heaviside "
    "hypot less less_equal logaddexp logaddexp2 logical_and logical_or logical_xor maximum minimum mod multiply nextafter "
    "not_equal pow power remainder subtract true_divide"
)
def binary(d: Source, name: str) -> str:
    return f"np.{name}({d.operand()}, {d.operand()})"


@entry(
    "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor gcd lcm left_shift right_shift"
)
def integers(d: Source, name: str) -> str:
    dtypes = d.pick(EXACT, EXACT, EXACT, ANY)
    return f"np.{name}({d.operand(dtypes)}, {d.operand(dtypes)})"


@entry("ldexp")
def scaled(d: Source, name: str) -> str:
    return f"np.ldexp({d.operand()}, {d.operand(d.pick(EXACT, EXACT, ANY))})"


@entry("isclose allclose array_equal array_equiv")
def comparison(d: Source, name: str) -> str:
    tolerances = d.options(("rtol", ("0.1",)), ("atol", ("0.5",))) if "close" in name else ""
    options = tolerances + (d.options(("equal_nan", ("True",))) if name != "array_equiv" else "")
    return f"np.{name}({d.operand()}, {d.operand()}{options})"


@entry("around round")
def rounded(d: Source, name: str) -> str:
    return f"np.{name}({d.operand()}{d.options(('decimals', (1, 2, -1)))})"


@entry("clip")
def clip(d: Source, name: str) -> str:
    return f"np.clip({d.operand()}, {d.pick(d.operand(REAL), 'None')}, {d.pick(d.operand(), 'None')})"


@entry("nan_to_num")
def replaced(d: Source, name: str) -> str:
    return (
        f"np.nan_to_num({d.operand()}{d.options(('nan', (2, 1.5)), ('posinf', (7,)), ('neginf', (-7.5,)))})"
    )


@entry("where")
def where(d: Source, name: str) -> str:
    if d.pick(False, False, False, True):
        return f"np.where({d.array()}{d.options(('size', (2,)))})"
    return f"np.where({d.operand(d.pick(BOOL, ANY))}, {d.operand()}, {d.operand()})"


@entry("select")
def select(d: Source, name: str) -> str:
    shapes = ((3,), (2, 3), ())
    conditions = f"[{d.array(BOOL, shapes)}, {d.array(d.pick(BOOL, ANY), shapes)}]"
    return f"np.select({conditions}, [{d.operand(ANY, shapes)}, {d.operand(ANY, shapes)}]{d.options(('default', (1, 2.5)))})"


@entry("choose")
def choose(d: Source, name: str) -> str:
    shapes = ((3,), (2, 3), ())
    mode = d.pick("'clip'", "'wrap'", "'raise'", "'other'")
    return f"np.choose({d.array(d.pick(EXACT, ANY), shapes)}, [{d.operand(ANY, shapes)}, {d.operand(ANY, shapes)}], mode={mode})"


@entry("piecewise")
def piecewise(d: Source, name: str) -> str:
    x = d.array(ANY, ((3,), (2, 3)))
    functions = d.pick("[-1, 2, 3]", "[lambda v: v * 2, 1.5]", "[1]", "[1, lambda v: -v, 2, 3]")
    return f"np.piecewise({x}, [{x} > 1, {x} < 0], {functions})"


@entry("interp")
def interp(d: Source, name: str) -> str:
    x = d.operand()
    points = f"A([0, 1, 2.5], '{d.pick('float32', 'bfloat16', 'int32')}', (3,))"
    options = d.options(("left", (-1, "'extrapolate'")), ("right", (9.5,)), ("period", (2, "0")))
    return f"np.interp({x}, {points}, {d.array(ANY, ((3,), (2,), ()), wild=False)}{options})"


@entry("unwrap")
def unwrap(d: Source, name: str) -> str:
    x, rank = d.shaped(wild=False)
    return f"np.unwrap({x}{d.places(rank, False, False)}{d.options(('period', (4, 3.5)), ('discont', (2,)))})"


@entry("sort_complex")
def sort_complex(d: Source, name: str) -> str:
    return f"np.sort_complex({d.array()})"


@entry("vectorize frompyfunc")
def mapped(d: Source, name: str) -> str:
    made = {
        "vectorize": "np.vectorize(lambda x, y: x * y + 1)",
        "frompyfunc": "np.frompyfunc(lambda x, y: x + y, 2, 1)",
    }[name]
    if name == "frompyfunc" and d.pick(False, True):
        x, rank = d.shaped(FLOATS, shapes=((3,), (2, 3), (2, 1, 3)))
        method = d.pick("reduce", "accumulate")
        return f"{made}.{method}({x}, axis={d.axis(rank, False, False)})"
    return f"{made}({d.operand()}, {d.operand()})"
