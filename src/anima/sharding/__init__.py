"""How arrays lie over devices: meshes, partition specs, and shardings. Values only.

Invariant: nothing here runs a program or knows which devices there are. The one thing that is needed from above, the
devices that ``make_mesh`` uses when it is given none, comes through the hook ``set_default_devices``, which the layer
that knows the devices calls once, at import.

>>> import anima
>>> from anima.sharding import NamedSharding, PartitionSpec as P
>>> mesh = anima.make_mesh((1,), ("x",))
>>> NamedSharding(mesh, P("x")).shard_shape((8, 2))
(8, 2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand
from anima.sharding.mesh import (
    AbstractMesh,
    AxisType,
    Mesh,
    get_abstract_mesh,
    get_mesh,
    make_mesh as make_mesh,
    set_default_devices as set_default_devices,
    set_mesh,
    use_abstract_mesh,
)
from anima.sharding.shardings import (
    GSPMDSharding as GSPMDSharding,
    NamedSharding,
    Sharding,
    SingleDeviceSharding,
    make_single_device_sharding,
)
from anima.sharding.spec import P as P, PartitionSpec

if _TYPE_CHECKING:
    from anima.parallel.arrays import reshard as reshard

__all__ = [
    "AbstractMesh",
    "AxisType",
    "Mesh",
    "NamedSharding",
    "PartitionSpec",
    "Sharding",
    "SingleDeviceSharding",
    "get_abstract_mesh",
    "get_mesh",
    "make_single_device_sharding",
    "set_mesh",
    "use_abstract_mesh",
]

# What runs programs is in a higher layer, and loaded when first asked for.
_ON_DEMAND = {"anima.parallel.arrays": "reshard"}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
