"""Calls of functions that combine the elements along axes, or put them in order."""

from __future__ import annotations

import re

from tests.peers.numpy_table.entry import entry
from tests.peers.numpy_table.source import ANY, BOOL, EXACT, FLOATS, INTEGERS, REAL, Source

VECTORS = ((3,), (1,), (0,))
KEEP = ("keepdims", ("True",))
TYPES = ("dtype", ("'float32'", "'int8'", "'float16'", "'complex64'", "bool", "int"))


def mask(d: Source, x: str) -> str:
    """Which elements of an array count; as long as its last axis, or for all."""
    return d.array(BOOL, ((3,), ()) if re.search(r"3,?\)\)$", x) else ((),))


@entry("all any")
def truth(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)}{d.options(KEEP, ('where', (mask(d, x),)))})"


@entry("amax amin max min nanmax nanmin")
def extrema(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)}{d.options(KEEP, ('initial', (0, 2.5)), ('where', (mask(d, x),)))})"


@entry("sum prod nansum nanprod")
def sums(d: Source, name: str) -> str:
    x, rank = d.shaped()
    options = [KEEP, TYPES, ("initial", (1, 2.5)), ("where", (mask(d, x),))]
    if name in ("sum", "prod"):
        options.append(("promote_integers", ("False",)))
    return f"np.{name}({x}{d.places(rank)}{d.options(*options)})"


@entry("mean nanmean")
def means(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)}{d.options(KEEP, TYPES, ('where', (mask(d, x),)))})"


@entry("std var nanstd nanvar")
def spread(d: Source, name: str) -> str:
    x, rank = d.shaped()
    options = [KEEP, TYPES, ("ddof", (1, 0.5)), ("where", (mask(d, x),))]
    if name in ("std", "var"):
        options.append(("correction", (1,)))
    return f"np.{name}({x}{d.places(rank)}{d.options(*options)})"


@entry("ptp count_nonzero")
def counted(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)}{d.options(KEEP)})"


@entry("argmax argmin nanargmax nanargmin")
def arguments(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank, several=False)}{d.options(KEEP)})"


@entry("median nanmedian")
def medians(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank)}{d.options(KEEP)})"


@entry("percentile quantile nanpercentile nanquantile")
def quantiles(d: Source, name: str) -> str:
    x, rank = d.shaped()
    q = d.pick("0.3", "A([0.0, 0.5, 1.0], 'float32', (3,))", "1", "A([0.25], 'float32', (1, 1))")
    method = ("method", ("'lower'", "'higher'", "'nearest'", "'midpoint'", "'linear'", "'hazen'", "'other'"))
    return f"np.{name}({x}, {q}{d.places(rank)}{d.options(KEEP, method)})"


@entry("average")
def average(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.average({x}{d.places(rank)}{d.options(KEEP, ('weights', (d.array(ANY, ((3,), (2, 3)), wild=False),)), ('returned', ('True',)))})"


@entry("cumsum cumprod nancumsum nancumprod")
def running(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank, several=False)}{d.options(TYPES)})"


@entry("cumulative_sum cumulative_prod")
def cumulative(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank, several=False)}{d.options(TYPES, ('include_initial', ('True',)))})"


@entry("diff")
def diff(d: Source, name: str) -> str:
    x, rank = d.shaped()
    ends = (d.operand(ANY, ((1,), (), (2, 1))),)
    return f"np.diff({x}{d.places(rank, False, False)}{d.options(('n', (0, 2, -1)), ('prepend', ends), ('append', ends))})"


@entry("ediff1d")
def ediff1d(d: Source, name: str) -> str:
    return f"np.ediff1d({d.operand()}{d.options(('to_end', (d.operand(),)), ('to_begin', (d.operand(),)))})"


@entry("gradient")
def gradient(d: Source, name: str) -> str:
    x, rank = d.shaped(wild=False)
    return f"np.gradient({x}{d.pick('', ', 2.0', ', 2', f', {d.array(REAL, ((3,), (2,)), wild=False)}')}{d.places(rank)})"


