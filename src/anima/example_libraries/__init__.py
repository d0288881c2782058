"""Small libraries in the style of the transformations: `stax`, layers of neural networks, and `optimizers`.

Invariant: all are pairs and triples of pure functions; parameters and states are pytrees, and nothing else is kept.

>>> import anima.numpy as np
>>> from anima import grad, jit, random
>>> from anima.example_libraries import optimizers, stax
>>> init, predict = stax.serial(stax.Dense(8), stax.Tanh, stax.Dense(1))
>>> shape, params = init(random.PRNGKey(0), (-1, 1))
>>> shape
(-1, 1)
>>> x = np.linspace(0.0, 1.0, 16)[:, None]
>>> loss = lambda params: np.mean((predict(params, x) - x**2) ** 2)
>>> opt = optimizers.adam(0.03)
>>> @jit
... def update(step, state):
...     return opt.update_fn(step, grad(loss)(opt.params_fn(state)), state)
>>> state = opt.init_fn(params)
>>> for step in range(300):
...     state = update(step, state)
>>> bool(loss(opt.params_fn(state)) < 0.1 * loss(params))
True
"""

from __future__ import annotations

from anima.example_libraries import optimizers as optimizers, stax as stax
