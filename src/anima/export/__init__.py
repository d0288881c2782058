"""Programs that outlive their process: functions as StableHLO, to be stored, loaded and called again.

Invariant: an exported function is called without the Python code that it was made from.
"""

from anima.export.exported import (
    DisabledSafetyCheck as DisabledSafetyCheck,
    Exported as Exported,
    maximum_supported_calling_convention_version as maximum_supported_calling_convention_version,
    minimum_supported_calling_convention_version as minimum_supported_calling_convention_version,
)
from anima.export.exporting import (
    default_export_platform as default_export_platform,
    export as export,
)
from anima.export.reading import deserialize as deserialize
from anima.export.structures import (
    register_namedtuple_serialization as register_namedtuple_serialization,
    register_pytree_node_serialization as register_pytree_node_serialization,
)
from anima.export.symbolic import (
    SymbolicScope as SymbolicScope,
    is_symbolic_dim as is_symbolic_dim,
    symbolic_args_specs as symbolic_args_specs,
    symbolic_shape as symbolic_shape,
)