@entry("trapezoid")
def trapezoid(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.trapezoid({x}{d.options(('x', (d.array(REAL, ((3,), (2, 3))),)), ('dx', (2, 0.5)))}{d.places(rank, False, False)})"


@entry("sort argsort")
def ordered(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}{d.places(rank, several=False)}{d.options(('descending', ('True',)), ('stable', ('False',)))})"


@entry("partition argpartition")
def partition(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.{name}({x}, {d.pick(0, 1, -1, 2, 5)}{d.places(rank, several=False)})"


@entry("lexsort")
def lexsort(d: Source, name: str) -> str:
    shape = d.pick((3,), (2, 3), ())
    return f"np.lexsort(({d.array(REAL, (shape,))}, {d.array(ANY, (shape, (3,)))}){d.places(len(shape), False, False)})"


@entry("searchsorted")
def searchsorted(d: Source, name: str) -> str:
    a = d.pick(f"np.sort({d.array(REAL, VECTORS)})", d.array(ANY))
    return f"np.searchsorted({a}, {d.operand()}{d.options(('side', (repr('right'), repr('up'))), ('method', (repr('sort'), repr('compare_all'))))})"


@entry("digitize")
def digitize(d: Source, name: str) -> str:
    bins = d.pick("A([0, 1, 2], 'float32', (3,))", "A([3, 2, 0], 'int32', (3,))", d.array())
    return f"np.digitize({d.operand()}, {bins}{d.options(('right', ('True',)))})"


@entry("bincount")
def bincount(d: Source, name: str) -> str:
    x = d.array(d.pick(EXACT, ANY), ((3,), (0,), (2, 3)))
    return f"np.bincount({x}{d.options(('weights', (d.array(ANY, ((3,), (0,))),)), ('length', (4, 0)), ('minlength', (8, -1)))})"


@entry("histogram histogram_bin_edges")
def histogram(d: Source, name: str) -> str:
    x = d.array(REAL, wild=False)
    bins = d.pick("3", "A([0, 1, 3], 'float32', (3,))", "0", "A([0, 1], 'int32', (2,))", "'auto'")
    options = [("range", ("(0, 2)", "(1.5, 1.5)", "(2, 0)"))]
    if name == "histogram":
        options += [("density", ("True",)), ("weights", (d.array(REAL, wild=False),))]
    return f"np.{name}({x}, {bins}{d.options(*options)})"


@entry("histogram2d histogramdd")
def histograms(d: Source, name: str) -> str:
    if name == "histogramdd":
        sample = d.array(REAL, ((4, 2), (3, 1), (3,)), wild=False)
    else:
        sample = f"{d.array(REAL, ((3,),), wild=False)}, {d.array(REAL, ((3,), (2,)), wild=False)}"
    bins = d.pick("2", "[2, 3]", "[A([0, 1, 3], 'float32', (3,)), 2]")
    return f"np.{name}({sample}, bins={bins}{d.options(('density', ('True',)))})"


@entry("cov corrcoef")
def cov(d: Source, name: str) -> str:
    x = d.array(ANY, ((3,), (2, 3), (1, 3), (), (2, 1, 3)), wild=False)
    options = [("rowvar", ("False",)), ("y", (d.array(ANY, ((3,), (2, 3)), wild=False),))]
    if name == "cov":
        options += [
            ("ddof", (0, 1)),
            ("bias", ("True",)),
            ("fweights", ("A([1, 2, 1], 'int32', (3,))",)),
            ("aweights", ("A([1, 2, 0.5], 'float32', (3,))",)),
        ]
    return f"np.{name}({x}{d.options(*options)})"


@entry("unique")
def unique(d: Source, name: str) -> str:
    x, rank = d.shaped()
    flags = [(f"return_{part}", ("True",)) for part in ("index", "inverse", "counts")]
    return f"np.unique({x}{d.options(*flags, ('size', (2,)), ('fill_value', (9,)), ('equal_nan', ('False',)))}{d.places(rank, several=False)})"


@entry("unique_all unique_counts unique_inverse unique_values")
def uniques(d: Source, name: str) -> str:
    value = f"np.{name}({d.array()}{d.options(('size', (2, 4)), ('fill_value', (9,)))})"
    return value if name == "unique_values" else f"tuple({value})"


@entry("intersect1d setdiff1d setxor1d union1d")
def sets(d: Source, name: str) -> str:
    return f"np.{name}({d.array(wild=False)}, {d.array(wild=False)}{d.options(('size', (2,)), ('fill_value', (9,)))})"


@entry("isin")
def isin(d: Source, name: str) -> str:
    return f"np.isin({d.operand()}, {d.operand()}{d.options(('invert', ('True',)), ('method', (repr('sort'), repr('binary_search'))))})"


@entry("nonzero flatnonzero argwhere")
def nonzero(d: Source, name: str) -> str:
    return f"np.{name}({d.operand()}{d.options(('size', (2, 0, 5)), ('fill_value', (9, -1)))})"


@entry("trim_zeros")
def trim_zeros(d: Source, name: str) -> str:
    x = d.pick("A([0, 1, 0, 2, 0], 'float32', (5,))", "A([0, 0], 'int32', (2,))", d.array())
    return f"np.trim_zeros({x}{d.options(('trim', (repr('f'), repr('b'), repr('x'))))})"


@entry("packbits unpackbits")
def packed(d: Source, name: str) -> str:
    x, rank = d.shaped(d.pick(("uint8",), EXACT, ANY) if name == "unpackbits" else d.pick(EXACT, ANY))
    options = [("bitorder", (repr("little"), repr("other")))] + (
        [("count", (5, -1, 20))] if name == "unpackbits" else []
    )
    return f"np.{name}({x}{d.places(rank, several=False)}{d.options(*options)})"


@entry("apply_along_axis")
def apply_along_axis(d: Source, name: str) -> str:
    x, rank = d.shaped()
    function = d.pick("lambda v: v.sum()", "lambda v: v[:1]", "lambda v: v * 2")
    return f"np.apply_along_axis({function}, {d.axis(rank, False, False)}, {x})"


@entry("apply_over_axes")
def apply_over_axes(d: Source, name: str) -> str:
    x, rank = d.shaped()
    return f"np.apply_over_axes({d.pick('np.sum', 'np.max', 'np.cumsum')}, {x}, {d.pick('0', '(0,)', '(0, 1)', '-1', rank)})"


@entry("convolve correlate")
def convolve(d: Source, name: str) -> str:
    shapes = ((3,), (1,), (0,), (), (2, 3))
    mode = ("mode", (repr("same"), repr("valid"), repr("full"), repr("other")))
    return f"np.{name}({d.operand(ANY, shapes, wild=False)}, {d.operand(ANY, shapes, wild=False)}{d.options(mode)})"


@entry("poly roots")
def poly(d: Source, name: str) -> str:
    return f"np.{name}({d.array(ANY, ((3,), (1,), (0,), (2, 3), (2, 2), ()), wild=False)})"


@entry("polyadd polysub polymul polydiv")
def polynomials(d: Source, name: str) -> str:
    shapes = ((3,), (1,), (2,), (0,), ())
    return f"np.{name}({d.array(ANY, shapes, wild=False)}, {d.array(ANY, shapes, wild=False)})"


@entry("polyder polyint")
def calculus(d: Source, name: str) -> str:
    more = d.options(("k", (2, "A([1, 2], 'int32', (2,))"))) if name == "polyint" else ""
    return f"np.{name}({d.array(ANY, ((3,), (1,), (0,), (2, 3)), wild=False)}{d.options(('m', (0, 2, -1, 5)))}{more})"


@entry("polyval")
def polyval(d: Source, name: str) -> str:
    return f"np.polyval({d.array(ANY, ((3,), (1,), (0,)), wild=False)}, {d.operand(wild=False)})"


@entry("polyfit")
def polyfit(d: Source, name: str) -> str:
    y = d.array((*FLOATS[:1], *INTEGERS, "complex64"), ((4,), (4, 2), (3,)), wild=False)
    return f"np.polyfit(A([0, 1, 2, 4], '{d.pick('float32', 'int32')}', (4,)), {y}, {d.pick(1, 0, 2)}{d.options(('cov', ('True',)))})"
