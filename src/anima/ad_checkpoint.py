"""Names and policies for rematerialisation, and a look at what a derivative keeps.

Invariant: this module only gathers public names.
"""

from anima.interpreters.partial import (
    Offloadable as Offloadable,
    Recompute as Recompute,
    Saveable as Saveable,
)
from anima.transforms.checkpoint import (
    print_saved_residuals as print_saved_residuals,
    saved_residuals as saved_residuals,
)
from anima.transforms.checkpoint_policies import checkpoint_policies as checkpoint_policies
from anima.transforms.checkpoint_values import checkpoint_name as checkpoint_name
