"""Random numbers from explicit keys: each function is a pure function of the key that it is given.

Invariant: equal keys give equal numbers, on every machine and in every transformation; new ones need a new key, which
`split` and `fold_in` make. The numbers are JAX's, bit for bit. Parameters that are numbers or NumPy arrays must be in their
domain, or ValueError is raised; arrays are not looked at, and where they are out of it the results are NaN, mostly.

>>> from anima import random
>>> key = random.PRNGKey(0)
>>> key, subkey = random.split(key)
>>> print(random.normal(subkey, (1,)))
[-1.251...]
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand
from anima.random.keys import (
    PRNGKey as PRNGKey,
    bits as bits,
    clone as clone,
    fold_in as fold_in,
    key as key,
    key_data as key_data,
    key_dtype as key_dtype,
    key_impl as key_impl,
    split as split,
    wrap_key_data as wrap_key_data,
)

if _TYPE_CHECKING:
    from anima.random.continuous import (
        cauchy as cauchy,
        double_sided_maxwell as double_sided_maxwell,
        exponential as exponential,
        gumbel as gumbel,
        laplace as laplace,
        logistic as logistic,
        lognormal as lognormal,
        maxwell as maxwell,
        normal as normal,
        pareto as pareto,
        rayleigh as rayleigh,
        triangular as triangular,
        truncated_normal as truncated_normal,
        wald as wald,
        weibull_min as weibull_min,
    )
    from anima.random.counts import (
        binomial as binomial,
        multinomial as multinomial,
        poisson as poisson,
    )
    from anima.random.discrete import (
        bernoulli as bernoulli,
        geometric as geometric,
        rademacher as rademacher,
    )
    from anima.random.gammas import (
        ball as ball,
        beta as beta,
        chisquare as chisquare,
        dirichlet as dirichlet,
        f as f,
        gamma as gamma,
        generalized_normal as generalized_normal,
        loggamma as loggamma,
        random_gamma_p as random_gamma_p,
        t as t,
    )
    from anima.random.generator import Generator as Generator
    from anima.random.matrices import (
        multivariate_normal as multivariate_normal,
        orthogonal as orthogonal,
    )
    from anima.random.selection import (
        categorical as categorical,
        choice as choice,
        permutation as permutation,
    )
    from anima.random.uniforms import (
        randint as randint,
        uniform as uniform,
    )

_ON_DEMAND = {
    "anima.random.continuous": (
        "cauchy double_sided_maxwell exponential gumbel laplace logistic lognormal maxwell "
        "normal pareto rayleigh triangular truncated_normal wald weibull_min"
    ),
    "anima.random.discrete": "bernoulli geometric rademacher",
    "anima.random.gammas": "ball beta chisquare dirichlet f gamma generalized_normal loggamma random_gamma_p t",
    "anima.random.selection": "categorical choice permutation",
    "anima.random.uniforms": "randint uniform",
    "anima.random.counts": "binomial multinomial poisson",
    "anima.random.generator": "Generator",
    "anima.random.matrices": "multivariate_normal orthogonal",
}
__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
