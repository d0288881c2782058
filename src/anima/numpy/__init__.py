"""NumPy's functions on arrays that can be traced, differentiated, mapped and compiled.

Invariant: a name is public by being imported here as itself, and only by that. Importing this package gives arrays and
tracers their methods.

>>> import anima.numpy as np
>>> print(np.sin(np.linspace(0, np.pi, 3)).round(3))
[ 0.  1. -0.]
"""

from __future__ import annotations

import importlib as _importlib
from typing import Any as _Any

from anima.dtypes import (
    isdtype as isdtype,
    issubdtype as issubdtype,
    promote_types as promote_types,
    result_type as result_type,
)
from anima.numpy.arithmetic import (
    abs as abs,
    absolute as absolute,
    add as add,
    conj as conj,
    conjugate as conjugate,
    divide as divide,
    divmod as divmod,
    fabs as fabs,
    float_power as float_power,
    floor_divide as floor_divide,
    fmax as fmax,
    fmin as fmin,
    fmod as fmod,
    imag as imag,
    maximum as maximum,
    minimum as minimum,
    mod as mod,
    multiply as multiply,
    negative as negative,
    positive as positive,
    pow as pow,
    power as power,
    real as real,
    reciprocal as reciprocal,
    remainder as remainder,
    sign as sign,
    square as square,
    subtract as subtract,
    true_divide as true_divide,
)
from anima.numpy.arranging import (
    delete as delete,
    insert as insert,
    repeat as repeat,
    resize as resize,
    trim_zeros as trim_zeros,
)
from anima.numpy.constants import (
    e as e,
    euler_gamma as euler_gamma,
    inf as inf,
    nan as nan,
    newaxis as newaxis,
    pi as pi,
)
from anima.numpy.creation import (
    array as array,
    asarray as asarray,
    copy as copy,
    empty as empty,
    empty_like as empty_like,
    full as full,
    full_like as full_like,
    ones as ones,
    ones_like as ones_like,
    zeros as zeros,
    zeros_like as zeros_like,
)
from anima.numpy.einsum import (
    einsum as einsum,
    einsum_path as einsum_path,
)
from anima.numpy.elementary import (
    acos as acos,
    acosh as acosh,
    angle as angle,
    arccos as arccos,
    arccosh as arccosh,
    arcsin as arcsin,
    arcsinh as arcsinh,
    arctan as arctan,
    arctan2 as arctan2,
    arctanh as arctanh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    cbrt as cbrt,
    cos as cos,
    cosh as cosh,
    deg2rad as deg2rad,
    degrees as degrees,
    exp as exp,
    exp2 as exp2,
    expm1 as expm1,
    hypot as hypot,
    log as log,
    log1p as log1p,
    log2 as log2,
    log10 as log10,
    logaddexp as logaddexp,
    logaddexp2 as logaddexp2,
    rad2deg as rad2deg,
    radians as radians,
    sin as sin,
    sinc as sinc,
    sinh as sinh,
    sqrt as sqrt,
    tan as tan,
    tanh as tanh,
)
from anima.numpy.files import (
    array_repr as array_repr,
    array_str as array_str,
    from_dlpack as from_dlpack,
    frombuffer as frombuffer,
    fromfile as fromfile,
    fromiter as fromiter,
    fromstring as fromstring,
    get_printoptions as get_printoptions,
    load as load,
    printoptions as printoptions,
    save as save,
    savez as savez,
    set_printoptions as set_printoptions,
)
from anima.numpy.flipping import (
    flip as flip,
    fliplr as fliplr,
    flipud as flipud,
    roll as roll,
    rot90 as rot90,
)
from anima.numpy.histograms import (
    bincount as bincount,
    histogram as histogram,
    histogram2d as histogram2d,
    histogram_bin_edges as histogram_bin_edges,
    histogramdd as histogramdd,
)
from anima.numpy.index_tables import (
    c_ as c_,
    diag_indices as diag_indices,
    diag_indices_from as diag_indices_from,
    index_exp as index_exp,
    ix_ as ix_,
    mask_indices as mask_indices,
    mgrid as mgrid,
    ogrid as ogrid,
    r_ as r_,
    ravel_multi_index as ravel_multi_index,
    s_ as s_,
    tril_indices as tril_indices,
    tril_indices_from as tril_indices_from,
    triu_indices as triu_indices,
    triu_indices_from as triu_indices_from,
    unravel_index as unravel_index,
)
from anima.numpy.integers import (
    gcd as gcd,
    lcm as lcm,
    packbits as packbits,
    unpackbits as unpackbits,
)
from anima.numpy.joining import (
    append as append,
    array_split as array_split,
    block as block,
    column_stack as column_stack,
    concat as concat,
    concatenate as concatenate,
    dsplit as dsplit,
    dstack as dstack,
    hsplit as hsplit,
    hstack as hstack,
    split as split,
    stack as stack,
    tile as tile,
    unstack as unstack,
    vsplit as vsplit,
    vstack as vstack,
)
from anima.numpy.linear import (
    dot as dot,
    inner as inner,
    kron as kron,
    matmul as matmul,
    matvec as matvec,
    outer as outer,
    tensordot as tensordot,
    vdot as vdot,
    vecdot as vecdot,
    vecmat as vecmat,
)
from anima.numpy.logic import (
    allclose as allclose,
    bitwise_and as bitwise_and,
    bitwise_count as bitwise_count,
    bitwise_invert as bitwise_invert,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_not as bitwise_not,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    invert as invert,
    isclose as isclose,
    iscomplex as iscomplex,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    isneginf as isneginf,
    isposinf as isposinf,
    isreal as isreal,
    left_shift as left_shift,
    less as less,
    less_equal as less_equal,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    not_equal as not_equal,
    right_shift as right_shift,
)
from anima.numpy.mapping import (
    apply_along_axis as apply_along_axis,
    apply_over_axes as apply_over_axes,
    vectorize as vectorize,
)
from anima.numpy.methods import install_methods as _install_methods
from anima.numpy.nan_reductions import (
    nanargmax as nanargmax,
    nanargmin as nanargmin,
    nanmax as nanmax,
    nanmean as nanmean,
    nanmin as nanmin,
    nanprod as nanprod,
    nanstd as nanstd,
    nansum as nansum,
    nanvar as nanvar,
)
from anima.numpy.padding import (
    pad as pad,
)
from anima.numpy.polynomials import (
    poly as poly,
    polyadd as polyadd,
    polyder as polyder,
    polydiv as polydiv,
    polyint as polyint,
    polymul as polymul,
    polysub as polysub,
    polyval as polyval,
    vander as vander,
)
from anima.numpy.quantiles import (
    median as median,
    nanmedian as nanmedian,
    nanpercentile as nanpercentile,
    nanquantile as nanquantile,
    percentile as percentile,
    quantile as quantile,
)
from anima.numpy.ranges import (
    arange as arange,
    diag as diag,
    diagflat as diagflat,
    diagonal as diagonal,
    eye as eye,
    fromfunction as fromfunction,
    geomspace as geomspace,
    identity as identity,
    indices as indices,
    linspace as linspace,
    logspace as logspace,
    meshgrid as meshgrid,
    trace as trace,
    tri as tri,
    tril as tril,
    triu as triu,
)
from anima.numpy.reductions import (
    all as all,
    amax as amax,
    amin as amin,
    any as any,
    argmax as argmax,
    argmin as argmin,
    average as average,
    count_nonzero as count_nonzero,
    max as max,
    mean as mean,
    min as min,
    prod as prod,
    ptp as ptp,
    std as std,
    sum as sum,
    var as var,
)
from anima.numpy.rounding import (
    around as around,
    ceil as ceil,
    copysign as copysign,
    floor as floor,
    frexp as frexp,
    heaviside as heaviside,
    ldexp as ldexp,
    modf as modf,
    nextafter as nextafter,
    rint as rint,
    round as round,
    signbit as signbit,
    spacing as spacing,
    trunc as trunc,
)
from anima.numpy.scalar_types import (
    ComplexWarning as ComplexWarning,
    bfloat16 as bfloat16,
    bool as bool,
    bool_ as bool_,
    can_cast as can_cast,
    cdouble as cdouble,
    character as character,
    complex64 as complex64,
    complex128 as complex128,
    complex_ as complex_,
    complexfloating as complexfloating,
    csingle as csingle,
    double as double,
    dtype as dtype,
    finfo as finfo,
    flexible as flexible,
    float4_e2m1fn as float4_e2m1fn,
    float8_e3m4 as float8_e3m4,
    float8_e4m3 as float8_e4m3,
    float8_e4m3b11fnuz as float8_e4m3b11fnuz,
    float8_e4m3fn as float8_e4m3fn,
    float8_e4m3fnuz as float8_e4m3fnuz,
    float8_e5m2 as float8_e5m2,
    float8_e5m2fnuz as float8_e5m2fnuz,
    float8_e8m0fnu as float8_e8m0fnu,
    float16 as float16,
    float32 as float32,
    float64 as float64,
    float_ as float_,
    floating as floating,
    generic as generic,
    iinfo as iinfo,
    inexact as inexact,
    int2 as int2,
    int4 as int4,
    int8 as int8,
    int16 as int16,
    int32 as int32,
    int64 as int64,
    int_ as int_,
    integer as integer,
    iscomplexobj as iscomplexobj,
    isrealobj as isrealobj,
    ndarray as ndarray,
    number as number,
    object_ as object_,
    signedinteger as signedinteger,
    single as single,
    uint as uint,
    uint2 as uint2,
    uint4 as uint4,
    uint8 as uint8,
    uint16 as uint16,
    uint32 as uint32,
    uint64 as uint64,
    unsignedinteger as unsignedinteger,
)
from anima.numpy.scans import (
    cumprod as cumprod,
    cumsum as cumsum,
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
    diff as diff,
    ediff1d as ediff1d,
    gradient as gradient,
    nancumprod as nancumprod,
    nancumsum as nancumsum,
    trapezoid as trapezoid,
    unwrap as unwrap,
)
from anima.numpy.selection import (
    argwhere as argwhere,
    array_equal as array_equal,
    array_equiv as array_equiv,
    choose as choose,
    clip as clip,
    compress as compress,
    extract as extract,
    flatnonzero as flatnonzero,
    nan_to_num as nan_to_num,
    nonzero as nonzero,
    piecewise as piecewise,
    select as select,
    where as where,
)
from anima.numpy.set_operations import (
    intersect1d as intersect1d,
    setdiff1d as setdiff1d,
    setxor1d as setxor1d,
    union1d as union1d,
)
from anima.numpy.sets import (
    isin as isin,
    unique as unique,
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)
from anima.numpy.shapes import (
    astype as astype,
    atleast_1d as atleast_1d,
    atleast_2d as atleast_2d,
    atleast_3d as atleast_3d,
    broadcast_arrays as broadcast_arrays,
    broadcast_shapes as broadcast_shapes,
    broadcast_to as broadcast_to,
    expand_dims as expand_dims,
    isscalar as isscalar,
    iterable as iterable,
    matrix_transpose as matrix_transpose,
    moveaxis as moveaxis,
    ndim as ndim,
    permute_dims as permute_dims,
    ravel as ravel,
    reshape as reshape,
    rollaxis as rollaxis,
    shape as shape,
    size as size,
    squeeze as squeeze,
    swapaxes as swapaxes,
    transpose as transpose,
)
from anima.numpy.signals import (
    convolve as convolve,
    correlate as correlate,
    cross as cross,
    interp as interp,
)
from anima.numpy.sorting import (
    argpartition as argpartition,
    argsort as argsort,
    digitize as digitize,
    lexsort as lexsort,
    partition as partition,
    searchsorted as searchsorted,
    sort as sort,
    sort_complex as sort_complex,
)
from anima.numpy.statistics import (
    corrcoef as corrcoef,
    cov as cov,
)
from anima.numpy.taking import (
    fill_diagonal as fill_diagonal,
    place as place,
    put as put,
    put_along_axis as put_along_axis,
    take as take,
    take_along_axis as take_along_axis,
)
from anima.numpy.windows import (
    bartlett as bartlett,
    blackman as blackman,
    hamming as hamming,
    hanning as hanning,
    kaiser as kaiser,
)

_install_methods()

_ON_DEMAND = ("fft", "linalg")
_FROM_SPECIAL = ("i0",)


def __getattr__(name: str) -> _Any:
    if name in _ON_DEMAND:
        return _importlib.import_module(f"anima.numpy.{name}")
    if name in _FROM_SPECIAL:
        return getattr(_importlib.import_module("anima.scipy.special"), name)
    raise AttributeError(f"module 'anima.numpy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(n for n in globals() if not n.startswith("_")), *_ON_DEMAND, *_FROM_SPECIAL})
