"""Probability distributions, and what describes samples.

Invariant: `import` loads nothing; each distribution and function is loaded when first asked for.

>>> from anima.scipy import stats
>>> print(stats.norm.cdf(0.0))
0.5
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.scipy.stats import (
        bernoulli as bernoulli,
        beta as beta,
        betabinom as betabinom,
        binom as binom,
        cauchy as cauchy,
        chi2 as chi2,
        dirichlet as dirichlet,
        expon as expon,
        gamma as gamma,
        gennorm as gennorm,
        geom as geom,
        gumbel_l as gumbel_l,
        gumbel_r as gumbel_r,
        laplace as laplace,
        logistic as logistic,
        multinomial as multinomial,
        multivariate_normal as multivariate_normal,
        nbinom as nbinom,
        norm as norm,
        pareto as pareto,
        poisson as poisson,
        t as t,
        truncnorm as truncnorm,
        uniform as uniform,
        vonmises as vonmises,
        wrapcauchy as wrapcauchy,
    )
    from anima.scipy.stats.kde import (
        gaussian_kde as gaussian_kde,
    )
    from anima.scipy.stats.summaries import (
        mode as mode,
        rankdata as rankdata,
        sem as sem,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.scipy.stats.bernoulli": "bernoulli",
    "anima.scipy.stats.beta": "beta",
    "anima.scipy.stats.betabinom": "betabinom",
    "anima.scipy.stats.binom": "binom",
    "anima.scipy.stats.cauchy": "cauchy",
    "anima.scipy.stats.chi2": "chi2",
    "anima.scipy.stats.dirichlet": "dirichlet",
    "anima.scipy.stats.expon": "expon",
    "anima.scipy.stats.gamma": "gamma",
    "anima.scipy.stats.gennorm": "gennorm",
    "anima.scipy.stats.geom": "geom",
    "anima.scipy.stats.gumbel_l": "gumbel_l",
    "anima.scipy.stats.gumbel_r": "gumbel_r",
    "anima.scipy.stats.kde": "gaussian_kde",
    "anima.scipy.stats.laplace": "laplace",
    "anima.scipy.stats.logistic": "logistic",
    "anima.scipy.stats.multinomial": "multinomial",
    "anima.scipy.stats.multivariate_normal": "multivariate_normal",
    "anima.scipy.stats.nbinom": "nbinom",
    "anima.scipy.stats.norm": "norm",
    "anima.scipy.stats.pareto": "pareto",
    "anima.scipy.stats.poisson": "poisson",
    "anima.scipy.stats.summaries": "mode rankdata sem",
    "anima.scipy.stats.t": "t",
    "anima.scipy.stats.truncnorm": "truncnorm",
    "anima.scipy.stats.uniform": "uniform",
    "anima.scipy.stats.vonmises": "vonmises",
    "anima.scipy.stats.wrapcauchy": "wrapcauchy",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
