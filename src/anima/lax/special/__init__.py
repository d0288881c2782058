"""Special functions that need loops or tables: Bessel functions, the incomplete gamma and beta functions.

Invariant: their formulas run only while they are traced, in operations of `lax` that every platform has, and are written with
the operators of tracers. Narrow dtypes are computed in float32.
"""
