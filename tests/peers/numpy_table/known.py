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


def another_class(ours: Any, theirs: Any) -> bool:
    """Both refuse."""
    return refused(ours) and refused(theirs)


def _dtypes_only(ours: Any, theirs: Any) -> bool:
    """Both compute."""
    return not refused(ours) and not refused(theirs)


def _names(names: str) -> str:
    return rf"np\.({'|'.join(names.split())})\("


# (row, a regular expression of calls, a test of the results)
KNOWN: list[tuple[str, str, Test]] = [
    # JAX leaves out what NumPy has, and so do its errors say, or fails inside.
    ("numpy-more", _names("around round") + ".*decimals=-1", accepted),
    ("numpy-more", _names("fill_diagonal") + ".*wrap=True", accepted),
    ("numpy-more", _names("median nanmedian percentile quantile nanpercentile nanquantile"), accepted),
    ("numpy-more", _names("partition argpartition") + r".*('complex64'|'bool'|, \()", accepted),
    ("numpy-more", _names("argmax argmin nanargmax nanargmin") + ".*'complex64'", accepted),
    ("numpy-more", _names("array_repr array_str ix_ choose"), accepted),
    ("numpy-more", _names("ravel copy") + ".*order=", accepted),
    ("numpy-more", _names("histogram histogram_bin_edges") + ".*'auto'", accepted),
    ("numpy-more", _names("meshgrid put extract compress polyadd polysub polymul tril_indices triu_indices polyfit"), accepted),
    ("numpy-more", _names("bartlett blackman hamming hanning kaiser"), accepted),
    ("numpy-more", _names("hsplit vsplit dsplit split array_split trapezoid reciprocal interp"), accepted),
    ("numpy-more", _names("std var nanstd nanvar") + ".*dtype='?int", lambda a, b: not refused(a)),
    ("numpy-more", r"np\.linalg\.(vector_norm)\(.*ord=", accepted),
    ("numpy-more", r"np\.fft\.\w+\(", accepted),
    # What means nothing, and NumPy refuses, JAX takes for something.
    ("numpy-less", _names("histogram histogram_bin_edges histogram2d histogramdd interp digitize roll tile insert delete"), declined),
    ("numpy-less", _names("unravel_index polydiv polyder put") + "|" + r"np\.fft\.r?fftfreq\(2\.5", declined),
    # Other classes of errors.
    ("numpy-errors", r"np\.", another_class),
    # Dtypes.
    ("numpy-dtypes", _names("cumulative_prod promote_types pow power"), _dtypes_only),
    ("numpy-dtypes", r"np\.linalg\.vector_norm\(.*ord=-?numpy.inf", _dtypes_only),
    ("numpy-dtypes", r"np\.fft\.r?fftfreq\(.*dtype='(int32|complex64)'", _dtypes_only),
    ("numpy-empty", _names("unique_all unique_counts unique_inverse unique"), _dtypes_only),
]


def explained(call: str, ours: Any, theirs: Any) -> str | None:
    """The row that says why two results differ, if there is one."""
    return next((row for row, calls, test in KNOWN if re.search(calls, call) and test(ours, theirs)), None)
