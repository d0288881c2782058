"""Minima of functions, as SciPy has them.

Invariant: a name is public by being imported here as itself.

>>> import anima.numpy as np
>>> from anima.scipy import optimize
>>> print(optimize.minimize(lambda x: ((x - 3) ** 2).sum(), np.zeros(2), method="BFGS").x.round(3))
[3. 3.]
"""

from anima.scipy.optimize.minimization import OptimizeResults as OptimizeResults, minimize as minimize
