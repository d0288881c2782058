"""Probability distributions, and what describes samples.

Invariant: `import` loads nothing; each distribution and function is loaded when first asked for.

>>> from anima.scipy import stats
>>> print(stats.norm.cdf(0.0))
0.5
"""

import importlib as _importlib
from typing import Any as _Any

_DISTRIBUTIONS = (
    "bernoulli",
    "beta",
    "betabinom",
    "binom",
    "cauchy",
    "chi2",
    "dirichlet",
    "expon",
    "gamma",
    "gennorm",
    "geom",
    "gumbel_l",
    "gumbel_r",
    "laplace",
    "logistic",
    "multinomial",
    "multivariate_normal",
    "nbinom",
    "norm",
    "pareto",
    "poisson",
    "t",
    "truncnorm",
    "uniform",
    "vonmises",
    "wrapcauchy",
)
_FUNCTIONS = {"gaussian_kde": "kde", "mode": "summaries", "rankdata": "summaries", "sem": "summaries"}


def __getattr__(name: str) -> _Any:
    if name in _DISTRIBUTIONS:
        return _importlib.import_module(f"anima.scipy.stats.{name}")
    if name in _FUNCTIONS:
        return getattr(_importlib.import_module(f"anima.scipy.stats.{_FUNCTIONS[name]}"), name)
    raise AttributeError(f"module 'anima.scipy.stats' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted((*_DISTRIBUTIONS, *_FUNCTIONS))
