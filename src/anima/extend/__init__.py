"""For libraries that extend Anima: the language of traced programs, and ways to add to it.

Invariant: nothing of the package itself imports this, so it costs nothing until a user asks for it.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.extend import (
        backend as backend,
        core as core,
        linear_util as linear_util,
        random as random,
        source_info_util as source_info_util,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.extend.backend": "backend",
    "anima.extend.core": "core",
    "anima.extend.linear_util": "linear_util",
    "anima.extend.random": "random",
    "anima.extend.source_info_util": "source_info_util",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
