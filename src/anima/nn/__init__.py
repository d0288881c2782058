"""Functions of neural networks: activations, normalisation, attention, encodings, initialisers.

Invariant: a name is public by being imported here as itself.

>>> import anima.numpy as np
>>> from anima import nn
>>> print(nn.relu(np.array([-1.0, 2.0])))
[0. 2.]
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.numpy import tanh as tanh
from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.nn import initializers as initializers
    from anima.nn.activations import (
        celu as celu,
        elu as elu,
        gelu as gelu,
        glu as glu,
        hard_sigmoid as hard_sigmoid,
        hard_silu as hard_silu,
        hard_swish as hard_swish,
        hard_tanh as hard_tanh,
        identity as identity,
        leaky_relu as leaky_relu,
        log1mexp as log1mexp,
        log_sigmoid as log_sigmoid,
        mish as mish,
        relu as relu,
        relu6 as relu6,
        selu as selu,
        sigmoid as sigmoid,
        silu as silu,
        soft_sign as soft_sign,
        softplus as softplus,
        sparse_plus as sparse_plus,
        sparse_sigmoid as sparse_sigmoid,
        squareplus as squareplus,
        swish as swish,
    )
    from anima.nn.attention import dot_product_attention as dot_product_attention
    from anima.nn.normalization import (
        log_softmax as log_softmax,
        logmeanexp as logmeanexp,
        logsumexp as logsumexp,
        one_hot as one_hot,
        softmax as softmax,
        standardize as standardize,
    )
    from anima.nn.scaled_products import (
        get_scaled_dot_general_config as get_scaled_dot_general_config,
        scaled_dot_general as scaled_dot_general,
        scaled_matmul as scaled_matmul,
    )

_ON_DEMAND = {
    "anima.nn.activations": (
        "celu elu gelu glu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu "
        "log1mexp log_sigmoid mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus "
        "sparse_sigmoid squareplus swish"
    ),
    "anima.nn.normalization": "log_softmax logmeanexp logsumexp one_hot softmax standardize",
    "anima.nn.attention": "dot_product_attention",
    "anima.nn.initializers": "initializers",
    "anima.nn.scaled_products": "get_scaled_dot_general_config scaled_dot_general scaled_matmul",
}
__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
