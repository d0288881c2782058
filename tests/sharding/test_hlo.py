"""XLA's forms of shardings: the text that goes in, the bytes that come back, and a real program between them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from anima import _native
from anima.sharding import AbstractMesh, GSPMDSharding, Mesh, NamedSharding, P, convert, hlo, protos
from anima.sharding.hlo import MANUAL, REPLICATED, maximal, tiled
from tests.native.support import encode_options, plugin_path


@pytest.mark.parametrize(
    ("sharding", "text"),
    [
        (REPLICATED, "{replicated}"),
        (MANUAL, "{manual}"),
        (maximal(3), "{maximal device=3}"),
        (tiled([2, 2], range(4)), "{devices=[2,2]<=[4]}"),
        (tiled([2, 2], [0, 2, 1, 3]), "{devices=[2,2]<=[2,2]T(1,0)}"),
        (tiled([2, 2], [3, 2, 1, 0]), "{devices=[2,2]3,2,1,0}"),
        (tiled([2], range(4), [("replicated", 2)]), "{devices=[2,2]<=[4] last_tile_dim_replicate}"),
        (tiled([2], range(4), [("manual", 2)]), "{devices=[2,2]<=[4] last_tile_dims={manual}}"),
        (
            tiled([2], range(8), [("replicated", 2), ("manual", 2)]),
            "{devices=[2,2,2]<=[8] last_tile_dims={replicated, manual}}",
        ),
        (tiled([1, 1], [1, 0], [("replicated", 2)]), "{replicated}"),
        (tiled([1], [1, 0], [("manual", 2)]), "{manual}"),
        (tiled([2, 1], range(2), [("replicated", 1)]), "{devices=[2,1]<=[2]}"),
    ],
)
def test_text(sharding: hlo.HloSharding, text: str) -> None:
    assert str(sharding) == text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (P("a"), "{devices=[2,1,4]<=[8] last_tile_dim_replicate}"),
        (P("b"), "{devices=[2,1,4]<=[2,2,2]T(1,0,2) last_tile_dim_replicate}"),
        (P("c"), "{devices=[2,1,4]<=[4,2]T(1,0) last_tile_dim_replicate}"),
        (P("c", "a"), "{devices=[2,2,2]<=[4,2]T(1,0) last_tile_dim_replicate}"),
        (P("b", "c"), "{devices=[2,2,2]<=[2,4]T(1,0) last_tile_dim_replicate}"),
        (P(("c", "a"), "b"), "{devices=[4,2]<=[4,2]T(1,0)}"),
        (P(("a", "c")), "{devices=[4,1,2]<=[2,2,2]T(0,2,1) last_tile_dim_replicate}"),
        (P(None, P.UNCONSTRAINED), "{replicated}"),
    ],
)
def test_text_of_specs(spec: P, text: str) -> None:
    assert str(NamedSharding(AbstractMesh((2, 2, 2), ("a", "b", "c")), spec).hlo(2)) == text


def test_manual_axes() -> None:
    names, sizes = ("a", "b", "c"), (2, 2, 2)
    some = convert.from_spec(names, sizes, P("c"), 1, frozenset("a"))
    assert str(some) == "{devices=[2,2,2]<=[2,2,2]T(2,1,0) last_tile_dims={replicated, manual}}"
    assert convert.from_spec(names, sizes, P(), 1, frozenset(names)) is MANUAL
    assert convert.to_spec(names, sizes, some) is None


def all_specs(names: tuple[str, ...], ndim: int) -> Any:
    """Every spec over at most all of the axes, in every order."""
    for used in range(len(names) + 1):
        for order in itertools.permutations(names, used):
            for places in itertools.product(range(ndim), repeat=used):
                if list(places) == sorted(places):
                    yield P(*[tuple(a for a, p in zip(order, places) if p == dim) for dim in range(ndim)])


@pytest.mark.parametrize("sizes", [(4, 2), (2, 2, 2), (3, 1, 2), (2, 3, 4), (1, 1), (6,)])
def test_specs_survive_the_way_through_tilings(sizes: tuple[int, ...]) -> None:
    names, count = tuple("abc"[: len(sizes)]), math.prod(sizes)
    for spec in all_specs(names, 2):
        form = convert.from_spec(names, sizes, spec, 2)
        back = convert.to_spec(names, sizes, form)
        assert back is not None
        again = convert.from_spec(names, sizes, back, 2)
        assert again.tiles_of(2) == form.tiles_of(2)
        assert again.coordinates(2, count) == form.coordinates(2, count)


def test_iota_forms_are_found_and_shortest() -> None:
    for shape in [(2, 3), (2, 2, 2), (4, 3, 2), (5,), (2, 1, 3)]:
        for axes in itertools.permutations(range(len(shape))):
            order = np.arange(math.prod(shape)).reshape(shape).transpose(axes).ravel().tolist()
            found = hlo.iota_form(order)
            assert found is not None
            again = np.arange(len(order)).reshape(found[0]).transpose(found[1]).ravel().tolist()
            assert again == order
            assert len(found[0]) <= len(shape)
    for order in ([1, 0], [0, 2, 1], [0, 1, 3, 2], [0, 3, 1, 2], [0, 2, 4, 5, 1, 3]):
        assert hlo.iota_form(order) is None


def test_partitions_that_do_not_fill_the_grid() -> None:
    with pytest.raises(ValueError, match=r"grid of \[2, 2\] tiles .* needs each of the 4 partitions once"):
        tiled([2, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="is for 2 dimensions, the array has 3"):
        tiled([2, 2], range(4)).tiles_of(3)


# A small writer of the encoding, for the reader to read.


def varint(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 127 | (128 if more else 0)]) + (varint(more) if more else b"")


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(field: int, values: list[int]) -> bytes:
    return message(field, b"".join(map(varint, values)))


TILED = number(1, 3) + packed(3, [2, 1, 2]) + packed(4, [0, 2, 1, 3]) + number(6, 1)
IOTA = number(1, 3) + packed(3, [2, 1, 2]) + packed(9, [2, 2]) + packed(10, [1, 0]) + packed(8, [0])


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "{replicated}"),
        (number(1, 5), "{replicated}"),
        (number(1, 4), "{manual}"),
        (number(1, 1) + number(4, 300), "{maximal device=300}"),
        (TILED, "{devices=[2,1,2]<=[2,2]T(1,0) last_tile_dim_replicate}"),
        (IOTA, "{devices=[2,1,2]<=[2,2]T(1,0) last_tile_dim_replicate}"),
        (TILED + b"\x4d....\x51........", "{devices=[2,1,2]<=[2,2]T(1,0) last_tile_dim_replicate}"),
        (number(1, 3) + number(3, 2) + number(4, 0) + number(4, 1), "{devices=[2]<=[2]}"),
    ],
)
def test_reading_op_shardings(data: bytes, text: str) -> None:
    assert str(protos.op_sharding(data)) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (number(1, 9), "unknown type 9"),
        (number(1, 2) + message(5, b"") + message(5, b""), "2 arrays, not of one"),
        (b"\x08", "ends within a number"),
        (b"\x1a\x09..", "ends within a field"),
        (b"\x0b", "unknown encoding 3"),
        (
            number(1, 3) + packed(3, [2, 2]) + packed(4, [0, 1, 2, 3]) + packed(8, [7]),
            "subgroups of the unknown type 7",
        ),
        (number(1, 2) + number(5, 1), "a number where a message belongs"),
    ],
)
def test_broken_op_shardings(data: bytes, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        protos.op_sharding(data)


def test_reading_programs() -> None:
    module = (
        message(1, b"name")
        + message(3, b"")
        + message(12, number(1, 2) + message(5, TILED) + message(5, b""))
    )
    for program in (module, message(1, module) + message(2, b"config")):
        assert list(map(str, protos.output_shardings(program, 2))) == [
            "{devices=[2,1,2]<=[2,2]T(1,0) last_tile_dim_replicate}",
            "{replicated}",
        ]
        assert protos.parameter_shardings(program, 3) == [REPLICATED] * 3
        with pytest.raises(ValueError, match="2 results, not of 3"):
            protos.output_shardings(program, 3)
    assert protos.output_shardings(message(3, b"") + message(12, b""), 2) == [REPLICATED] * 2
    with pytest.raises(ValueError, match="1 arguments, not of 2"):
        protos.parameter_shardings(module + message(14, TILED), 2)
    with pytest.raises(ValueError, match="no computations"):
        protos.output_shardings(b"", 1)


# Through the compiler and back.

PROGRAM = """
module @m attributes {{mhlo.num_partitions = 8 : i32, mhlo.num_replicas = 1 : i32}} {{
  func.func public @main(%a: tensor<16x16xf32> {{mhlo.sharding = "{a}"}},
                         %b: tensor<16x8xf32> {{mhlo.sharding = "{b}"}})
      -> (tensor<16x8xf32> {{mhlo.sharding = "{c}"}}, tensor<16x16xf32>) {{
    %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
        : (tensor<16x16xf32>, tensor<16x8xf32>) -> tensor<16x8xf32>
    %1 = stablehlo.add %a, %a : tensor<16x16xf32>
    return %0, %1 : tensor<16x8xf32>, tensor<16x16xf32>
  }}
}}
"""


@pytest.fixture(scope="module")
def client() -> Any:
    made = _native.load_plugin(plugin_path()).create_client({"cpu_device_count": 8})
    yield made
    made.close()


@pytest.mark.cpu
@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        (P("x"), P(None, "y"), P("x", "y")),
        (P("y"), P(), P("y")),
        (P(("y", "x")), P(), P(None, ("y", "x"))),
        (P(None, ("x", "y")), P("x", "y"), P()),
        (P(), P(), P("y", "x")),
    ],
    ids=str,
)
def test_the_compiler_reads_the_text_and_reports_the_same(client: Any, a: P, b: P, c: P) -> None:
    mesh = Mesh(np.array(client.devices).reshape(4, 2), ("x", "y"))
    forms = [NamedSharding(mesh, spec).hlo(2) for spec in (a, b, c)]
    text = PROGRAM.format(a=forms[0], b=forms[1], c=forms[2])
    program = client.compile(text, encode_options(partitions=8)).optimized_program()
    result, chosen = protos.output_shardings(program, 2)
    assert protos.parameter_shardings(program, 2) == forms[:2]
    assert result == forms[2]
    named = GSPMDSharding(client.devices, chosen).to_named(mesh)
    assert named is not None
