"""Everyday programs of libraries that were written for JAX.

Invariant: a program says `import jax` and knows nothing of this library; it returns numbers, the same ones in every run. What a
library is for is in it: training, sampling, solving, with the library's own transformations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Program = Callable[[], Any]
PROGRAMS: dict[str, Program] = {}

X = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
Y = (X @ np.arange(8)).astype(np.float32)


def program(function: Program) -> Program:
    PROGRAMS[function.__name__] = function
    return function


def squared_error(weights: Any) -> Any:
    return jnp.mean((X @ weights - Y) ** 2)


# --- optimisers --------------------------------------------------------------------------------


@program
def optax_adamw() -> Any:
    import optax

    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-1, 100))
    )
    params = {"w": jnp.zeros(8), "b": jnp.zeros(())}
    state = optimizer.init(params)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        loss, grads = jax.value_and_grad(lambda p: jnp.mean((X @ p["w"] + p["b"] - Y) ** 2))(params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, loss

    for _ in range(50):
        params, state, loss = step(params, state)
    return [loss, *params["w"]]


@program
def optax_lbfgs() -> Any:
    import optax

    objective = lambda w: jnp.sum((w - 3.0) ** 2 * jnp.arange(1, 5))
    solver = optax.lbfgs()
    weights = jnp.zeros(4)
    state = solver.init(weights)
    value_and_grad = optax.value_and_grad_from_state(objective)
    for _ in range(5):
        value, grad = value_and_grad(weights, state=state)
        updates, state = solver.update(grad, state, weights, value=value, grad=grad, value_fn=objective)
        weights = optax.apply_updates(weights, updates)
    return weights


@program
def jaxopt_solvers() -> Any:
    import jaxopt

    found = [
        jaxopt.LBFGS(squared_error, maxiter=20).run(jnp.zeros(8)).params,
        jaxopt.GradientDescent(squared_error, maxiter=20).run(jnp.zeros(8)).params,
        jaxopt.BFGS(squared_error, maxiter=10).run(jnp.zeros(8)).params,
        jaxopt.ProjectedGradient(squared_error, jaxopt.projection.projection_simplex, maxiter=10)
        .run(jnp.ones(8) / 8)
        .params,
    ]
    ridge = jaxopt.LBFGS(lambda w, l: squared_error(w) + l * jnp.sum(w**2), maxiter=30, implicit_diff=True)
    return [*map(jnp.sum, found), jax.grad(lambda l: ridge.run(jnp.zeros(8), l).params.sum())(0.1)]


@program
def optimistix_solvers() -> Any:
    import optimistix as optx

    root = lambda a: (
        optx.root_find(lambda y, a: y**2 - a, optx.Newton(1e-6, 1e-6), jnp.array(1.0), args=a).value
    )
    least = optx.minimise(lambda y, a: jnp.sum((y - a) ** 2), optx.BFGS(1e-6, 1e-6), jnp.zeros(3), args=2.0)
    squares = optx.least_squares(
        lambda y, a: y - a, optx.LevenbergMarquardt(1e-6, 1e-6), jnp.zeros(3), args=2.0
    )
    return [root(2.0), jax.grad(root)(2.0), *least.value, *squares.value]


@program
def evosax_natural_gradients() -> Any:
    from evosax.algorithms import SNES

    search = SNES(population_size=8, solution=jnp.zeros(3))
    params = search.default_params
    state = search.init(jax.random.key(0), jnp.zeros(3), params)
    for i in range(3):
        found, state = search.ask(jax.random.key(i), state, params)
        state, _ = search.tell(jax.random.key(i + 9), found, jnp.sum((found - 1) ** 2, 1), state, params)
    return search.get_mean(state)


# --- networks ----------------------------------------------------------------------------------


@program
def flax_linen_training() -> Any:
    import flax.linen as nn
    import optax
    from flax.training import train_state

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Dense(16)(x)))
            x = nn.Dropout(0.1, deterministic=not train)(x)
            return nn.Dense(1)(nn.LayerNorm()(x))[:, 0]

    model = Model()
    variables = model.init(jax.random.PRNGKey(0), X)
    state = train_state.TrainState.create(
        apply_fn=model.apply, params=variables["params"], tx=optax.sgd(1e-2)
    )
    statistics = variables["batch_stats"]

    @jax.jit
    def step(state: Any, statistics: Any, key: Any) -> Any:
        def loss(params: Any) -> Any:
            both = {"params": params, "batch_stats": statistics}
            out, changed = model.apply(both, X, train=True, rngs={"dropout": key}, mutable=["batch_stats"])
            return jnp.mean((out - Y) ** 2), changed["batch_stats"]

        (value, changed), grads = jax.value_and_grad(loss, has_aux=True)(state.params)
        return state.apply_gradients(grads=grads), changed, value

    losses = []
    for i in range(10):
        state, statistics, loss = step(state, statistics, jax.random.PRNGKey(i))
        losses.append(loss)
    return losses


@program
def flax_linen_layers() -> Any:
    import flax.linen as nn

    x = X.reshape(8, 8, 8)
    layers = [
        (nn.MultiHeadDotProductAttention(num_heads=2), (x, x)),
        (nn.RNN(nn.LSTMCell(4)), (x,)),
        (nn.Conv(3, (3, 3)), (x[..., None],)),
        (nn.GroupNorm(4), (x,)),
    ]
    results = []
    for number, (layer, args) in enumerate(layers):
        variables = layer.init(jax.random.PRNGKey(number), *args)
        results += [jnp.sum(layer.apply(variables, *args)), jnp.max(layer.apply(variables, *args))]
    return results


@program
def flax_linen_lifted() -> Any:
    import flax.linen as nn

    class Block(nn.Module):
        @nn.compact
        def __call__(self, carry: Any, _: Any) -> Any:
            return nn.relu(nn.Dense(8)(carry)), None

    stack = nn.scan(nn.remat(Block), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()
    variables = stack.init(jax.random.PRNGKey(0), X, None)
    grads = jax.grad(lambda v: stack.apply(v, X, None)[0].sum())(variables)
    return grads["params"]["Dense_0"]["kernel"].sum((1, 2))


@program
def haiku_networks() -> Any:
    import haiku as hk

    def network(x: Any) -> Any:
        hidden = hk.BatchNorm(True, True, 0.9)(hk.nets.MLP([16, 8])(x), True)
        return hk.Linear(1)(hidden)

    def recurrent(x: Any) -> Any:
        core = hk.GRU(5)
        return hk.dynamic_unroll(core, x, core.initial_state(x.shape[1]))[0]

    first = hk.transform_with_state(network)
    params, state = first.init(jax.random.PRNGKey(0), X)
    out, _ = jax.jit(first.apply)(params, state, None, X)
    second = hk.without_apply_rng(hk.transform(recurrent))
    x = X.reshape(8, 8, 8)
    return [*out[:5, 0], second.apply(second.init(jax.random.PRNGKey(1), x), x).sum()]


@program
def equinox_training() -> Any:
    import equinox as eqx
    import optax

    model = eqx.nn.MLP(8, "scalar", 16, 2, key=jax.random.PRNGKey(0))
    optimizer = optax.adam(1e-2)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model: Any, state: Any) -> Any:
        loss, grads = eqx.filter_value_and_grad(lambda m: jnp.mean((jax.vmap(m)(X) - Y) ** 2))(model)
        updates, state = optimizer.update(grads, state, model)
        return eqx.apply_updates(model, updates), state, loss

    losses = []
    for _ in range(10):
        model, state, loss = step(model, state)
        losses.append(loss)
    return losses


@program
def equinox_layers() -> Any:
    import equinox as eqx

    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(8, axis_name="batch", mode="batch")
    normed, _ = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(X, state)
    attended = eqx.nn.MultiheadAttention(2, 8, key=jax.random.PRNGKey(0))(X, X, X)
    layers = eqx.filter_vmap(lambda key: eqx.nn.Linear(2, 3, key=key))(
        jax.random.split(jax.random.PRNGKey(1), 4)
    )
    checked = eqx.filter_jit(lambda x, limit: eqx.error_if(x, x.sum() > limit, "too large") * 2)
    try:
        checked(jnp.asarray(X), -1e9)
        refused = False
    except RuntimeError as error:
        refused = "too large" in str(error)
    return [*normed[0], attended.sum(), layers.weight.sum(), checked(jnp.asarray(X), 1e9).sum(), refused]


# --- solvers and samplers ----------------------------------------------------------------------


@program
def diffrax_equations() -> Any:
    import diffrax

    controller = diffrax.PIDController(rtol=1e-5, atol=1e-6)
    decay = diffrax.ODETerm(lambda t, y, rate: -rate * y)

    def end(rate: Any) -> Any:
        return diffrax.diffeqsolve(
            decay, diffrax.Dopri5(), 0, 1, 0.1, jnp.array(1.0), args=rate, stepsize_controller=controller
        ).ys[0]

    path = diffrax.diffeqsolve(
        decay, diffrax.Tsit5(), 0, 2, 0.1, jnp.array([1.0, 2.0]), args=0.5, stepsize_controller=controller,
        saveat=diffrax.SaveAt(ts=jnp.linspace(0, 2, 4)),
    )  # fmt: skip
    noise = diffrax.VirtualBrownianTree(0, 1, tol=1e-3, shape=(), key=jax.random.PRNGKey(0))
    terms = diffrax.MultiTerm(
        diffrax.ODETerm(lambda t, y, args: -y), diffrax.ControlTerm(lambda t, y, args: 0.1, noise)
    )
    random = diffrax.diffeqsolve(terms, diffrax.Euler(), 0, 1, 0.05, 1.0)
    return [*path.ys.ravel(), jax.grad(end)(0.7), jax.jit(jax.grad(end))(0.3), *random.ys]


@program
def lineax_solvers() -> Any:
    import lineax as lx

    matrix = jnp.asarray(X[:8]) @ X[:8].T + jnp.eye(8)
    vector = jnp.arange(8.0)
    plain, definite = (
        lx.MatrixLinearOperator(matrix, *tags) for tags in ((), (lx.positive_semidefinite_tag,))
    )
    gmres = lambda b: lx.linear_solve(plain, b, lx.GMRES(1e-5, 1e-5)).value.sum()
    return [
        *lx.linear_solve(plain, vector).value,
        lx.linear_solve(definite, vector, lx.CG(1e-6, 1e-6)).value.sum(),
        lx.linear_solve(plain, vector, lx.QR()).value.sum(),
        jax.grad(gmres)(vector).sum(),
    ]


@program
def ott_sinkhorn() -> Any:
    from ott.geometry import pointcloud
    from ott.solvers import linear

    def cost(x: Any) -> Any:
        return linear.solve(pointcloud.PointCloud(x, jnp.asarray(X[16:40]), epsilon=1.0)).reg_ot_cost

    return [cost(jnp.asarray(X[:16])), *jax.grad(cost)(jnp.asarray(X[:16])).sum(0)]


@program
def blackjax_chains() -> Any:
    import blackjax

    kernel = blackjax.nuts(lambda x: -0.5 * jnp.sum(x**2), step_size=0.3, inverse_mass_matrix=jnp.ones(2))
    state = kernel.init(jnp.ones(2))
    step = jax.jit(kernel.step)
    for i in range(5):
        state, _ = step(jax.random.key(i), state)
    hmc = blackjax.hmc(lambda x: -0.5 * jnp.sum(x**2), 0.1, jnp.ones(2), 5)
    moved, _ = jax.jit(hmc.step)(jax.random.key(1), hmc.init(jnp.ones(2)))
    return [*state.position, *moved.position]


@program
def numpyro_inference() -> Any:
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import SVI, Trace_ELBO, autoguide
    from numpyro.infer.util import log_density

    def model(x: Any, y: Any = None) -> None:
        w = numpyro.sample("w", dist.Normal(0, 1).expand([8]).to_event(1))
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(x @ w, scale), obs=y)

    params = {"w": jnp.ones(8), "scale": jnp.array(2.0)}
    density, _ = log_density(model, (X, Y), {}, params)
    svi = SVI(model, autoguide.AutoNormal(model), numpyro.optim.Adam(1e-2), Trace_ELBO())
    losses = svi.run(jax.random.PRNGKey(0), 20, X, Y, progress_bar=False).losses
    return [density, *losses[:5]]


@program
def numpyro_distributions() -> Any:
    import numpyro.distributions as dist

    key = jax.random.PRNGKey(3)
    distributions = [
        dist.Beta(2.0, 3.0), dist.Gamma(2.0), dist.StudentT(3.0), dist.Dirichlet(jnp.ones(3)), dist.Poisson(3.0),
        dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), dist.LKJCholesky(3), dist.Categorical(jnp.ones(3) / 3),
        dist.NegativeBinomial2(3.0, 1.0), dist.Weibull(1.0, 2.0),
    ]  # fmt: skip
    return [jnp.sum(d.log_prob(d.sample(key))) for d in distributions]


# --- checks and types --------------------------------------------------------------------------


@program
def chex_checks() -> Any:
    import chex

    @chex.dataclass
    class Pair:
        first: chex.Array
        second: chex.Array

    pair = Pair(first=jnp.ones(3), second=jnp.zeros(2))
    chex.assert_shape(pair.first, (3,))
    chex.assert_tree_all_finite(pair)
    checked = chex.chexify(jax.jit(lambda x: (chex.assert_tree_all_finite(x), x * 2)[1]), async_check=False)
    try:
        checked(jnp.array([1.0, jnp.nan]))
        refused = False
    except AssertionError:
        refused = True
    return [jax.tree.map(lambda x: x + 1, pair).first.sum(), *checked(jnp.ones(2)), refused]


@program
def jaxtyping_and_einops() -> Any:
    import einops
    from jaxtyping import Array, Float, Int

    x = jnp.ones((2, 3))
    return [
        isinstance(x, Float[Array, "a b"]),
        isinstance(x, Int[Array, "a b"]),
        isinstance(x, Float[Array, "a a"]),
        *einops.rearrange(x, "a b -> (b a)"),
        *einops.einsum(x, jnp.ones((3, 4)), "a b, b c -> a c").ravel(),
    ]
