"""Plans whose parts do not fit together, and compiled calls among misbehaving functions and values.

Invariant: whatever a plan promises, its results hold what the program computed, and arrays that were not donated
stay as they were.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.native.fuzz.pool import F3, F32, Pool, Rows, nt

SCALAR_AVAL = ((), F32, False)


def _host(pool: Pool, leaves: int) -> Any:
    """What is to be computed on the host: sound in parts."""
    rng = pool.rng
    index = lambda: rng.choice([*range(leaves + 1)] * 9 + [-1, leaves + 1, 2**40])
    names = [
        "add",
        "add",
        "mul",
        "move",
        "lt",
        "select_n",
        "dynamic_slice",
        "reduce_sum",
        "argmax",
        "dot",
        "clamp",
        "convert",
    ]
    details = [(), (), (0, 0), (0, 2), [(0, 0, 0, 0, 3)], [(0, index(), 0, index(), index())], pool.any()]
    steps = [
        (
            rng.choice(names),
            tuple([index() for _ in range(rng.choice([1, 2, 2, 3]))]),
            (leaves,),
            rng.choice(details),
        )
        for _ in range(rng.choice([1, 1, 1, 0, 2]))
    ]
    avals = [
        rng.choice([F3] * 9 + [SCALAR_AVAL, ((3,), np.bool_, False), ((2**62,), F32, False)])
        for _ in range(leaves + 1)
    ]
    parts = [
        avals,
        rng.choice([[]] * 9 + [[(leaves, b"0" * 12)]]),
        steps,
        rng.choice([[leaves]] * 9 + [[index()]]),
    ]
    if rng.random() < 0.1:
        parts[rng.randrange(4)] = pool.any()
    return tuple(parts)


def _packing(pool: Pool, leaves: int) -> Any:
    """Pieces of arguments and results: sound in parts."""
    rng = pool.rng
    avals = [
        rng.choice([F3] * 9 + [SCALAR_AVAL, ((3,), np.bool_, False), ((2**62,), F32, False)])
        for _ in range(leaves)
    ]
    numbers = list(range(leaves))
    parts = [
        avals,
        rng.choice([[numbers]] * 6 + [[[i] for i in numbers], [[0, 0]], [[]], [[2**40]]]),
        rng.choice([[[0]]] * 6 + [[[0, 1]], [], [[-1]]]),
    ]
    if rng.random() < 0.1:
        parts[rng.randrange(3)] = pool.any()
    return tuple(parts)


def _plan_options(pool: Pool, leaves: int) -> dict[str, Any]:
    rng = pool.rng
    index = lambda: rng.choice([*range(leaves), *range(leaves), -1, leaves, 2**40])
    options: dict[str, Any] = {
        "num_leaves": rng.choice([leaves] * 20 + [0, -1, 2**40, 1000]),
        "out_avals": rng.choice(
            [[F3]] * 15 + [[SCALAR_AVAL], [], [F3, F3], [((10**6,), F32, False)], [((3,), np.int32, True)]]
        ),
    }
    extra = {
        "kept": lambda: [index() for _ in range(rng.randrange(4))], "consts": lambda: [pool.array()],
        "out_tree": pool.treedef, "single": lambda: rng.random() < 0.5, "committed": lambda: True,
        "out_shardings": lambda: [rng.choice([None, Rows(*pool.client.devices), pool.any()])],
        "donate": lambda: [index() for _ in range(rng.randrange(3))], "forward": lambda: [rng.choice([-1, -1, index()])],
        "device": lambda: rng.choice([None, pool.device, list(pool.client.devices), pool.closed.devices[0]]),
        "keepalive": pool.any, "host": lambda: _host(pool, leaves), "packing": lambda: _packing(pool, leaves),
    }  # fmt: skip
    for name in rng.sample(list(extra), rng.randrange(5)):
        options[name] = extra[name]()
    if rng.random() < 0.1:
        options[rng.choice(list(options))] = pool.any()
    return options


def leaf(pool: Pool) -> Any:
    """Something that is passed to a plan."""
    return pool.rng.choice(
        [pool.floats, pool.floats, pool.floats, pool.array, pool.number, pool.numpy, pool.any]
    )()


def odd_plan(pool: Pool) -> None:
    """Make a plan and run it a few times."""
    rng = pool.rng
    leaves = rng.choice([1, 2, 2, 2, 3])
    options = _plan_options(pool, leaves)
    executable = pool.rng.choice([*pool.programs[:2]] * 4 + [pool.closed_executable, None])
    if executable is None and rng.random() < 0.8:
        options.update(device=pool.device, forward=[0], kept=None)
        if rng.random() < 0.5:
            options.update(forward=(), donate=(), host=_host(pool, leaves))
    plan = nt.CallPlan(executable, **options)
    for _ in range(3):
        given = [leaf(pool) for _ in range(rng.choice([leaves, plan.num_leaves]))]
        if rng.random() < 0.2 and given:
            given[-1] = given[0]
        view = np.asarray(given[0]) if rng.random() < 0.2 else None
        before = None if view is None or view.dtype != F32 else view.copy()
        try:
            out = rng.choice([plan.execute, plan.execute, plan.answer])(given)
        except SystemError:
            raise
        except Exception:
            continue
        for part in nt.tree_leaves(out):
            if isinstance(part, nt.ArrayImpl) and not part.is_deleted():
                np.asarray(part).tobytes()
        if before is not None and view is not None:
            assert np.array_equal(view, before, equal_nan=True), "a donation changed what NumPy sees"


def _miss(pool: Pool) -> Any:
    def miss(call: Any, args: Any, kwargs: Any) -> Any:
        pool.act()
        choice = pool.rng.random()
        if choice < 0.1:
            raise ValueError("missed")
        if choice < 0.15:
            return pool.any()
        if choice < 0.25:
            return None, pool.any()
        if choice < 0.3:
            return call(*args, **kwargs), None
        leaves = nt.tree_leaves((args, [kwargs[name] for name in sorted(kwargs)]))
        if choice < 0.6:
            return None, nt.CallPlan(None, num_leaves=len(leaves), out_avals=[], device=pool.device)
        forward = [0] if leaves else []
        avals = [F3] * len(forward)
        return None, nt.CallPlan(
            None, num_leaves=len(leaves), out_avals=avals, forward=forward, device=pool.device
        )

    return miss


def odd_call(pool: Pool) -> None:
    """Make a compiled call and call it with values that interfere."""
    rng = pool.rng
    options: dict[str, Any] = {}
    if rng.random() < 0.6:
        options["static_argnums"] = [rng.choice([0, 1, 5])]
    if rng.random() < 0.4:
        options["static_argnames"] = [rng.choice(["a", "\ud800", "b\0"])]
    options.update(
        flat=rng.random() < 0.2, cache_size=rng.choice([0, 1, 2, 4096]), name=pool.text(), spec=pool.any()
    )
    call = nt.CompiledCall(pool.any(), _miss(pool), lambda *_: pool.any(), **options)
    pool.calls.append(call)
    if rng.random() < 0.2:
        nt.set_trace(pool.any())
    for _ in range(6):
        args = [
            rng.choice([leaf, leaf, Pool.hostile, lambda p: [leaf(p), {"k": leaf(p)}]])(pool)
            for _ in range(rng.randrange(3))
        ]
        kwargs = {name: leaf(pool) for name in rng.sample(["a", "b", "\ud800", "b\0", ""], rng.randrange(3))}
        pool.containers += [arg for arg in args if type(arg) is list]
        try:
            call(*args, **kwargs)
        except SystemError:
            raise
        except Exception:
            pass
        if rng.random() < 0.2:
            call.clear_cache()
    repr(call), call.cache_len(), call.__dict__.update(me=call)
