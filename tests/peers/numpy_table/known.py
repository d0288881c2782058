"""Which differences between two results the rows of docs/differences.md explain.

Invariant: a difference is named by its row, the calls it is about and a test of the results; what passes no test is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.peers.numpy_table.entry import Refused

Test = Callable[[Any, Any], bool]


def refused(result: Any) -> bool:
    """Whether a result is an error."""
    return isinstance(result, Refused)


def accepted(ours: Any, theirs: Any) -> bool:
    """JAX refuses, we compute."""
    return refused(theirs) and not refused(ours)


def declined(ours: Any, theirs: Any) -> bool:
    """We refuse, JAX gives something."""
    return refused(ours) and not refused(theirs)


def computed(ours: Any, theirs: Any) -> bool:
    """Both give something."""
    return not refused(ours) and not refused(theirs)


def raising(kind: str, *others: str) -> Test:
    """We raise an error of a kind, JAX one of another."""
    return lambda ours, theirs: (
        refused(ours) and refused(theirs) and kind in ours.split() and bool({*others} & {*theirs.split()})
    )


def _names(names: str) -> str:
    return rf"np\.({'|'.join(names.split())})\("


# (row, a regular expression of calls, a test of the results)
KNOWN: list[tuple[str, str, Test]] = [
    ("numpy-forms", _names("around round") + ".*decimals=-1", accepted),
    ("numpy-forms", _names("fill_diagonal") + ".*wrap=True", accepted),
    ("numpy-forms", _names("median nanmedian percentile quantile nanpercentile nanquantile"), accepted),
    (
        "numpy-forms",
        _names("median percentile quantile nanmedian nanpercentile nanquantile") + r".*\], '\w+', \(\)\)",
        computed,
    ),
    ("numpy-forms", _names("partition argpartition") + r".*('complex64'|'bool')", accepted),
    ("numpy-forms", _names("argmax argmin nanargmax nanargmin") + ".*'complex64'", accepted),
    ("numpy-forms", _names("array_repr array_str"), lambda ours, theirs: not refused(ours)),
    (
        "numpy-forms",
        _names("ix_ choose meshgrid put extract compress apply_over_axes dot vdot kron array_equiv pad"),
        accepted,
    ),
    (
        "numpy-forms",
        _names("polyadd polysub polymul polyfit tril_indices triu_indices vander unpackbits permute_dims"),
        accepted,
    ),
    ("numpy-forms", _names("ravel copy reshape") + ".*order=", accepted),
    ("numpy-forms", _names("histogram histogram_bin_edges") + ".*'auto'", accepted),
    ("numpy-forms", _names("bartlett blackman hamming hanning kaiser"), accepted),
    (
        "numpy-forms",
        _names("hsplit vsplit dsplit split array_split trapezoid interp ravel_multi_index resize"),
        accepted,
    ),
    ("numpy-forms", r"np\.linalg\.vector_norm\(.*ord=|np\.fft\.\w+\(", accepted),
    (
        "numpy-refusals",
        _names(
            "histogram histogram_bin_edges histogram2d histogramdd interp digitize roll tile insert delete"
        ),
        declined,
    ),
    (
        "numpy-refusals",
        _names("unravel_index polydiv polyder polyint put repeat roots trim_zeros full"),
        declined,
    ),
    ("numpy-refusals", r"np\.fft\.r?fftfreq\(|np\.linalg\.multi_dot\(", declined),
    (
        "numpy-errors",
        _names(
            "apply_over_axes corrcoef cov cross diagonal flip histogram histogram2d histogramdd hstack mask_indices permute_dims "
            "polyadd polydiv polyint polymul polysub take_along_axis tri"
        )
        + r"|np\.linalg\.(lstsq|matrix_power|qr)\(|np\.fft\.\w+\(",
        raising("ValueError", "TypeError", "IndexError"),
    ),
    (
        "numpy-errors",
        _names("array asarray delete diff full ravel_multi_index reshape take"),
        raising("TypeError", "ValueError", "IndexError"),
    ),
    # Another dtype and something else is wrong.
    ("numpy-errors", _names("mean nanmean nanstd std nanvar var"), raising("TypeError", "ValueError")),
    ("numpy-dtypes", _names("cumulative_prod promote_types pow power angle"), computed),
    (
        "numpy-dtypes",
        _names("std var nanstd nanvar") + ".*dtype='?int",
        lambda ours, theirs: not refused(ours),
    ),
    ("numpy-dtypes", _names("cov") + ".*aweights", computed),
    ("numpy-dtypes", r"np\.linalg\.vector_norm\(.*ord=", computed),
    ("numpy-dtypes", r"np\.fft\.r?fftfreq\(.*dtype='(int32|complex64)'", computed),
    ("numpy-limits", _names("modf i0 geomspace logspace"), computed),
    (
        "numpy-nothing",
        _names("unique_all unique_counts unique_inverse unique argwhere nonzero intersect1d put"),
        computed,
    ),
    (
        "complex-limits",
        _names(
            "abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh cos cosh exp expm1 "
            "log log10 log1p log2 sin sinh sqrt tan tanh"
        )
        + ".*complex64",
        computed,
    ),
    (
        "complex-extrema",
        _names(
            "fmax fmin maximum minimum amax amin max min nanmax nanmin ptp argmax argmin nanargmax nanargmin"
        )
        + ".*complex64",
        computed,
    ),
    ("numpy-nothing", _names("nanmean mean trapezoid") + ".*(dtype=|complex64)", computed),
    # Equations that have no solution.
    ("numpy-limits", r"np\.linalg\.(tensorinv|tensorsolve|solve|inv|matrix_power)\(", computed),
    ("numpy-forms", r"np\.reshape\(numpy\.", computed),
]


def explained(call: str, ours: Any, theirs: Any) -> str | None:
    """The row that says why two results differ, if there is one."""
    return next((row for row, calls, test in KNOWN if re.search(calls, call) and test(ours, theirs)), None)
