"""Calls of functions that make arrays, give them other shapes, and pick elements of them."""

from __future__ import annotations

from tests.peers.numpy_table.entry import entry
from tests.peers.numpy_table.source import ANY, BOOL, INTEGERS, REAL, SHAPES, Source

MATRICES = ((2, 3), (3, 3), (1, 3), (2, 0), (3,), (), (2, 3, 3))
DTYPE = ("dtype", ("'int8'", "'float16'", "float", "'complex64'", "bool", "'bfloat16'"))
MODE = ("mode", (repr("clip"), repr("wrap"), repr("fill"), repr("raise"), repr("other")))


@entry("reshape")
def reshape(d: Source, name: str) -> str:
    shape = d.pick("(3, -1)", "-1", "(3, 1)", "(2, 2)", "(-1, -1)", "6", "(0, -1)", "()", "(1.5,)")
    return f"np.reshape({d.operand()}, {shape}{d.options(('order', (repr('F'), repr('A'), repr('Z'))))})"


@entry("ravel copy")
def ravel(d: Source, name: str) -> str:
    return f"np.{name}({d.operand()}{d.options(('order', (repr('F'), repr('K'))))})"


@entry("transpose permute_dims")
def transpose(d: Source, name: str) -> str:
    axes = d.pick("(0, 1)", "(1, 0)", "(0,)", "(-1, 0)", "(0, 0)", "(0, 2, 1)", "(0, 5)", "()")
    return f"np.{name}({d.operand()}{d.pick(f', axes={axes}', '' if name == 'transpose' else f', {axes}')})"


@entry("atleast_1d atleast_2d atleast_3d broadcast_arrays")
def several(d: Source, name: str) -> str:
    return f"np.{name}({', '.join(d.operand() for _ in range(d.pick(1, 2, 0)))})"


@entry("ix_")
def open_mesh(d: Source, name: str) -> str:
    return (
        f"np.ix_({d.array(INTEGERS, ((3,), (0,), (2, 3)))}, {d.array(d.pick(INTEGERS, REAL), ((3,), (1,)))})"
    )


@entry("meshgrid")
def meshgrid(d: Source, name: str) -> str:
    operands = ", ".join(d.operand(ANY, ((3,), (1,), (0,), (), (2, 3))) for _ in range(d.pick(2, 1, 3, 0)))
    options = d.options(("indexing", (repr("ij"), repr("xx"))), ("sparse", ("True",)))
    return f"np.meshgrid({operands}{options if operands else options[2:]})"


@entry("broadcast_to")
def broadcast_to(d: Source, name: str) -> str:
    return f"np.broadcast_to({d.operand()}, {d.pick('(2, 3)', '(3,)', '()', '3', '(2, 2, 3)', '(0,)', '(-1, 3)')})"


@entry("broadcast_shapes")
def broadcast_shapes(d: Source, name: str) -> str:
    return f"np.broadcast_shapes({d.pick(*SHAPES)}, {d.pick(*SHAPES, 2)})"


@entry("concatenate concat stack vstack hstack dstack column_stack")
def joined(d: Source, name: str) -> str:
    shape = d.pick(*SHAPES)
    others = d.pick((shape,), SHAPES)
    parts = f"[{d.array(ANY, (shape,))}, {d.pick(d.array(ANY, others), d.operand(ANY, others))}]"
    parts = d.pick(parts, parts, parts, parts, "[]", d.array(ANY, (shape,)))
    axis = (
        d.places(len(shape), name == "concatenate", False)
        if name in ("concatenate", "concat", "stack")
        else ""
    )
    dtype = d.options(DTYPE) if name in ("concatenate", "stack", "vstack", "hstack", "dstack") else ""
    return f"np.{name}({parts}{axis}{dtype})"


