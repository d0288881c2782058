"""Functions with derivatives of your own: `custom_jvp`, `custom_vjp`, and what their rules use; linear ones with transposes.

Invariant: names only; what they stand for is in `anima.transforms`.
"""

from __future__ import annotations

from anima.transforms.custom_gradient import (
    closure_convert as closure_convert,
    custom_gradient as custom_gradient,
)
from anima.transforms.custom_jvp import (
    custom_jvp as custom_jvp,
    custom_jvp_call_p as custom_jvp_call_p,
)
from anima.transforms.custom_rules import (
    SymbolicZero as SymbolicZero,
    zero_from_primal as zero_from_primal,
)
from anima.transforms.custom_vjp import (
    custom_vjp as custom_vjp,
    custom_vjp_call_p as custom_vjp_call_p,
)
from anima.transforms.custom_vjp_rules import (
    CustomVJPPrimal as CustomVJPPrimal,
    custom_vjp_primal_tree_values as custom_vjp_primal_tree_values,
)
from anima.transforms.linear_call import (
    custom_transpose as custom_transpose,
    linear_call as linear_call,
)
from anima.transforms.remat_opt import remat_opt_p as remat_opt_p
