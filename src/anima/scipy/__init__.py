"""What SciPy has, for arrays on any device; a part is loaded when first asked for."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from anima.on_demand import on_demand as _on_demand

if _TYPE_CHECKING:
    from anima.scipy import (
        cluster as cluster,
        fft as fft,
        integrate as integrate,
        interpolate as interpolate,
        linalg as linalg,
        ndimage as ndimage,
        optimize as optimize,
        signal as signal,
        sparse as sparse,
        spatial as spatial,
        special as special,
        stats as stats,
    )

# Each module with the names that it gives, loaded when one of them is first asked for.
_ON_DEMAND = {
    "anima.scipy.cluster": "cluster",
    "anima.scipy.fft": "fft",
    "anima.scipy.integrate": "integrate",
    "anima.scipy.interpolate": "interpolate",
    "anima.scipy.linalg": "linalg",
    "anima.scipy.ndimage": "ndimage",
    "anima.scipy.optimize": "optimize",
    "anima.scipy.signal": "signal",
    "anima.scipy.sparse": "sparse",
    "anima.scipy.spatial": "spatial",
    "anima.scipy.special": "special",
    "anima.scipy.stats": "stats",
}

__getattr__, __dir__ = _on_demand(__name__, _ON_DEMAND)
