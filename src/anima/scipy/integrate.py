"""Integrals of sampled functions.

Invariant: a name is public by being imported here as itself.

>>> import anima.numpy as np
>>> from anima.scipy import integrate
>>> print(integrate.trapezoid(np.array([1.0, 2.0, 3.0])))
4.0
"""

from anima.numpy import trapezoid as trapezoid
