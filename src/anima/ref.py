"""Mutable arrays: references, and what is done with them.

Invariant: everything here is declared in `anima.state`.

>>> import anima, anima.numpy as np
>>> def running_sums(xs):
...     sums = anima.new_ref(np.zeros_like(xs))
...     for i in range(len(xs)):
...         sums[i] = xs[i] + (sums[i - 1] if i else 0)
...     return sums[...]
>>> print(anima.grad(lambda xs: running_sums(xs)[-1])(np.ones(3)))
[1. 1. 1.]
"""

from anima.state.aval import AbstractRef as AbstractRef
from anima.state.refs import (
    Ref as Ref,
    addupdate as addupdate,
    empty_ref as empty_ref,
    free_ref as free_ref,
    freeze as freeze,
    get as get,
    new_ref as new_ref,
    set as set,
    swap as swap,
)
