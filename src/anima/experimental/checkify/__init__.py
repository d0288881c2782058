"""Errors of programs as values: checks at run time that work inside `jit`, control flow and `vmap`.

>>> import anima, anima.numpy as np
>>> from anima.experimental import checkify
>>> def root(x):
...     checkify.check(x >= 0, "no root of {x}", x=x)
...     return np.sqrt(x)
>>> error, y = anima.jit(checkify.checkify(root))(-4.0)
>>> error.get()
'no root of -4.0 (`check` failed)'
"""

from anima.experimental.checkify.error import (
    DivisionByZeroError as DivisionByZeroError,
    Error as Error,
    ErrorCategory as ErrorCategory,
    FailedCheckError as FailedCheckError,
    JaxException as JaxException,
    JaxRuntimeError as JaxRuntimeError,
    NaNError as NaNError,
    OOBError as OOBError,
    init_error as init_error,
)
from anima.experimental.checkify.primitive import (
    check as check,
    check_error as check_error,
    debug_check as debug_check,
)
from anima.experimental.checkify.transform import (
    all_checks as all_checks,
    automatic_checks as automatic_checks,
    checkify as checkify,
    div_checks as div_checks,
    float_checks as float_checks,
    index_checks as index_checks,
    nan_checks as nan_checks,
    user_checks as user_checks,
)