@entry("append")
def append(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.append({x}, {d.operand()}{d.places(rank, True, False)})"


@entry("block")
def block(d: Source, name: str) -> str:
    a, b = d.array(ANY, ((2, 3), (3,))), d.array(ANY, ((2, 3), (3,), ()))
    return f"np.block({d.pick(f'[{a}, {b}]', f'[[{a}, {b}], [{a}, {b}]]', f'[[{a}], [{b}]]', a, f'[[{a}], {b}]')})"


@entry("array_split split hsplit vsplit dsplit")
def split(d: Source, name: str) -> str:
    x, rank = d.shaped()
    where = d.pick("1", "2", "3", "[1]", "[0, 2]", "A([1, 2], 'int32', (2,))", "0", "[-1, 5]")
    return (
        f"np.{name}({x}, {where}{d.places(rank, False, False) if name in ('split', 'array_split') else ''})"
    )


@entry("unstack")
def unstack(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.unstack({x}{d.places(rank, False, False)})"


@entry("expand_dims")
def expand_dims(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.expand_dims({x}, {d.pick(0, -1, (0, 2), (0, 0), rank + 1, rank + 2, (-1, 0))})"


@entry("squeeze flip size")
def axes(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)})"


@entry("fliplr flipud matrix_transpose diagflat tril_indices_from triu_indices_from diag_indices_from")
def matrix(d: Source, name: str) -> str:
    more = d.options(("k", (1, -2))) if name in ("diagflat", "tril_indices_from", "triu_indices_from") else ""
    return f"np.{name}({d.array(ANY, MATRICES)}{more})"


@entry("rot90")
def rot90(d: Source, name: str) -> str:
    return f"np.rot90({d.array(ANY, MATRICES)}{d.options(('k', (2, -1, 4)), ('axes', ((1, 0), (0, -1), (0, 0))))})"


@entry("roll")
def roll(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.roll({x}, {d.pick(1, -2, 7, '(1, 2)', 'A([1, 2], ' + repr('int32') + ', (2,))', 1.5)}{d.places(rank)})"


@entry("rollaxis")
def rollaxis(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.rollaxis({x}, {d.axis(rank, False, False)}{d.options(('start', (1, -1, 2)))})"


@entry("moveaxis swapaxes")
def moved(d: Source, name: str) -> str:
    x, rank = d.shaped()
    if name == "moveaxis" and d.pick(False, True):
        return f"np.moveaxis({x}, {d.pick((0, 1), (0,), (0, 0))}, {d.pick((1, 0), (0,), (-1, 0))})"
    return f"np.{name}({x}, {d.axis(rank, False, False)}, {d.axis(rank, False, False)})"


@entry("tile")
def tile(d: Source, name: str) -> str:
    return f"np.tile({d.operand()}, {d.pick(2, (2, 1), 0, (), (1, 2, 2), -1)})"


@entry("repeat")
def repeat(d: Source, name: str) -> str:
    x, rank = d.shaped()
    counts = d.pick("2", "0", "A([1, 0, 2], 'int32', (3,))", "A([2], 'int32', (1,))", "-1", "1.5")
    return f"np.repeat({x}, {counts}{d.places(rank, True, False)}{d.options(('total_repeat_length', (5,)))})"


@entry("resize")
def resize(d: Source, name: str) -> str:
    return f"np.resize({d.operand()}, {d.pick((2, 2), 4, 0, (), (-1,), (3, 1, 2))})"


@entry("pad")
def pad(d: Source, name: str) -> str:
    width = d.pick("1", "(1, 2)", "((1, 0), (0, 2))", "0", "-1", "{-1: (1, 2)}", "((1,), (2,))")
    mode = d.pick("'constant'", "'edge'", "'reflect'", "'symmetric'", "'wrap'", "'linear_ramp'", "'maximum'", "'mean'", "'median'",
                  "'minimum'", "'empty'", "'other'")  # fmt: skip
    more = {
        "'constant'": ("constant_values", (5, "(1, 2)", 1.5)),
        "'linear_ramp'": ("end_values", (5, "(1, 2)")),
        "'reflect'": ("reflect_type", (repr("odd"),)),
        "'maximum'": ("stat_length", (1, 2)),
        "'mean'": ("stat_length", (1, 2)),
    }.get(mode, ("constant_values", (5,)))
    return f"np.pad({d.operand()}, {width}, mode={mode}{d.options(more) if mode != repr('empty') else ''})"


@entry("delete")
def delete(d: Source, name: str) -> str:
    x, rank = d.shaped()
    which = d.pick("0", "-1", "slice(0, 2)", "A([0, 1], 'int32', (2,))", "A([0, 0], 'int32', (2,))", "5",
                   "A([True, False, True], 'bool', (3,))", "1.0")  # fmt: skip
    return f"np.delete({x}, {which}{d.places(rank, True, False)})"


@entry("insert")
def insert(d: Source, name: str) -> str:
    x, rank = d.shaped()
    which = d.pick("0", "-1", "slice(0, 2)", "A([0, 1], 'int32', (2,))", "5")
    return f"np.insert({x}, {which}, {d.operand(ANY, ((), (2,), (3,)))}{d.places(rank, True, False)})"


@entry("diag")
def diag(d: Source, name: str) -> str:
    return f"np.diag({d.array(ANY, MATRICES)}{d.options(('k', (1, -2, 5)))})"


@entry("diagonal trace")
def diagonal(d: Source, name: str) -> str:
    places = d.options(("axis1", (1, -1, 0)), ("axis2", (0, 2, -2)))
    dtype = d.options(DTYPE) if name == "trace" else ""
    return f"np.{name}({d.array(ANY, MATRICES)}{d.options(('offset', (1, -1, 5)))}{places}{dtype})"


@entry("tril triu")
def triangle(d: Source, name: str) -> str:
    return f"np.{name}({d.array(ANY, MATRICES)}{d.options(('k', (1, -1, 5)))})"


@entry("tri")
def tri(d: Source, name: str) -> str:
    return f"np.tri({d.pick(3, 0, 2, -1)}{d.options(('M', (2, 0)), ('k', (1, -1)), DTYPE)})"


@entry("eye identity")
def eye(d: Source, name: str) -> str:
    more = d.options(("M", (2, 0, -1)), ("k", (1, -1))) if name == "eye" else ""
    return f"np.{name}({d.pick(3, 0, 2, -1, 1.5)}{more}{d.options(DTYPE)})"


@entry("tril_indices triu_indices mask_indices diag_indices")
def index_tables(d: Source, name: str) -> str:
    more = {
        "mask_indices": f", {d.pick('np.triu', 'np.tril')}{d.options(('k', (1,)))}",
        "diag_indices": d.options(("ndim", (1, 3, 0))),
    }.get(name, d.options(("k", (1, -1)), ("m", (2, 4))))
    return f"np.{name}({d.pick(3, 1, 0, -1)}{more})"


@entry("indices")
def indices(d: Source, name: str) -> str:
    return f"np.indices({d.pick((2, 3), (2,), (), (0, 2))}{d.options(('sparse', ('True',)), DTYPE)})"


@entry("arange")
def arange(d: Source, name: str) -> str:
    a, b, c = (
        d.pick("3", "0", "-2", "2.5", "numpy.int8(5)", "np.asarray(4)", "numpy.float32(3.5)", "True", "1j")
        for _ in range(3)
    )
    return f"np.arange({d.pick(a, f'{a}, {b}', f'{a}, {b}, {c}')}{d.options(DTYPE)})"


@entry("linspace logspace geomspace")
def spaced(d: Source, name: str) -> str:
    ends = ", ".join(d.operand(ANY, ((), (2,), (2, 1)), wild=False) for _ in range(2))
    options = [("num", (3, 1, 0, -1)), ("endpoint", ("False",)), DTYPE, ("axis", (-1, 1))]
    options += {"linspace": [("retstep", ("True",))], "logspace": [("base", (2, 2.5))]}.get(name, [])
    return f"np.{name}({ends}, {d.pick('num=4', 'num=2')}{d.options(*options[1:])})"


@entry("zeros ones empty")
def filled(d: Source, name: str) -> str:
    values = f"np.{name}({d.pick((2, 3), 3, (), 0, (2, 0), -1, (1.5,))}{d.options(DTYPE)})"
    return values if name != "empty" else f"np.zeros_like({values})"


@entry("full")
def full(d: Source, name: str) -> str:
    return (
        f"np.full({d.pick((2, 3), 3, (), 0, -1)}, {d.operand(ANY, ((), (3,)), wild=False)}{d.options(DTYPE)})"
    )


@entry("zeros_like ones_like empty_like")
def filled_like(d: Source, name: str) -> str:
    values = f"np.{name}({d.operand()}{d.options(DTYPE, ('shape', ((2,), (), 3)))})"
    return values if name != "empty_like" else f"np.zeros_like({values})"


@entry("full_like")
def full_like(d: Source, name: str) -> str:
    return f"np.full_like({d.operand()}, {d.operand(REAL, ((), (3,)), wild=False)}{d.options(DTYPE, ('shape', ((3,), ())))})"


@entry("array asarray")
def array(d: Source, name: str) -> str:
    value = d.pick(d.operand(), "[1, 2.5]", "[[1], [True]]", "[]", f"[{d.operand(ANY, ((),))}, 1]", "numpy.arange(3)", "None",
                   "'text'", "[[1], [2, 3]]", "numpy.float32(1)", "[numpy.int8(1), 2]", "(1, 2)")  # fmt: skip
    options = [DTYPE, ("order", (repr("F"), repr("K")))] + ([("ndmin", (2,))] if name == "array" else [])
    return f"np.{name}({value}{d.options(*options)})"


@entry("astype")
def astype(d: Source, name: str) -> str:
    dtype = d.pick(
        "'int8'", "'float16'", "float", "'complex64'", "bool", "'bfloat16'", "'uint32'", "None", "'nothing'"
    )
    return f"np.astype({d.operand(wild=False)}, {dtype})"


@entry("vander")
def vander(d: Source, name: str) -> str:
    return f"np.vander({d.array(ANY, ((3,), (0,), (2, 3), ()))}{d.options(('N', (2, 0, -1, 4)), ('increasing', ('True',)))})"


@entry("bartlett blackman hamming hanning kaiser")
def windows(d: Source, name: str) -> str:
    return f"np.{name}({d.pick(5, 4, 1, 0, -1)}{', ' + d.pick('2.5', '0', '14', 'numpy.float32(3)') if name == 'kaiser' else ''})"


@entry("take")
def take(d: Source, name: str) -> str:
    x, rank = d.shaped()
    which = d.pick(
        "0",
        "-1",
        "A([0, 1, -1], 'int32', (3,))",
        "A([[0], [7]], 'int8', (2, 1))",
        "A([], 'int32', (0,))",
        "5",
        "1.0",
        "[0, 1]",
    )
    return f"np.take({x}, {which}{d.places(rank, True, False)}{d.options(MODE, ('fill_value', (9,)))})"


@entry("take_along_axis")
def take_along_axis(d: Source, name: str) -> str:
    x, rank = d.shaped(shapes=((2, 3), (3,), (2, 1, 3)))
    which = d.array(d.pick(INTEGERS, REAL), ((2, 3), (1, 3), (3,), (2, 1), (2, 1, 3)))
    return f"np.take_along_axis({x}, {which}{d.places(rank, True, False)}{d.options(MODE)})"


@entry("put_along_axis")
def put_along_axis(d: Source, name: str) -> str:
    x, rank = d.shaped(shapes=((2, 3), (3,)))
    which = f"A([[0], [1]], '{d.pick(*INTEGERS)}', (2, 1))" if rank == 2 else "A([0, 2], 'int32', (2,))"
    return f"np.put_along_axis({x}, {which}, {d.operand(ANY, ((), (1,)))}, axis={d.axis(rank, True, False)}, inplace=False)"


@entry("put")
def put(d: Source, name: str) -> str:
    which = d.pick("0", "A([0, 1], 'int32', (2,))", "A([0, -1, 9], 'int32', (3,))", "[1]")
    mode = ("mode", (repr("clip"), repr("wrap"), repr("other")))
    return (
        f"np.put({d.operand()}, {which}, {d.operand(ANY, ((), (2,), (0,)))}{d.options(mode)}, inplace=False)"
    )


@entry("place extract compress")
def masked(d: Source, name: str) -> str:
    x, rank = d.shaped()
    mask = d.array(d.pick(BOOL, ANY), d.pick(SHAPES, ((3,),)))
    if name == "place":
        return f"np.place({x}, {mask}, {d.operand(ANY, ((2,), (1,), (0,)))}, inplace=False)"
    options = d.options(("size", (2, 5)), ("fill_value", (9,)))
    return f"np.{name}({mask}, {x}{options}{d.places(rank, True, False) if name == 'compress' else ''})"


@entry("fill_diagonal")
def fill_diagonal(d: Source, name: str) -> str:
    inplace = d.pick(", inplace=False", ", inplace=False", ", inplace=False", "")
    return f"np.fill_diagonal({d.array(ANY, MATRICES)}, {d.operand(ANY, ((), (3,), (2, 3)))}{d.options(('wrap', ('True',)))}{inplace})"


@entry("ravel_multi_index")
def ravel_multi_index(d: Source, name: str) -> str:
    which = ", ".join(
        d.operand(d.pick(INTEGERS, INTEGERS, REAL), ((), (3,), (1,)), wild=False) for _ in range(d.pick(2, 1))
    )
    return f"np.ravel_multi_index(({which},), {d.pick((3, 4), (200, 200), (3,))}{d.options(('mode', (repr('clip'), repr('wrap'), repr('x'))), ('order', (repr('F'),)))})"


@entry("unravel_index")
def unravel_index(d: Source, name: str) -> str:
    return f"np.unravel_index({d.operand(d.pick(INTEGERS, INTEGERS, ANY))}, {d.pick((2, 3), 6, (), (0,), (2, 2, 2))})"


@entry("can_cast promote_types issubdtype isdtype result_type")
def dtypes(d: Source, name: str) -> str:
    one, other = (
        d.pick("'float32'", "'int8'", "'bfloat16'", "bool", "float", "'uint32'", "complex", "'nothing'")
        for _ in range(2)
    )
    if name == "isdtype":
        other = d.pick(
            "'real floating'", "('bool', 'integral')", "'numeric'", "'nothing'", "'float32'", "np.int8"
        )
    if name == "issubdtype":
        other = d.pick("np.floating", "np.inexact", "np.integer", "np.number", "'float32'", "np.generic")
    if name == "result_type":
        return f"np.result_type({d.pick(one, d.operand())}, {d.pick(other, d.operand())})"
    return f"np.{name}({one}, {other}{d.options(('casting', (repr('unsafe'), repr('same_kind')))) if name == 'can_cast' else ''})"


@entry("fromfunction")
def fromfunction(d: Source, name: str) -> str:
    return f"np.fromfunction(lambda i, j: {d.pick('i + j', 'i', '2')}, {d.pick((2, 3), (0, 2), (2,))}{d.options(('dtype', ('int', repr('bfloat16'))))})"


@entry("frombuffer fromstring")
def frombuffer(d: Source, name: str) -> str:
    if name == "fromstring":
        return f"np.fromstring('{d.pick('1 2 3', '', '1')}', sep=' '{d.options(('dtype', ('int', repr('float16'))), ('count', (2,)))})"
    return f"np.frombuffer(b'abcdefgh', {d.pick(repr('uint8'), repr('int16'), repr('float32'))}{d.options(('count', (1, 9)), ('offset', (4, 9)))})"


@entry("c_ r_ mgrid ogrid s_ index_exp")
def grids(d: Source, name: str) -> str:
    if name in ("c_", "r_"):
        parts = d.pick(
            "1:4",
            f"{d.array(ANY, ((3,), (2, 3)))}, {d.operand(ANY, ((3,), (2, 3)))}",
            "0:1:3j, 5",
            "0:6:2, 2.5",
        )
        return f"np.{name}[{parts}]"
    return f"np.{name}[{d.pick('0:3', '0:2, 1:3', '0:1:3j', '0:2, 0:1:2j', '-1:2:0.5')}]"
