"""Operations: a file a family, each operation one declaration with all its rules.

Invariant: a name is public by being imported here as itself, and only by that. What not every program uses, and what is of a
higher layer, is loaded when it is first asked for.
"""

from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.lax.accuracy import (
    AccuracyMode as AccuracyMode,
    Tolerance as Tolerance,
)
from anima.lax.apply_at import (
    scatter_apply as scatter_apply,
    scatter_apply_p as scatter_apply_p,
)
from anima.lax.arithmetic import (
    abs as abs,
    abs_p as abs_p,
    add as add,
    add_any_p as add_any_p,
    add_p as add_p,
    div as div,
    div_p as div_p,
    max as max,
    max_p as max_p,
    min as min,
    min_p as min_p,
    mul as mul,
    mul_p as mul_p,
    mulhi as mulhi,
    mulhi_p as mulhi_p,
    neg as neg,
    neg_p as neg_p,
    rem as rem,
    rem_p as rem_p,
    sign as sign,
    sign_p as sign_p,
    sub as sub,
    sub_p as sub_p,
)
from anima.lax.bitwise import (
    and_p as and_p,
    bitwise_and as bitwise_and,
    bitwise_not as bitwise_not,
    bitwise_or as bitwise_or,
    bitwise_xor as bitwise_xor,
    clz as clz,
    clz_p as clz_p,
    not_p as not_p,
    or_p as or_p,
    population_count as population_count,
    population_count_p as population_count_p,
    shift_left as shift_left,
    shift_left_p as shift_left_p,
    shift_right_arithmetic as shift_right_arithmetic,
    shift_right_arithmetic_p as shift_right_arithmetic_p,
    shift_right_logical as shift_right_logical,
    shift_right_logical_p as shift_right_logical_p,
    xor_p as xor_p,
)
from anima.lax.compare import (
    eq as eq,
    eq_p as eq_p,
    eq_to_p as eq_to_p,
    ge as ge,
    ge_p as ge_p,
    gt as gt,
    gt_p as gt_p,
    is_finite as is_finite,
    is_finite_p as is_finite_p,
    le as le,
    le_p as le_p,
    le_to_p as le_to_p,
    lt as lt,
    lt_p as lt_p,
    lt_to_p as lt_to_p,
    ne as ne,
    ne_p as ne_p,
)
from anima.lax.complex_parts import (
    complex as complex,
    complex_p as complex_p,
    conj as conj,
    conj_p as conj_p,
    imag as imag,
    imag_p as imag_p,
    real as real,
    real_p as real_p,
)
from anima.lax.composite import composite as composite
from anima.lax.contraction import (
    DotDimensionNumbers as DotDimensionNumbers,
    batch_matmul as batch_matmul,
    dot as dot,
    dot_general as dot_general,
    dot_general_p as dot_general_p,
)
from anima.lax.convert import (
    bitcast_convert_type as bitcast_convert_type,
    bitcast_convert_type_p as bitcast_convert_type_p,
    convert_element_type as convert_element_type,
    convert_element_type_p as convert_element_type_p,
    reduce_precision as reduce_precision,
    reduce_precision_p as reduce_precision_p,
)
from anima.lax.create import (
    broadcasted_iota as broadcasted_iota,
    empty as empty,
    full as full,
    full_like as full_like,
    iota as iota,
    iota_p as iota_p,
)
from anima.lax.cumulative import (
    cumlogsumexp as cumlogsumexp,
    cumlogsumexp_p as cumlogsumexp_p,
    cummax as cummax,
    cummax_p as cummax_p,
    cummin as cummin,
    cummin_p as cummin_p,
    cumprod as cumprod,
    cumprod_p as cumprod_p,
    cumsum as cumsum,
    cumsum_p as cumsum_p,
)
from anima.lax.exponential import (
    exp as exp,
    exp2 as exp2,
    exp2_p as exp2_p,
    exp_p as exp_p,
    expm1 as expm1,
    expm1_p as expm1_p,
    log as log,
    log1p as log1p,
    log1p_p as log1p_p,
    log_p as log_p,
    logistic as logistic,
    logistic_p as logistic_p,
)
from anima.lax.fft import (
    FftType as FftType,
    fft as fft,
    fft_p as fft_p,
)
from anima.lax.gathering import (
    GatherDimensionNumbers as GatherDimensionNumbers,
    GatherScatterMode as GatherScatterMode,
    ScatterDimensionNumbers as ScatterDimensionNumbers,
    gather as gather,
    gather_p as gather_p,
)
from anima.lax.hyperbolic import (
    acosh as acosh,
    acosh_p as acosh_p,
    asinh as asinh,
    asinh_p as asinh_p,
    atanh as atanh,
    atanh_p as atanh_p,
    cosh as cosh,
    cosh_p as cosh_p,
    sinh as sinh,
    sinh_p as sinh_p,
    tanh as tanh,
    tanh_p as tanh_p,
)
from anima.lax.joining import (
    concatenate as concatenate,
    concatenate_p as concatenate_p,
    pad as pad,
    pad_p as pad_p,
    split as split,
    split_p as split_p,
    stack as stack,
    stack_p as stack_p,
    tile as tile,
    tile_p as tile_p,
    unstack as unstack,
    unstack_p as unstack_p,
)
from anima.lax.powers import (
    cbrt as cbrt,
    cbrt_p as cbrt_p,
    integer_pow as integer_pow,
    integer_pow_p as integer_pow_p,
    pow as pow,
    pow_p as pow_p,
    reciprocal as reciprocal,
    rsqrt as rsqrt,
    rsqrt_p as rsqrt_p,
    sqrt as sqrt,
    sqrt_p as sqrt_p,
    square as square,
    square_p as square_p,
)
from anima.lax.precision import (
    DotAlgorithm as DotAlgorithm,
    DotAlgorithmPreset as DotAlgorithmPreset,
    Precision as Precision,
    PrecisionLike as PrecisionLike,
)
from anima.lax.reductions import (
    argmax as argmax,
    argmax_p as argmax_p,
    argmin as argmin,
    argmin_p as argmin_p,
    reduce_and as reduce_and,
    reduce_and_p as reduce_and_p,
    reduce_max as reduce_max,
    reduce_max_p as reduce_max_p,
    reduce_min as reduce_min,
    reduce_min_p as reduce_min_p,
    reduce_or as reduce_or,
    reduce_or_p as reduce_or_p,
    reduce_prod as reduce_prod,
    reduce_prod_p as reduce_prod_p,
    reduce_sum as reduce_sum,
    reduce_sum_p as reduce_sum_p,
    reduce_xor as reduce_xor,
    reduce_xor_p as reduce_xor_p,
)
from anima.lax.rounding import (
    RoundingMethod as RoundingMethod,
    ceil as ceil,
    ceil_p as ceil_p,
    floor as floor,
    floor_p as floor_p,
    nextafter as nextafter,
    nextafter_p as nextafter_p,
    round as round,
    round_p as round_p,
)
from anima.lax.scattering import (
    scatter as scatter,
    scatter_add as scatter_add,
    scatter_add_p as scatter_add_p,
    scatter_max as scatter_max,
    scatter_max_p as scatter_max_p,
    scatter_min as scatter_min,
    scatter_min_p as scatter_min_p,
    scatter_mul as scatter_mul,
    scatter_mul_p as scatter_mul_p,
    scatter_p as scatter_p,
    scatter_sub as scatter_sub,
    scatter_sub_p as scatter_sub_p,
)
from anima.lax.selection import (
    clamp as clamp,
    clamp_p as clamp_p,
    select as select,
    select_n as select_n,
    select_n_p as select_n_p,
)
from anima.lax.shape import (
    broadcast as broadcast,
    broadcast_in_dim as broadcast_in_dim,
    broadcast_in_dim_p as broadcast_in_dim_p,
    broadcast_like as broadcast_like,
    broadcast_shapes as broadcast_shapes,
    broadcast_to_rank as broadcast_to_rank,
    collapse as collapse,
    dtype as dtype,
    expand_dims as expand_dims,
    reshape as reshape,
    reshape_p as reshape_p,
    rev as rev,
    rev_p as rev_p,
    shape_as_value as shape_as_value,
    squeeze as squeeze,
    squeeze_p as squeeze_p,
    transpose as transpose,
    transpose_p as transpose_p,
)
from anima.lax.slicing import (
    dynamic_index_in_dim as dynamic_index_in_dim,
    dynamic_slice as dynamic_slice,
    dynamic_slice_in_dim as dynamic_slice_in_dim,
    dynamic_slice_p as dynamic_slice_p,
    dynamic_update_index_in_dim as dynamic_update_index_in_dim,
    dynamic_update_slice as dynamic_update_slice,
    dynamic_update_slice_in_dim as dynamic_update_slice_in_dim,
    dynamic_update_slice_p as dynamic_update_slice_p,
    index_in_dim as index_in_dim,
    slice as slice,
    slice_in_dim as slice_in_dim,
    slice_p as slice_p,
)
from anima.lax.sorting import (
    sort as sort,
    sort_key_val as sort_key_val,
    sort_p as sort_p,
    top_k as top_k,
    top_k_p as top_k_p,
)
from anima.lax.trigonometric import (
    acos as acos,
    acos_p as acos_p,
    asin as asin,
    asin_p as asin_p,
    atan as atan,
    atan2 as atan2,
    atan2_p as atan2_p,
    atan_p as atan_p,
    cos as cos,
    cos_p as cos_p,
    sin as sin,
    sin_p as sin_p,
    tan as tan,
    tan_p as tan_p,
)
from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.lax import linalg as linalg
    from anima.lax.approximate import (
        approx_max_k as approx_max_k,
        approx_min_k as approx_min_k,
        approx_top_k_p as approx_top_k_p,
    )
    from anima.lax.axis_names import (
        axis_index as axis_index,
        axis_index_p as axis_index_p,
        axis_size as axis_size,
    )
    from anima.lax.barrier import (
        dce_sink as dce_sink,
        dce_sink_p as dce_sink_p,
        optimization_barrier as optimization_barrier,
        optimization_barrier_p as optimization_barrier_p,
    )
    from anima.lax.collectives import (
        pcast as pcast,
        pmax as pmax,
        pmax_p as pmax_p,
        pmean as pmean,
        pmin as pmin,
        pmin_p as pmin_p,
        psum as psum,
        psum_p as psum_p,
    )
    from anima.lax.control.associative import associative_scan as associative_scan
    from anima.lax.control.branching import (
        cond as cond,
        platform_dependent as platform_dependent,
        switch as switch,
    )
    from anima.lax.control.cond_primitive import cond_p as cond_p
    from anima.lax.control.linear_solve import (
        custom_linear_solve as custom_linear_solve,
        linear_solve_p as linear_solve_p,
    )
    from anima.lax.control.looping import (
        fori_loop as fori_loop,
        while_loop as while_loop,
    )
    from anima.lax.control.root import custom_root as custom_root
    from anima.lax.control.scan_primitive import scan_p as scan_p
    from anima.lax.control.scanning import (
        map as map,
        scan as scan,
    )
    from anima.lax.control.while_primitive import while_p as while_p
    from anima.lax.convolution import (
        conv as conv,
        conv_general_dilated as conv_general_dilated,
        conv_transpose as conv_transpose,
        conv_with_general_padding as conv_with_general_padding,
    )
    from anima.lax.convolution_numbers import (
        ConvDimensionNumbers as ConvDimensionNumbers,
        ConvGeneralDilatedDimensionNumbers as ConvGeneralDilatedDimensionNumbers,
        conv_dimension_numbers as conv_dimension_numbers,
        conv_general_permutations as conv_general_permutations,
        conv_general_shape_tuple as conv_general_shape_tuple,
        conv_shape_tuple as conv_shape_tuple,
        conv_transpose_shape_tuple as conv_transpose_shape_tuple,
    )
    from anima.lax.convolution_rules import conv_general_dilated_p as conv_general_dilated_p
    from anima.lax.error_functions import (
        digamma as digamma,
        digamma_p as digamma_p,
        erf as erf,
        erf_inv as erf_inv,
        erf_inv_p as erf_inv_p,
        erf_p as erf_p,
        erfc as erfc,
        erfc_p as erfc_p,
        lgamma as lgamma,
        lgamma_p as lgamma_p,
        polygamma as polygamma,
        polygamma_p as polygamma_p,
        zeta as zeta,
        zeta_p as zeta_p,
    )
    from anima.lax.exchanges import (
        all_gather as all_gather,
        all_gather_p as all_gather_p,
        all_to_all as all_to_all,
        all_to_all_p as all_to_all_p,
        psum_scatter as psum_scatter,
        pswapaxes as pswapaxes,
        reduce_scatter_p as reduce_scatter_p,
    )
    from anima.lax.fold import (
        reduce as reduce,
        reduce_p as reduce_p,
    )
    from anima.lax.generators import (
        RandomAlgorithm as RandomAlgorithm,
        rng_bit_generator as rng_bit_generator,
        rng_bit_generator_p as rng_bit_generator_p,
        rng_uniform as rng_uniform,
        rng_uniform_p as rng_uniform_p,
    )
    from anima.lax.identity import (
        copy_p as copy_p,
        stage as stage,
        stage_p as stage_p,
        stop_gradient as stop_gradient,
        stop_gradient_p as stop_gradient_p,
    )
    from anima.lax.messages import (
        precv as precv,
        psend as psend,
        ragged_all_to_all as ragged_all_to_all,
        ragged_all_to_all_p as ragged_all_to_all_p,
    )
    from anima.lax.patches import (
        conv_general_dilated_local as conv_general_dilated_local,
        conv_general_dilated_patches as conv_general_dilated_patches,
    )
    from anima.lax.permutes import (
        pbroadcast as pbroadcast,
        pbroadcast_p as pbroadcast_p,
        ppermute as ppermute,
        ppermute_p as ppermute_p,
        pshuffle as pshuffle,
    )
    from anima.lax.ragged import (
        RaggedDotDimensionNumbers as RaggedDotDimensionNumbers,
        ragged_dot as ragged_dot,
        ragged_dot_general as ragged_dot_general,
    )
    from anima.lax.scaled import (
        scaled_dot as scaled_dot,
    )
    from anima.lax.special.bessel import (
        bessel_i0e as bessel_i0e,
        bessel_i0e_p as bessel_i0e_p,
        bessel_i1e as bessel_i1e,
        bessel_i1e_p as bessel_i1e_p,
    )
    from anima.lax.special.incomplete_beta import (
        betainc as betainc,
        regularized_incomplete_beta_p as regularized_incomplete_beta_p,
    )
    from anima.lax.special.incomplete_gamma import (
        igamma as igamma,
        igamma_grad_a as igamma_grad_a,
        igamma_grad_a_p as igamma_grad_a_p,
        igamma_p as igamma_p,
        igammac as igammac,
        igammac_p as igammac_p,
        random_gamma_grad as random_gamma_grad,
    )
    from anima.lax.taking import index_take as index_take
    from anima.lax.tokens import (
        after_all as after_all,
        after_all_p as after_all_p,
        create_token as create_token,
        create_token_p as create_token_p,
    )
    from anima.lax.window_selection import (
        select_and_gather_add_p as select_and_gather_add_p,
        select_and_scatter_add_p as select_and_scatter_add_p,
        select_and_scatter_p as select_and_scatter_p,
    )
    from anima.lax.window_shapes import padtype_to_pads as padtype_to_pads
    from anima.lax.windows import (
        reduce_window as reduce_window,
        reduce_window_max_p as reduce_window_max_p,
        reduce_window_min_p as reduce_window_min_p,
        reduce_window_p as reduce_window_p,
        reduce_window_shape_tuple as reduce_window_shape_tuple,
        reduce_window_sum_p as reduce_window_sum_p,
    )
    from anima.transforms.placement_primitive import (
        device_put_p as device_put_p,
        sharding_constraint_p as sharding_constraint_p,
    )
    from anima.transforms.sharding_constraint import (
        with_sharding_constraint as with_sharding_constraint,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.lax.approximate": "approx_max_k approx_min_k approx_top_k_p",
    "anima.lax.axis_names": "axis_index axis_index_p axis_size",
    "anima.lax.barrier": "dce_sink dce_sink_p optimization_barrier optimization_barrier_p",
    "anima.lax.collectives": "pcast pmax pmax_p pmean pmin pmin_p psum psum_p",
    "anima.lax.control.associative": "associative_scan",
    "anima.lax.control.branching": "cond platform_dependent switch",
    "anima.lax.control.cond_primitive": "cond_p",
    "anima.lax.control.linear_solve": "custom_linear_solve linear_solve_p",
    "anima.lax.control.looping": "fori_loop while_loop",
    "anima.lax.control.root": "custom_root",
    "anima.lax.control.scan_primitive": "scan_p",
    "anima.lax.control.scanning": "map scan",
    "anima.lax.control.while_primitive": "while_p",
    "anima.lax.convolution": "conv conv_general_dilated conv_transpose conv_with_general_padding",
    "anima.lax.convolution_numbers": (
        "ConvDimensionNumbers ConvGeneralDilatedDimensionNumbers conv_dimension_numbers "
        "conv_general_permutations conv_general_shape_tuple conv_shape_tuple conv_transpose_shape_tuple"
    ),
    "anima.lax.convolution_rules": "conv_general_dilated_p",
    "anima.lax.error_functions": (
        "digamma digamma_p erf erf_inv erf_inv_p erf_p erfc erfc_p lgamma lgamma_p polygamma polygamma_p zeta "
        "zeta_p"
    ),
    "anima.lax.exchanges": "all_gather all_gather_p all_to_all all_to_all_p psum_scatter pswapaxes reduce_scatter_p",
    "anima.lax.fold": "reduce reduce_p",
    "anima.lax.generators": "RandomAlgorithm rng_bit_generator rng_bit_generator_p rng_uniform rng_uniform_p",
    "anima.lax.identity": "copy_p stage stage_p stop_gradient stop_gradient_p",
    "anima.lax.linalg": "linalg",
    "anima.lax.messages": "precv psend ragged_all_to_all ragged_all_to_all_p",
    "anima.lax.patches": "conv_general_dilated_local conv_general_dilated_patches",
    "anima.lax.permutes": "pbroadcast pbroadcast_p ppermute ppermute_p pshuffle",
    "anima.lax.ragged": "RaggedDotDimensionNumbers ragged_dot ragged_dot_general",
    "anima.lax.scaled": "scaled_dot",
    "anima.lax.special.bessel": "bessel_i0e bessel_i0e_p bessel_i1e bessel_i1e_p",
    "anima.lax.special.incomplete_beta": "betainc regularized_incomplete_beta_p",
    "anima.lax.special.incomplete_gamma": (
        "igamma igamma_grad_a igamma_grad_a_p igamma_p igammac igammac_p random_gamma_grad"
    ),
    "anima.lax.taking": "index_take",
    "anima.lax.tokens": "after_all after_all_p create_token create_token_p",
    "anima.lax.window_selection": "select_and_gather_add_p select_and_scatter_add_p select_and_scatter_p",
    "anima.lax.window_shapes": "padtype_to_pads",
    "anima.lax.windows": (
        "reduce_window reduce_window_max_p reduce_window_min_p reduce_window_p reduce_window_shape_tuple "
        "reduce_window_sum_p"
    ),
    "anima.transforms.placement_primitive": "device_put_p sharding_constraint_p",
    "anima.transforms.sharding_constraint": "with_sharding_constraint",
}
__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)

__all__ = [
    *(
        name
        for name, value in list(globals().items())
        if name[0] != "_" and not isinstance(value, _ModuleType)
    ),
    *(name for names in _ON_DEMAND.values() for name in names.split()),
]
